"""The body's plane of symmetry, as ``desc-tissues.json`` gives it: ``point_mm`` and ``normal``, RAS."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _plane(midline: Mapping[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    normal = np.array(midline["normal"], float)
    return np.array(midline["point_mm"], float), normal / max(float(np.linalg.norm(normal)), 1e-9)


def sides(points_mm: NDArray[np.float64], midline: Mapping[str, Any] | None) -> NDArray[np.float64] | None:
    """Signed distance of points (n, 3) from the plane, mm; None where no plane is known."""
    if not midline or not midline.get("point_mm") or not midline.get("normal"):
        return None
    point, normal = _plane(midline)
    result: NDArray[np.float64] = (points_mm - point) @ normal
    return result


def off_midline(centre_mm: NDArray[np.float64], midline: Mapping[str, Any] | None) -> float:
    """Distance of a point (3,) from the plane, mm; infinite where no plane is known."""
    away = sides(centre_mm[None], midline)
    return float("inf") if away is None else abs(float(away[0]))


def mirrored(centre_mm: NDArray[np.float64], midline: Mapping[str, Any]) -> NDArray[np.float64]:
    """Mirror image of a point (3,), RAS mm."""
    point, normal = _plane(midline)
    image: NDArray[np.float64] = centre_mm - 2.0 * float((centre_mm - point) @ normal) * normal
    return image
