"""The body's outline: what is of a body and what is not."""

import numpy as np

from calciflow.anatomy.body import outline
from calciflow.anatomy.grid import Grid

SHAPE, STEP = (38, 40, 60), (4.0, 4.0, 4.0)
GRID = Grid((1, 1, 1), SHAPE, SHAPE, STEP)


def scene():
    """A thigh, 120 mm wide."""
    hu = np.full(SHAPE, -1000.0, np.float32)
    z, y, x = np.meshgrid(*[np.arange(n) * s for n, s in zip(SHAPE, STEP, strict=True)], indexing="ij")
    away = np.hypot(y - 80, x - 160)
    hu[away < 60] = 40
    hu[away < 14] = 1000
    return hu, z, y, x


def hand(y, x, z):
    """A hand that the field of view cuts off at the wrist: 140 mm long, 28 mm thick, a quarter of it bone."""
    inside = (np.abs(x - 40) < 15) & (np.abs(y - 80) < 42) & (z < 140)
    bones = inside & (np.abs(x - 40) < 7) & (np.abs((y - 80 + 42) % 21 - 10) < 7)
    return inside, bones


def test_a_hand_cut_off_at_the_wrist_is_body():
    hu, z, y, x = scene()
    inside, bones = hand(y, x, z)
    hu[inside], hu[bones] = 20, 700
    rim = inside & (np.abs(x - 40) > 11) & (z % 8 == 0)
    hu[rim] = -250  # skin and air in one block
    share = ((hu[inside] > -150) & (hu[inside] < 300)).mean()
    assert 0.4 < share < 0.65  # less flesh than half a body has
    body = outline(hu, GRID).body
    assert body[bones].all()
    assert body[inside].mean() > 0.8


def test_metal_with_some_flesh_hu_around_it_is_none():
    hu, z, y, x = scene()
    inside, _ = hand(y, x, z)
    hu[inside] = 3000
    hu[inside & (np.abs(x - 40) > 8)] = 0  # the blur of a steel plate passes through soft tissue's HU
    assert not outline(hu, GRID).body[inside].any()


def test_foam_is_none():
    hu, z, y, x = scene()
    inside, _ = hand(y, x, z)
    hu[inside] = -300
    assert not outline(hu, GRID).body[inside].any()


def test_a_field_of_view_within_the_body_is_all_body():
    """A spine or a hip reconstructed large: no air at all, not even in the corners."""
    hu = np.full(SHAPE, 40.0, np.float32)
    hu[:, 15:25, 25:35] = 700
    assert outline(hu, GRID).body.all()
