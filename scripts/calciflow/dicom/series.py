"""Grouping images into volumes: one candidate for each series, or part of one, with its geometry."""

from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from calciflow.dicom.geometry import MINIMUM_SLICES, SAME_PLACE_MM, Grid, build_grid
from calciflow.dicom.headers import ENHANCED_CT, ENHANCED_PET, IMAGE_CLASSES, Header, sop_name
from calciflow.errors import Refusal

ORIENTATION_TOLERANCE = 1e-3
SPACING_TOLERANCE = 1e-3
WHOLE_FRAMES = 0.5
"""Repeated positions are taken for time frames when each frame covers at least this part of all positions. Ours."""


@dataclass(eq=False)
class Group:
    """Images that could make one volume: a series, or a part of one that differs in kind.

    Attributes
    ----------
    number
        Ordinal in ``_series.tsv``, from 1.
    source
        Column of the sheet that it came from: ``source``, ``ct_source`` or ``pet_source``.
    headers
        Its images in the order of the files.
    part
        Word for what tells it from the other parts of its series: ``""``, ``dynamic``, ``acquisition``, ...
    grid
        Its geometry, if it is a sound volume of slices.
    fault
        Why it is none.
    siblings
        Number of groups of the same series.
    pieces, terms, leader
        For a volume joined from several series (:mod:`calciflow.dicom.join`): they, lowest first; how its slices are
        made of theirs; and the piece that gave the grid.
    """

    number: int
    source: str
    headers: list[Header]
    part: str = ""
    grid: Grid | None = None
    fault: Refusal | None = None
    siblings: int = 1
    pieces: tuple["Group", ...] = ()
    terms: list[tuple[int, int, int, float]] = field(default_factory=list)
    leader: int = 0

    @property
    def first(self) -> Header:
        """The header that speaks for the series."""
        return self.headers[0]

    @property
    def is_ct(self) -> bool:
        """Whether it holds CT images (not captures of them)."""
        return self.first.modality == "CT" and self.first.sop_class in ("", IMAGE_CLASSES[0], *ENHANCED_CT)

    @property
    def is_pet(self) -> bool:
        """Whether it holds PET images (not captures of them)."""
        return self.first.modality == "PT" and self.first.sop_class in ("", IMAGE_CLASSES[1], *ENHANCED_PET)

    @property
    def extent(self) -> float:
        """Length along the slice axis in mm, the slices' own thickness included."""
        return self.grid.increment * len(self.grid.slots) if self.grid else 0.0

    @property
    def box(self) -> np.ndarray[Any, Any] | None:
        """Lowest and highest RAS corner (2, 3) in mm of its voxels' outer faces."""
        if self.grid is None:
            return None
        size = np.array(self.grid.shape[::-1], float)
        corners = np.array([[(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]], float).reshape(8, 3)
        points = (corners * size - 0.5) @ self.grid.affine[:3, :3].T + self.grid.affine[:3, 3]
        return np.array([points.min(axis=0), points.max(axis=0)])

    @property
    def voxel(self) -> float:
        """Voxel volume in mm3."""
        return float(abs(np.linalg.det(self.grid.affine[:3, :3]))) if self.grid else 0.0


def _same(one: Header, two: Header) -> bool:
    """Whether two images of a series have the same orientation and pixel size."""
    for left, right, tolerance in (
        (one.orientation, two.orientation, ORIENTATION_TOLERANCE),
        (one.spacing, two.spacing, SPACING_TOLERANCE),
    ):
        if left is None or right is None:
            if left is not right:
                return False
        elif max(abs(a - b) for a, b in zip(left, right, strict=True)) > tolerance * max(1.0, *map(abs, left)):
            return False
    return True


def _kind(header: Header) -> tuple[Hashable, ...]:
    """What must be equal within a volume, apart from numbers that may differ by rounding."""
    return (
        header.study_uid,
        header.series_uid or ("", header.series_number),
        header.modality,
        header.sop_class,
        header.frame_uid,
        header.rows,
        header.columns,
        header.samples,
        header.image_type[2:3],
        "MIP" in header.image_type or "PROJECTION IMAGE" in header.image_type,
        "ATTN" in header.corrected,
        header.units,
        header.position is None,
    )


def _split_by(headers: list[Header], key: Callable[[Header], Hashable]) -> list[list[Header]]:
    parts: dict[Hashable, list[Header]] = defaultdict(list)
    for header in headers:
        parts[key(header)].append(header)
    return list(parts.values())


def _places(headers: list[Header]) -> int:
    """Number of distinct positions."""
    points = {tuple(round(v / SAME_PLACE_MM / 5) for v in header.position or (0.0,)) for header in headers}
    return len(points)


_SPLITS: tuple[tuple[str, Callable[[Header], Hashable]], ...] = (
    ("gated", lambda h: h.trigger),
    ("dynamic", lambda h: h.temporal),
    ("dynamic", lambda h: (h.frame_time, h.duration)),
    ("acquisition", lambda h: h.acquisition),
    ("dynamic", lambda h: (h.frame_time, h.moment, h.duration)),
)


def _frames(headers: list[Header]) -> list[tuple[str, list[Header]]]:
    """Separate time frames, gates or acquisitions that repeat the same positions within one series."""
    distinct: dict[str, Header] = {}
    copies: list[Header] = []
    for header in headers:
        if header.sop_uid and distinct.setdefault(header.sop_uid, header) is not header:
            copies.append(header)
    single = [h for h in headers if not h.sop_uid or distinct[h.sop_uid] is h]
    places = _places(single)
    if places == len(single) or single[0].position is None:
        return [("", headers)]
    for word, key in _SPLITS:
        parts = _split_by(single, key)
        # Acquisitions may overlap by a few slices only (chest, then abdomen); frames in time repeat most of them.
        least = MINIMUM_SLICES if word == "acquisition" else WHOLE_FRAMES * places
        if len(parts) > 1 and all(_places(p) == len(p) >= least for p in parts):
            for copy in copies:  # a copy goes where its original went
                next(p for p in parts if distinct[copy.sop_uid] in p).append(copy)
            return [(word, part) for part in parts]
    return [("", headers)]


def group(found: list[tuple[str, list[Header]]]) -> list[Group]:
    """Sort images into candidate volumes, number them, and work out the geometry of each CT and PET.

    Parameters
    ----------
    found
        For each source (column of the sheet): its headers.

    Returns
    -------
    list of Group
        Sorted by modality, series number, and first file: the same for the same source, whatever the file system's
        order.
    """
    groups: list[Group] = []
    for source, headers in found:
        kinds: dict[tuple[Hashable, ...], list[list[Header]]] = {}
        for header in headers:
            buckets = kinds.setdefault(_kind(header), [])
            for bucket in buckets[-8:]:  # a series has one or two orientations; a hostile one must not cost n squared
                if _same(bucket[0], header):
                    bucket.append(header)
                    break
            else:
                buckets.append([header])
        for buckets in kinds.values():
            for bucket in buckets:
                frames = _frames(bucket)
                groups += [Group(0, source, part, word) for word, part in frames]
    groups.sort(
        key=lambda g: (g.first.modality, g.first.series_number or 0, g.source, g.first.entry, g.first.frame or 0)
    )
    families: dict[Hashable, int] = defaultdict(int)
    for item in groups:
        families[_family(item)] += 1
    for number, item in enumerate(groups, 1):
        item.number = number
        item.siblings = families[_family(item)]
        if item.is_ct or item.is_pet:
            _measure(item)
    return groups


def _family(item: Group) -> Hashable:
    return item.source, item.first.study_uid, item.first.series_uid or item.first.series_number, item.first.modality


def _measure(item: Group) -> None:
    first = item.first
    missing = [
        name
        for name, value in (
            ("Rows (0028,0010) and Columns (0028,0011)", first.rows and first.columns),
            ("Image Position (0020,0032)", all(h.position is not None for h in item.headers)),
            ("Image Orientation (0020,0037)", first.orientation),
            ("Pixel Spacing (0028,0030)", first.spacing),
        )
        if not value
    ]
    if missing:
        item.fault = Refusal("geometry", f"{missing[0]} is missing or broken: send the original series.")
        return
    assert first.rows is not None
    assert first.columns is not None
    if first.rows < 8 or first.columns < 8:
        item.fault = Refusal("geometry", f"A matrix of {first.columns} x {first.rows} is no slice of a body.")
        return
    try:
        item.grid = build_grid(
            [h.position for h in item.headers if h.position is not None],
            first.orientation or (),
            first.spacing or (),
            first.rows,
            first.columns,
        )
        if first.tilt and abs(first.tilt) > 0.5 and first.modality == "CT":
            raise Refusal(
                "gantry_tilt",
                f"Gantry Tilt (0018,1120) is {first.tilt:g} degrees: send a reconstruction without tilt.",
            )
        if item.grid.slice_axis != 0:
            raise Refusal("geometry", "The slices are not axial: send the axial reconstruction.")
    except Refusal as refusal:
        item.fault = refusal


def describe(item: Group) -> str:
    """Say in words what a group is that is no CT and no PET."""
    return sop_name(item.first.sop_class) if item.first.sop_class else "unknown class"


__all__ = ["MINIMUM_SLICES", "Group", "describe", "group"]
