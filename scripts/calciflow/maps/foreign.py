"""Other programs' maps of a scan, put over the built-in ones, with an account of what came from where."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calciflow.images import Volume
from calciflow.maps.merge import merge, regions_in_view
from calciflow.maps.reading import read_map


def with_foreign_maps(
    ct: Volume,
    tissues: NDArray[np.uint8],
    regions: NDArray[np.uint8],
    anatomy: Mapping[str, Any],
    maps: Sequence[tuple[str, str]],
    grid_mm: float,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], dict[str, Any]]:
    """Read the maps, and put them over the built-in ones.

    Parameters
    ----------
    ct
        HU.
    tissues, regions, anatomy
        What the built-in step found.
    maps
        Kind and path of each, the first before the others.
    grid_mm
        Block size on which regions are corrected.

    Returns
    -------
    tissues, regions
        The merged maps, uint8 on the CT's grid.
    sources
        0 where the tissue is the built-in one, else the number of the map, from 1.
    anatomy
        The built-in anatomy, brought up to date, with the account under ``sources``. Bone that was uncertain and that
        a map now speaks of is uncertain no more.

    Raises
    ------
    ScanError
        If a map is missing, damaged, of another kind, or of another scan.
    """
    merged = merge(ct, tissues, regions, [read_map(kind, path, ct) for kind, path in maps], grid_mm)
    told = dict(anatomy)
    if merged.account["region_voxels_changed"]:
        told["regions"] = regions_in_view(merged.regions, ct.spacing, grid_mm)
    pieces = list(anatomy.get("uncertain_bone") or [])
    told["uncertain_bone"] = [piece for piece in pieces if not _spoken_of(piece, ct, merged.sources)]
    account = {**merged.account, "uncertain_bone_settled": len(pieces) - len(told["uncertain_bone"])}
    told["warnings"] = [*anatomy.get("warnings", []), *merged.warnings]
    return merged.tissues, merged.regions, merged.sources, {**told, "sources": account}


def _spoken_of(piece: Mapping[str, Any], ct: Volume, sources: NDArray[np.uint8]) -> bool:
    """Whether a foreign map labels the middle of a piece."""
    place = ct.index(np.array([[piece["x_mm"], piece["y_mm"], piece["z_mm"]]]))[0]
    z, y, x = np.clip(np.rint(place).astype(int), 0, np.array(sources.shape) - 1)
    return bool(sources[z, y, x])
