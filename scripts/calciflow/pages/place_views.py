"""Close-ups that tell whether PET and CT lie on each other: head, shoulders, hands, pelvis, knees, feet."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.ndimage import find_objects

from calciflow.labels import TISSUES, region_label
from calciflow.pages.drawing import View, grey, picture_uri
from calciflow.pages.palette import BONE_LINE, SKIN_LINE
from calciflow.pages.planes import AXES, LETTERS, Box, Plane, PointMap, plane
from calciflow.pages.scan_views import BONE_SUV, NO_PET_GREY, Scan, edges
from calciflow.pages.tables import missing, number

PLACES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("head", ("head",), ("left", "right")),
    ("shoulders", ("shoulder",), ("left", "right")),
    ("right hand", ("hand", "fingers"), ("right",)),
    ("left hand", ("hand", "fingers"), ("left",)),
    ("pelvis", ("pelvis",), ("left", "right")),
    ("knees", ("knee",), ("left", "right")),
    ("right foot", ("foot", "toes"), ("right",)),
    ("left foot", ("foot", "toes"), ("left",)),
)
"""Name, regions and sides of each close-up: what moves between CT and PET, and what it hangs on."""

MARGIN_MM = 15.0
PLACE_PIXELS = 240
LEAST_BONE_MM2 = 50.0
"""A section with less bone than a finger's shows nothing to compare."""
SEEN_MOTION_MM = 2.0
"""A place that was moved by this much is also drawn as the header had it."""


@dataclass(frozen=True)
class Place:
    """A close-up with its captions.

    Attributes
    ----------
    name
        ``left hand``.
    note
        What registration says of it.
    views
        As it is used; before it, as the header had it, where that differs.
    beyond
        Whether what is left exceeds the tolerance.
    """

    name: str
    note: str
    views: list[View]
    beyond: bool


def _box(found: list[Box | None], labels: list[int]) -> Box | None:
    boxes = [found[label - 1] for label in labels if label <= len(found)]
    known = [box for box in boxes if box is not None]
    if not known:
        return None
    parts = [slice(min(box[a].start for box in known), max(box[a].stop for box in known)) for a in range(3)]
    return parts[0], parts[1], parts[2]


def best_section(scan: Scan, box: Box, labels: list[int]) -> tuple[str, int, tuple[float, float], float] | None:
    """The plane through a place that shows most of its bone.

    Returns
    -------
    Kind, level (array index), middle (array indices along rows and columns) and extent in mm; None without bone.
    """
    bone = (scan.tissues[box] == TISSUES["bone"]) & np.isin(scan.regions[box], labels)
    found = []
    for kind, (rows, columns) in AXES.items():
        areas = bone.sum(axis=(rows, columns)) * scan.spacing[rows] * scan.spacing[columns]
        level = int(areas.argmax())
        found.append((float(areas[level]), kind, level))
    area, kind, level = max(found)
    if area < LEAST_BONE_MM2:
        return None
    rows, columns = AXES[kind]
    depth = 3 - rows - columns
    middle = tuple((box[axis].start + box[axis].stop - 1) / 2 for axis in (rows, columns))
    extent = max((box[axis].stop - box[axis].start) * scan.spacing[axis] for axis in (rows, columns)) + 2 * MARGIN_MM
    return kind, box[depth].start + level, (middle[0], middle[1]), extent


def _draw(scan: Scan, where: Plane, level: int, label: str) -> View:
    """PET in inverse grey on a plane, the CT's skin and bone outlined."""
    rows, columns = AXES[where.kind]
    depth = 3 - rows - columns
    part: list[slice] = [slice(None)] * 3
    part[depth] = slice(level, level + 1)
    shift = np.zeros(3)
    shift[depth] = level
    flat = Plane(where.kind, where.indices - shift, where.pixel_mm)
    uptake = scan.pet_on(where)
    picture = grey(np.nan_to_num(uptake, nan=0.0), 0.0, BONE_SUV, inverse=True)
    picture[np.isnan(uptake)] = NO_PET_GREY
    tissues = scan.tissues[part[0], part[1], part[2]]
    outlines = [edges(flat, tissues > 0, SKIN_LINE), edges(flat, tissues == TISSUES["bone"], BONE_LINE)]
    height, width = picture.shape
    letters = LETTERS[where.kind]
    return View(label, picture_uri(picture), width, height, where.pixel_mm, letters, outlines=outlines)


def _said(registration: Mapping[str, Any], name: str, table_name: str) -> tuple[str, bool]:
    """What registration says of a region such as ``left knee``, and whether it calls it misregistered."""
    limb = (registration.get("limbs") or {}).get(name) or {}
    left = (registration.get("residual_mm") or {}).get(table_name)
    beyond = table_name in (registration.get("misregistered") or ())
    words = []
    if limb.get("verdict") == "kept" and not missing(limb.get("shift_mm")):
        words.append(f"own correction of {number(limb['shift_mm'], 2)} mm")
    elif limb.get("verdict") == "rejected":
        words.append("a correction of its own was rejected")
    if not missing(left):
        words.append(f"{number(left, 2)} mm left" if float(str(left)) > 0 else "nothing left to correct")
    else:
        words.append("its uptake is out of reach" if beyond else "what is left cannot be measured")
    return ", ".join(words), beyond


def place_note(registration: Mapping[str, Any], regions: tuple[str, ...], sides: tuple[str, ...]) -> tuple[str, bool]:
    """One line on a place, from the sidecar of ``register``; and whether too much is left of a shift."""
    if regions[0] in ("head", "pelvis"):  # one rigid body, told under both sides alike
        return _said(registration, regions[0], f"left {regions[0]}")
    names = [f"{side} {regions[0]}" for side in sides]
    found = [_said(registration, name, name) for name in names]
    texts = [text for text, _ in found]
    note = texts[0] if len(set(texts)) == 1 else "; ".join(f"{s}: {t}" for s, t in zip(sides, texts, strict=True))
    return note, any(beyond for _, beyond in found)


def place_views(scan: Scan, by_header: PointMap, registration: Mapping[str, Any]) -> list[Place]:
    """Draw each place that the CT shows.

    Parameters
    ----------
    by_header
        Where the header has CT points in the PET, RAS mm.
    registration
        Sidecar of ``register``.
    """
    boxes: list[Box | None] = find_objects(scan.regions)
    places = []
    for name, regions, sides in PLACES:
        labels = [region_label(region, side) for region in regions for side in sides]
        box = _box(boxes, labels)
        section = None if box is None else best_section(scan, box, labels)
        if section is None:
            continue
        kind, level, middle, extent = section
        where = plane(kind, scan.ct.array.shape, scan.spacing, level, extent / PLACE_PIXELS, middle, extent)
        views = [_draw(scan, where, level, f"CT outlines over PET, {name}, {kind}")]
        points = scan.ct.world(where.indices[::8, ::8].reshape(-1, 3))
        moved = np.linalg.norm(scan.to_pet(points) - by_header(points), axis=1)
        if float(np.quantile(moved, 0.9)) >= SEEN_MOTION_MM:
            before = replace(scan, to_pet=by_header)
            views.insert(0, _draw(before, where, level, f"CT outlines over PET as the header has it, {name}, {kind}"))
        note, beyond = place_note(registration, regions, sides)
        places.append(Place(name, note, views, beyond))
    return places
