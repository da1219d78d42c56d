"""Region and side of a lesion."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calciflow.anatomy.midline import off_midline
from calciflow.labels import AXIAL_REGIONS, region_of


def place(
    labels: NDArray[np.uint8], centre_mm: NDArray[np.float64], midline: Mapping[str, Any] | None, midline_mm: float
) -> tuple[str | None, str | None]:
    """Region and side by the majority of a lesion's voxels.

    Parameters
    ----------
    labels
        Region labels of the lesion's voxels.
    centre_mm
        Its centre, RAS mm.
    midline
        ``point_mm`` and ``normal`` of the body's plane of symmetry.
    midline_mm
        An axial lesion whose centre lies that near to the plane has the side ``midline``.
    """
    known = labels[labels > 0]
    if not len(known):
        return None, None
    region, side = region_of(int(np.bincount(known).argmax()))
    if region in AXIAL_REGIONS and off_midline(centre_mm, midline) <= midline_mm:
        side = "midline"
    return region, side
