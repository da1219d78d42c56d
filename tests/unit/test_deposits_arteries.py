"""Plaques of the femoral artery against deposits of muscle, on made places of both."""

import numpy as np
import pytest

from calciflow.deposits.arteries import COURSE, arterial_walls

HIP, KNEE = np.array([-98.0, -5.0, 850.0]), np.array([-82.0, -12.0, 430.0])


def joints(*names):
    places = {"hip": HIP, "knee": KNEE}
    return [
        {"name": name, "side": "left", "x_mm": places[name][0], "y_mm": places[name][1], "z_mm": places[name][2]}
        for name in names
    ]


def artery(along, shift=(0.0, 0.0), tilt=(0.0, 0.0), noise=None):
    """Points on the course of a left femoral artery that runs ``shift`` mm beside the usual one, and more below."""
    along = np.asarray(along, float)
    away = np.column_stack([np.interp(along, COURSE[:, 0], COURSE[:, k]) for k in (1, 2)])
    away += np.array(shift) + along[:, None] * np.array(tilt)
    if noise is not None:
        away += noise
    # Medially is to the right for a left leg; the line of the joints is all but vertical.
    return HIP + along[:, None] * (KNEE - HIP) + np.column_stack([away[:, 0], away[:, 1], np.zeros(len(along))])


@pytest.mark.parametrize("shift", [(0.0, 0.0), (12.0, -8.0), (-15.0, 10.0)])
@pytest.mark.parametrize("seen", [("hip", "knee"), ("hip",), ("knee",)])
def test_a_row_of_plaques_is_an_artery(shift, seen):
    noise = np.random.default_rng(1).normal(0, 1.2, (6, 2))
    points = artery([0.1, 0.2, 0.35, 0.5, 0.62, 0.75], shift, (6.0, -6.0), noise)
    walls, perhaps = arterial_walls(points, np.full(6, 0.05), joints(*seen))
    assert walls.sum() >= (5 if len(seen) == 2 else 4)
    assert not (walls & perhaps).any()


def test_three_in_a_row_may_be_chance():
    walls, perhaps = arterial_walls(artery([0.2, 0.45, 0.7]), np.full(3, 0.05), joints("hip", "knee"))
    assert not walls.any()
    assert perhaps.all()


def test_large_deposits_and_those_beside_the_course_are_none():
    row = artery([0.1, 0.3, 0.5, 0.7])
    assert not arterial_walls(row, np.full(4, 1.0), joints("hip", "knee"))[0].any()
    lateral = row - [70.0, 0.0, 0.0]
    walls, perhaps = arterial_walls(lateral, np.full(4, 0.05), joints("hip", "knee"))
    assert not walls.any()
    assert not perhaps.any()


def test_a_cluster_is_no_row():
    cluster = artery([0.40, 0.42, 0.44, 0.46, 0.48])
    assert not arterial_walls(cluster, np.full(5, 0.05), joints("hip", "knee"))[0].any()


def test_no_joint_no_answer():
    assert not arterial_walls(artery([0.1, 0.3, 0.5, 0.7]), np.full(4, 0.05), [])[0].any()
    assert not arterial_walls(np.zeros((0, 3)), np.zeros(0), joints("hip"))[0].any()


def test_deposits_scattered_in_the_muscles_of_a_thigh_are_rarely_taken():
    """Eight small deposits anywhere in the muscles (a cylinder of 65 mm): in 300 draws, at most 2 % lose any."""
    rng = np.random.default_rng(7)
    lost = 0
    for _ in range(300):
        along = rng.uniform(0.05, 0.95, 8)
        radius, angle = 65.0 * np.sqrt(rng.uniform(0, 1, 8)), rng.uniform(0, 2 * np.pi, 8)
        points = HIP + along[:, None] * (KNEE - HIP)
        points += np.column_stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(8)])
        lost += arterial_walls(points, np.full(8, 0.05), joints("hip", "knee"))[0].any()
    assert lost <= 6


MIRROR = np.array([-1.0, 1.0, 1.0])


def both_legs():
    left = joints("hip", "knee")
    return left + [{**one, "side": "right", "x_mm": -one["x_mm"]} for one in left]


@pytest.mark.parametrize("off", [(0.0, 0.0), (5.0, -4.0)])
def test_short_rows_of_both_legs_that_mirror_each_other_are_arteries(off):
    """Three plaques in one leg and two in the other: neither would be enough alone."""
    left = artery([0.2, 0.45, 0.7], (8.0, -6.0))
    right = artery([0.3, 0.6], (8.0 + off[0], -6.0 + off[1])) * MIRROR
    walls, perhaps = arterial_walls(np.vstack([left, right]), np.full(5, 0.05), both_legs())
    assert walls.all()
    assert not perhaps.any()
    alone, perhaps = arterial_walls(left, np.full(3, 0.05), both_legs())
    assert not alone.any()
    assert perhaps.all()


@pytest.mark.parametrize(("others", "taken", "maybe"), [(2, True, False), (1, False, True)])
def test_a_proven_row_tells_where_the_other_legs_artery_runs(others, taken, maybe):
    """Two of the other leg, too near to each other for a row of their own; one alone may be chance."""
    proven = artery([0.1, 0.3, 0.5, 0.7], (6.0, -4.0))
    other = artery([0.25, 0.3], [(12.0, -8.0), (2.0, 0.0)])[:others] * MIRROR
    walls, perhaps = arterial_walls(np.vstack([proven, other]), np.full(4 + others, 0.05), both_legs())
    assert walls[:4].all()
    assert (walls[4:] == taken).all()
    assert (perhaps[4:] == maybe).all()


def test_plaques_above_the_groin_belong_to_the_row():
    points = artery([-0.25, -0.05, 0.2, 0.35])
    assert arterial_walls(points, np.full(4, 0.05), joints("hip"))[0].all()


def test_rows_that_do_not_mirror_each_other_and_too_few_are_none():
    left = artery([0.2, 0.45, 0.7], (12.0, 0.0))
    elsewhere = artery([0.3, 0.6], (-12.0, 0.0)) * MIRROR
    assert not arterial_walls(np.vstack([left, elsewhere]), np.full(5, 0.05), both_legs())[0].any()
    two = artery([0.2, 0.6])
    assert not arterial_walls(np.vstack([two, two * MIRROR]), np.full(4, 0.05), both_legs())[0].any()


def test_among_many_deposits_about_the_course_five_in_line_prove_nothing():
    rng = np.random.default_rng(3)
    row = np.vstack([artery([0.2, 0.45, 0.7]), artery([0.3, 0.6]) * MIRROR])
    # An arc 25 mm aside, which no line follows.
    along, turn = np.linspace(0.1, 0.9, 6), np.linspace(0.0, 5.2, 6) + rng.uniform(0, 0.2, 6)
    others = np.vstack([artery([a], (25.0 * np.cos(t), 25.0 * np.sin(t))) for a, t in zip(along, turn, strict=True)])
    points = np.vstack([row, others])
    assert not arterial_walls(points, np.full(len(points), 0.05), both_legs())[0].any()


@pytest.mark.parametrize(("number", "reach"), [(8, None), (4, 30.0)])
def test_scattered_deposits_of_both_thighs_are_rarely_taken(number, reach):
    """Eight in each thigh's muscles, or four in each about the course itself: in 300 draws, at most 2 % lose any."""
    rng = np.random.default_rng(11)
    lost = 0
    for _ in range(300):
        legs = []
        for mirror in (np.ones(3), MIRROR):
            along = rng.uniform(0.05, 0.95, number)
            radius = (reach or 65.0) * np.sqrt(rng.uniform(0, 1, number))
            angle = rng.uniform(0, 2 * np.pi, number)
            away = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(number)])
            middle = artery(along) if reach else HIP + along[:, None] * (KNEE - HIP)
            legs.append((middle + away) * mirror)
        points = np.vstack(legs)
        lost += arterial_walls(points, np.full(len(points), 0.05), both_legs())[0].any()
    assert lost <= 6


def test_plaques_on_opposite_walls_are_of_one_artery():
    """Every plaque 4 mm beside the axis, to other sides: no line through two of them passes all others."""
    walls = np.array([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0], [2.0, -3.5]])
    points = artery([-0.05, 0.2, 0.45, 0.7], noise=walls)
    assert arterial_walls(points, np.full(4, 0.05), joints("hip", "knee"))[0].all()
    # Two more about the course, and the four may be chance.
    more = artery([0.3, 0.6], [(20.0, -12.0), (-22.0, 8.0)])
    assert not arterial_walls(np.vstack([points, more]), np.full(6, 0.05), joints("hip", "knee"))[0].any()
