"""Edges at full resolution, on shapes of known size."""

import numpy as np
import pytest

from calciflow.anatomy.draw import SKIN_MM, skin_shell


def cone(spacing, slope):
    """A limb of 50 mm radius that narrows by ``slope`` mm a mm; returns the mask, its border of the image included."""
    z, y, x = (np.arange(-half, half + step / 2, step) for half, step in zip((40, 80, 80), spacing, strict=True))
    radius = 50 - slope * z
    return np.hypot(y[:, None], x[None])[None] <= radius[:, None, None], radius


@pytest.mark.parametrize("slope", [0.0, 0.5])
@pytest.mark.parametrize("spacing", [(1.0, 0.8, 0.8), (2.5, 1.0, 1.0), (5.0, 1.0, 1.0), (5.0, 1.5, 1.5)])
def test_skin_is_as_thick_whatever_the_slices(spacing, slope):
    """Half of a thin person's fat was called skin where slices are thick and the surface slopes."""
    body, radius = cone(spacing, slope)
    across = SKIN_MM * np.hypot(1, slope)  # measured in the slice
    true = np.pi * (radius**2 - (radius - across) ** 2).sum() * spacing[1] ** -2
    assert skin_shell(body, spacing).sum() / true == pytest.approx(1, abs=0.5 * spacing[1] / SKIN_MM)


def test_a_coarse_voxel_leaves_one_layer_and_the_image_s_border_is_no_skin():
    body = np.ones((6, 20, 20), bool)
    assert not skin_shell(body, (3.0, 1.0, 1.0)).any()
    body[:, :5] = False
    assert skin_shell(body, (6.0, 4.0, 4.0)).sum(axis=1).tolist() == [[1] * 20] * 6
    # A slice whose middle lies within the skin is skin; one of 6 mm above air is not.
    body = np.zeros((6, 9, 9), bool)
    body[:3] = True
    assert skin_shell(body, (3.0, 1.0, 1.0)).sum() == 81
    assert not skin_shell(body, (6.0, 1.0, 1.0)).any()
