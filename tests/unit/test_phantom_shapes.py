"""Implicit shapes against closed formulas and brute force."""

import numpy as np
import pytest

from calciflow.images import Volume
from calciflow.phantom.canvas import Canvas
from calciflow.phantom.pose import UPRIGHT
from calciflow.phantom.shapes import Cone, Ellipsoid, Frame, Grid, Loft, Triangle, Union, field, smooth_minimum, tube

GRID = Grid((40, 44, 48), (2.0, 1.5, 1.5), (-35.0, -32.0, -39.0))


def filled_ml(shape, grid=GRID):
    canvas = Canvas(grid)
    canvas.paint(shape, 1000.0, None)
    return float((canvas.hu + 1000).sum(dtype=float) / 2000 * np.prod(grid.spacing) / 1000)


@pytest.mark.parametrize("radius", [6.0, 14.0, 25.0])
def test_sphere_volume(radius):
    sphere = Ellipsoid(np.array([1.3, -0.7, 2.1]), np.full(3, radius))
    # an edge softened over w adds the mean of (r + d)^3 over d in +-w/2
    w = np.mean(GRID.spacing)
    assert filled_ml(sphere) == pytest.approx(4 / 3 * np.pi * (radius**3 + radius * w**2 / 4) / 1000, rel=0.005)


def test_ellipsoid_volume_in_an_oblique_frame():
    frame = Frame.along((0, 0, 0), (0.4, -0.3, 1), (0, 1, 0))
    shape = Ellipsoid(np.zeros(3), np.array([10.0, 16.0, 24.0]), frame)
    assert filled_ml(shape) == pytest.approx(4 / 3 * np.pi * 10 * 16 * 24 / 1000, rel=0.02)


def test_capsule_volume():
    a, b, r = np.array([-12.0, 4, -14]), np.array([10.0, -8, 16]), 8.0
    expected = np.pi * r**2 * np.linalg.norm(b - a) + 4 / 3 * np.pi * r**3
    assert filled_ml(Cone(a, b, r, r)) == pytest.approx(expected / 1000, rel=0.015)


def test_loft_is_an_elliptic_cylinder():
    rows = np.array([[w, 1.0, -2.0, 12, 12, 18, 18] for w in (-20, 0, 20)], float)
    assert filled_ml(Loft(UPRIGHT, rows)) == pytest.approx(np.pi * 12 * 18 * 40 / 1000, rel=0.02)


def test_superellipse_is_larger_and_has_its_area():
    from scipy.special import gamma

    rows = np.array([[w, 0.0, 0.0, 14, 14, 20, 20] for w in (-20, 0, 20)], float)
    p = 2.6
    area = 4 * 14 * 20 * gamma(1 + 1 / p) ** 2 / gamma(1 + 2 / p)
    assert filled_ml(Loft(UPRIGHT, rows, p)) == pytest.approx(area * 40 / 1000, rel=0.02)


def test_triangle_distance_against_brute_force():
    rng = np.random.default_rng(0)
    a, b, c = rng.uniform(-15, 15, (3, 3))
    u, v = np.meshgrid(np.linspace(0, 1, 150), np.linspace(0, 1, 150))
    keep = u + v <= 1
    surface = a + u[keep][:, None] * (b - a) + v[keep][:, None] * (c - a)
    points = rng.uniform(-25, 25, (60, 3)).astype(np.float32)
    truth = np.linalg.norm(points[:, None] - surface[None], axis=2).min(axis=1) - 2.0
    got = Triangle(a, b, c, 2.0).distance(*points.T)
    np.testing.assert_allclose(got, truth, atol=0.15)


def test_cone_distance_against_brute_force():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(-10, 10, (2, 3))
    t = np.linspace(0, 1, 4000)[:, None]
    points = rng.uniform(-25, 25, (60, 3)).astype(np.float32)
    # nearest point of the axis, radius interpolated there
    gaps = np.linalg.norm(points[:, None] - (a + t * (b - a))[None], axis=2)
    best = gaps.argmin(axis=1)
    truth = gaps.min(axis=1) - (3.0 + t[best, 0] * 2.0)
    np.testing.assert_allclose(Cone(a, b, 3.0, 5.0).distance(*points.T), truth, atol=0.02)


def test_field_of_a_union_equals_its_distance():
    shape = Union(
        (tube([[-10, 0, -10], [5, 5, 0], [10, -8, 12]], [4, 6, 5]), Ellipsoid(np.zeros(3), np.full(3, 9.0))), 6.0
    )
    box, got = field(shape, GRID, 4.0)
    x, y, z = GRID.axes(box)
    truth = np.broadcast_to(shape.distance(x, y, z), got.shape)
    near = np.abs(truth) < 3
    assert near.sum() > 500
    np.testing.assert_allclose(got[near], truth[near], atol=1e-3)


def test_a_shape_out_of_view_gives_nothing():
    assert field(Ellipsoid(np.array([500.0, 0, 0]), np.full(3, 5.0)), GRID, 2.0) is None


def test_smooth_minimum_never_exceeds_the_minimum():
    a, b = np.meshgrid(np.linspace(-20, 20, 81), np.linspace(-20, 20, 81))
    got = smooth_minimum(a, b, 8.0)
    sharp = np.minimum(a, b)
    assert (got <= sharp + 1e-9).all()
    assert (sharp - got).max() == pytest.approx(2.0)  # k / 4
    far = np.abs(a - b) > 8
    np.testing.assert_array_equal(got[far], sharp[far])


def test_grid_axes_agree_with_the_affine():
    volume = Volume(np.zeros(GRID.shape, np.uint8), GRID.affine)
    x, y, z = GRID.axes()
    np.testing.assert_allclose(
        volume.world(np.array([[7, 11, 23]]))[0], [x[0, 0, 23], y[0, 11, 0], z[7, 0, 0]], atol=1e-4
    )


@pytest.mark.parametrize("side", ["right", "left"])
def test_lateral_axis_points_away_from_the_midline(side):
    m = 1 if side == "right" else -1
    frame = Frame.along((m * 88, 0, 890), (m * 80, -10, 455), (0, 1, 0), side == "left")
    assert m * frame.axes[0, 0] > 0.99
    np.testing.assert_allclose(frame.axes @ frame.axes.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.concatenate(frame.local(*frame.point(3, 4, 5)[:, None])), [3, 4, 5], atol=1e-4)
