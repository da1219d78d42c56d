"""Tissue and region maps of a CT."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.anatomy.belly import rib_layer, shut_belly, wall_bone
from calciflow.anatomy.body import outline, refine
from calciflow.anatomy.bone import tempered
from calciflow.anatomy.cartilage import between_vertebrae
from calciflow.anatomy.cavity import find_cavity
from calciflow.anatomy.draw import bone_edge, rim, skin_shell, spread
from calciflow.anatomy.grid import (
    Grid,
    Mask,
    block_mean,
    blocks,
    bounding_box,
    centres,
    covered,
    distance,
    erode,
    expand,
    expand_box,
    fine_box,
    transfer,
)
from calciflow.anatomy.joints import RADIUS_MM, Joint, arm_joints, leg_joints, noise, region_table
from calciflow.anatomy.levels import LEVELS
from calciflow.anatomy.places import places
from calciflow.anatomy.plan import find_levels, find_midline, follow_arms, trunk_of
from calciflow.anatomy.regions import assign, slope_inlet
from calciflow.anatomy.skeleton import Finding, find_skeleton, settle
from calciflow.anatomy.soft import FAT_EDGE_HU, find_lungs, muscle_compartment, thorax_of
from calciflow.anatomy.twin import Twins
from calciflow.files import write_json
from calciflow.images import Volume, read_volume, write_volume
from calciflow.labels import REGION_LABELS, TISSUES, region_label
from calciflow.maps.foreign import with_foreign_maps
from calciflow.tables import write_table

LUNG_HU = -300
"""Between lung, also where it is dense, and fat."""

BONE_GRID_MM = 2.05
"""Blocks on which bone is found: two voxels of a 512 matrix."""

UNCERTAIN = (0.1, 0.9)
"""Between these probabilities of being bone an object is reported as uncertain."""


@dataclass(frozen=True)
class Maps:
    """Label maps of a CT and what is known of its anatomy.

    Attributes
    ----------
    tissues, regions
        uint8, on the CT's grid.
    anatomy
        The content of ``desc-tissues.json``.
    """

    tissues: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    anatomy: dict[str, Any]


def _whole_blocks(shape: tuple[int, ...], spacing: tuple[float, ...], largest_mm: float) -> Grid:
    factors = [max(1, int(largest_mm / step)) for step in spacing]
    return Grid(
        (factors[0], factors[1], factors[2]),
        (-(-shape[0] // factors[0]), -(-shape[1] // factors[1]), -(-shape[2] // factors[2])),
        (shape[0], shape[1], shape[2]),
        (spacing[0] * factors[0], spacing[1] * factors[1], spacing[2] * factors[2]),
    )


def segment(volume: Volume, grid_mm: float = 4.0) -> Maps:
    """Segment a CT.

    Parameters
    ----------
    volume
        HU, int16, closest to RAS.
    grid_mm
        Block size in mm of the grid for topology.
    """
    shape = volume.array.shape
    coarse = blocks(shape, volume.spacing, grid_mm)
    found = outline(block_mean(volume.array, coarse), coarse)
    tissues, regions = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    if not found.body.any():
        return Maps(tissues, regions, _empty_anatomy())
    # All later work happens in the body's box, which begins on a block border.
    coarse_box = bounding_box(found.body, 2)
    box = fine_box(coarse_box, coarse)
    at_border = tuple(
        end for part, size in zip(box, shape, strict=True) for end in (part.start == 0, part.stop == size)
    )
    part = _segment_box(volume.crop(box), found.body[coarse_box], found.air[coarse_box], grid_mm, at_border)
    tissues[box], regions[box] = part.tissues, part.regions
    return Maps(tissues, regions, part.anatomy)


def _segment_box(volume: Volume, body: Mask, air: Mask, grid_mm: float, at_border: tuple[bool, ...]) -> Maps:
    """Segment the box around a body whose outline on the coarse grid is known.

    ``at_border`` says for each face of the box (low and high of each axis) whether it is a border of the CT.
    """
    ct, spacing = volume.array, volume.spacing
    grid = blocks(ct.shape, spacing, grid_mm)
    hu = block_mean(ct, grid)
    warnings: list[str] = []
    lungs = find_lungs(hu, air, grid)
    thorax = thorax_of(lungs, grid)

    middle_grid = _whole_blocks(ct.shape, spacing, BONE_GRID_MM)
    inside = transfer(body, grid, middle_grid)
    middle = tempered(block_mean(ct, middle_grid), inside, middle_grid)
    depth = distance(body, grid.spacing)
    finding = find_skeleton(middle, inside, transfer(depth, grid, middle_grid), middle_grid)

    # First with the sure skeleton; where the other dense objects lie then says what they are.
    bone = covered(finding.bone, middle_grid, grid) > 0.3
    skull = transfer(finding.skull, middle_grid, grid)
    midline, right, aside, notes = find_midline(volume, body, grid)
    warnings += notes
    arms = follow_arms(bone, body, lungs, thorax, skull, right, aside, grid, (at_border[4], at_border[5]))
    levels, trunk_bone = find_levels(grid, body, bone, lungs, skull, right, aside, arms)
    regions = assign(body, bone, levels, right, aside, arms, grid)
    dense = (covered(finding.others, middle_grid, grid) > 0.1) & ~bone
    compartment = muscle_compartment(hu, body, bone, dense, grid)
    trunk = trunk_of(regions, levels, right, grid)
    trunk &= np.isin(regions, [region_label(r, s) for r in ("chest", "abdomen", "pelvis") for s in ("left", "right")])
    column = int(np.clip(right[right.shape[0] // 2, 0].argmax(), 2, right.shape[2] - 3))
    pelvis, belly = (
        np.minimum(levels["left"], levels["right"]) <= LEVELS.index(name) for name in ("pelvis", "abdomen")
    )
    compartment = shut_belly(compartment, lungs, trunk_bone, trunk, pelvis, column, grid)
    outer = ~erode(compartment, 35.0, grid.spacing, flat=True)
    others = covered(finding.others, middle_grid, grid) > 0.2
    trunk_bone |= others & (outer | rib_layer(thorax, grid, flat=True)) & trunk
    apart = np.isin(finding.labels, [candidate.label for candidate in finding.candidates if not candidate.tied])
    in_the_way = wall_bone(trunk_bone, covered(apart, middle_grid, grid) > 0.1, outer, belly, aside, grid)
    cavity = find_cavity(hu, compartment, lungs, air, in_the_way, trunk, pelvis, column, grid)

    ribs = rib_layer(thorax, grid) & ~cavity
    finding, uncertain = _decide(
        finding, regions, cavity, ribs, aside, float(midline.point[0]), grid, middle_grid, volume
    )
    skeleton, leftover = finding.bone, finding.others & ~finding.bone

    hull = transfer(compartment, grid, middle_grid)
    edge = transfer(rim(compartment, grid), grid, middle_grid)
    muscle = np.where(edge & ~leftover, middle > FAT_EDGE_HU, hull)
    flesh = refine(ct, body, grid)
    tissue = np.where(flesh, np.uint8(TISSUES["subcutaneous_fat"]), np.uint8(0))
    for name, mask, own_grid in (
        ("muscle", muscle, middle_grid),
        ("viscera", cavity, grid),
        ("viscera", skull, grid),
    ):
        box, fine = expand_box(mask, own_grid)
        tissue[box][fine & flesh[box]] = TISSUES[name]
    above_hips = np.minimum(levels["left"], levels["right"]) >= LEVELS.index("abdomen")
    box, fine = expand_box(between_vertebrae(bone & above_hips[:, None, None], aside, grid), grid)
    tissue[box][fine & flesh[box]] = TISSUES["other"]
    # What contrast agent fills is no muscle, wherever it runs: vessels, and bowel that the cavity's outline left out.
    box, fine = expand_box(finding.blood, middle_grid)
    tissue[box][fine & flesh[box] & (ct[box] > FAT_EDGE_HU)] = TISSUES["viscera"]
    # Around a lung's blocks what holds air is lung in viscera only: elsewhere it is gas under the skin.
    box, fine = expand_box(ndimage.binary_dilation(lungs), grid)
    tissue[box][fine & flesh[box] & (ct[box] < LUNG_HU) & (tissue[box] == TISSUES["viscera"])] = TISSUES["lung"]
    box, fine = expand_box(lungs, grid)
    tissue[box][fine & flesh[box] & (ct[box] < LUNG_HU)] = TISSUES["lung"]
    tissue[skin_shell(flesh, spacing)] = TISSUES["skin"]
    tissue[bone_edge(ct, middle, skeleton, leftover, middle_grid) & flesh] = TISSUES["bone"]

    regions = slope_inlet(regions, bone, lungs, levels, aside, grid)
    region_full = expand(spread(regions), grid) * flesh
    anatomy = {
        "regions": region_table(regions, body, at_border, grid),
        "joints": _places(volume, arm_joints(arms) + leg_joints(levels, trunk_bone, right, grid), grid),
        "midline": {"point_mm": midline.point.tolist(), "normal": midline.normal.tolist()},
        "noise_hu": noise(ct, compartment & ~cavity & ~bone & (hu > 0) & (hu < 90), grid),
        "body_volume_ml": round(float(body.sum()) * grid.block_ml, 1),
        "uncertain_bone": uncertain,
        "warnings": warnings,
    }
    return Maps(tissue, region_full, anatomy)


def _decide(
    finding: Finding,
    regions: NDArray[np.uint8],
    cavity: Mask,
    ribs: Mask,
    aside: NDArray[np.float32],
    plane: float,
    grid: Grid,
    middle_grid: Grid,
    volume: Volume,
) -> tuple[Finding, list[dict[str, float]]]:
    """Judge the dense objects by their places and by symmetry as well, and list what is uncertain."""
    ratio = np.array(middle_grid.factors, float)

    def fine(blocks: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray((blocks + 0.5) * ratio - 0.5)

    labels = finding.labels[tuple(finding.dense.T)]
    sure = finding.sure[labels]
    twins = Twins(volume.world(fine(finding.dense)), labels, sure, plane) if sure.any() else None
    settled, chances = settle(
        finding, places(finding, regions, cavity, ribs, aside, grid, middle_grid), twins, middle_grid
    )
    uncertain = []
    for candidate, chance in chances:
        if UNCERTAIN[0] < chance < UNCERTAIN[1]:
            x, y, z = volume.world(fine(np.array(candidate.centre))[None])[0]
            uncertain.append(
                {
                    "x_mm": round(float(x), 1),
                    "y_mm": round(float(y), 1),
                    "z_mm": round(float(z), 1),
                    "volume_ml": round(candidate.shape.volume_ml, 3),
                    "bone_probability": round(chance, 3),
                }
            )
    return settled, uncertain


def _empty_anatomy() -> dict[str, Any]:
    return {
        "regions": {},
        "joints": [],
        "midline": {"point_mm": [0.0, 0.0, 0.0], "normal": [1.0, 0.0, 0.0]},
        "noise_hu": None,
        "body_volume_ml": 0.0,
        "uncertain_bone": [],
        "warnings": ["No body was found."],
    }


def _places(volume: Volume, joints: list[Joint], grid: Grid) -> list[dict[str, Any]]:
    """Joints in RAS mm."""
    out = []
    for name, side, place in joints:
        fine = [float(np.interp(place[axis], np.arange(grid.shape[axis]), centres(grid, axis))) for axis in range(3)]
        x, y, z = (round(float(value), 1) for value in volume.world(np.array([fine]))[0])
        out.append({"name": name, "side": side, "x_mm": x, "y_mm": y, "z_mm": z, "radius_mm": RADIUS_MM[name]})
    return out


def segment_scan(
    *,
    ct: str,
    tissues: str,
    tissues_tsv: str,
    regions: str,
    regions_tsv: str,
    anatomy: str,
    sources: str,
    maps: Sequence[tuple[str, str]] = (),
    grid_mm: float = 4.0,
) -> None:
    """Write the tissue and region maps of a scan (the stage ``tissues``).

    ``maps`` are other programs' maps, (kind, path), the first before the others; ``sources`` says for each voxel which
    of them its tissue is from, 0 for the built-in map.
    """
    volume = read_volume(ct)
    found = segment(volume, grid_mm)
    tissue_map, region_map, told = found.tissues, found.regions, found.anatomy
    origin = np.zeros(1, np.uint8)
    if maps:
        tissue_map, region_map, origin, told = with_foreign_maps(volume, tissue_map, region_map, told, maps, grid_mm)
    write_volume(sources, volume.like(np.broadcast_to(origin, tissue_map.shape)), np.uint8)
    write_volume(tissues, volume.like(tissue_map), np.uint8)
    write_volume(regions, volume.like(region_map), np.uint8)
    write_table(tissues_tsv, [{"index": v, "name": k} for k, v in TISSUES.items()], ("index", "name"))
    write_table(
        regions_tsv,
        [{"index": v, "name": r, "side": s} for v, (r, s) in REGION_LABELS.items()],
        ("index", "name", "side"),
    )
    write_json(anatomy, told)
