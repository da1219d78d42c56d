"""The pictures of one scan's quality control: projections, lesions, registration, tissues and regions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from calciflow.images import Volume
from calciflow.labels import REGION_LABELS, TISSUES
from calciflow.pages.drawing import Outline, View, data_uri, encode_jpeg, fuse, grey, paint, path_of, picture_uri, rings
from calciflow.pages.palette import (
    BONE_LINE,
    CLASS_DASHES,
    COMPARTMENT_COLOURS,
    REGION_COLOURS,
    SKIN_LINE,
    TISSUE_COLOURS,
)
from calciflow.pages.planes import (
    AXES,
    LETTERS,
    Plane,
    PointMap,
    plane,
    project,
    project_inside,
    sample_pet,
    square,
    turntable,
)
from calciflow.pages.tables import lesion_title, missing

MIP_SUV = 10.0
"""End of the grey scale of projections, g/ml: the same for all people; normal bone reads 4 to 7 (Rohren 2015)."""

SLICE_SUVS = (6.0, 10.0, 15.0, 20.0, 30.0, 50.0)
"""Ends of the heat scale of slices, g/ml: the first that most lesions of the scan stay below."""

BONE_SUV = 6.0
"""End of the grey scale over which the CT's outlines are laid, g/ml: bone is then dark."""

NO_PET_GREY = 225
"""Where there is no PET: a grey that uptake cannot be taken for."""

MIP_HU = (150.0, 1300.0)
"""Grey scale of the CT projections: from above soft tissue to cortical bone."""

SLICE_HU = (-160.0, 640.0)
"""Grey scale of CT slices: fat and muscle apart, and most deposits not yet white."""

OVERVIEW_HU = (-200.0, 400.0)
"""Grey scale of whole slices under tissue and region colours."""

MIP_PIXEL_MM = 1.5
PET_STEP_MM = 3.0
"""Grid of the PET's projections: finer than the resolution of any whole-body PET (about 5 mm)."""
TURN_STEP_MM = 4.0
TURN_FRAMES = 18
DETAIL_MM = (70.0, 260.0)
"""Least and greatest side of a lesion's picture: a hand, and half a body; between, the lesion with its surroundings."""
DETAIL_PIXELS = 200
OVERVIEW_PIXEL_MM = 2.0
SILHOUETTE_MM = 4.0
SILHOUETTE_COLOUR = "#9AA3AD"
LESS_THAN_MM = 12.0
"""Lesions smaller than this in a projection get a ring around them: they would be overlooked."""
RING_MM = 22.0
"""Width of the ring."""


@dataclass(frozen=True)
class Scan:
    """A scan's volumes; all but ``suv`` lie on the CT's grid."""

    ct: Volume
    suv: Volume
    tissues: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    lesions: NDArray[np.integer[Any]]
    to_pet: PointMap

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size of the CT along (z, y, x), mm."""
        return self.ct.spacing

    def plane(self, kind: str, level: float, pixel_mm: float) -> Plane:
        """Give a whole plane through the CT."""
        return plane(kind, self.ct.array.shape, self.spacing, level, pixel_mm)

    def pet_on(self, where: Plane) -> NDArray[np.float32]:
        """SUV on a plane; NaN outside the PET."""
        return sample_pet(self.ct, self.suv, self.to_pet, where.indices)


@dataclass(frozen=True)
class Lesion:
    """A lesion's row of the table, its box in the label map, and how it is drawn."""

    row: dict[str, Any]
    box: tuple[slice, slice, slice]

    @property
    def number(self) -> int:
        """Its label."""
        return int(self.row["lesion_id"])

    @property
    def colour(self) -> str:
        """Colour of its compartment."""
        return COMPARTMENT_COLOURS.get(str(self.row["compartment"]), COMPARTMENT_COLOURS["other"])

    @property
    def dashes(self) -> str:
        """Line of its class."""
        return " ".join(f"{length:g}" for length in CLASS_DASHES.get(str(self.row["concordance"]), ()))

    @property
    def size(self) -> float:
        """The larger of its CT and PET volumes, ml."""
        volumes = [self.row.get("ct_volume_ml"), self.row.get("pet_volume_ml")]
        return max((float(v) for v in volumes if v is not None and not missing(v)), default=0.0)

    def outline(self, path: str, filled: bool = False, strong: bool = False, link: bool = True) -> Outline:
        """Lay a path over a picture in this lesion's colour and line."""
        anchor = f"lesion-{self.number}" if link else ""
        return Outline(path, self.colour, self.dashes, lesion_title(self.row), anchor, filled, strong)


def find_lesions(table: pd.DataFrame, labels: NDArray[np.integer[Any]]) -> list[Lesion]:
    """Pair the rows of the lesion table with their boxes in the label map, in the table's order.

    Raises
    ------
    ValueError
        If the table names a lesion that the label map lacks.
    """
    if table.empty:
        return []
    boxes = find_objects(labels, int(table["lesion_id"].max()))
    found = []
    for record in table.to_dict("records"):
        row = {str(key): value for key, value in record.items()}
        box = boxes[int(row["lesion_id"]) - 1]
        if box is None:
            raise ValueError(f"lesion {int(row['lesion_id'])} of the table is not in the label map")
        found.append(Lesion(row, box))
    return found


def projected_rings(
    scan: Scan, lesion: Lesion, kind: str, pixel_mm: float
) -> tuple[list[NDArray[np.float64]], tuple[float, float], float]:
    """Outline of a lesion in a projection: rings, middle (column, row) and greatest extent, in picture pixels."""
    rows, columns = AXES[kind]
    shadow = project(scan.lesions[lesion.box] == lesion.number, kind)
    scale = np.array([scan.spacing[columns], scan.spacing[rows]]) / pixel_mm
    # The picture runs against the indices: its first row and column hold the highest ones.
    first = np.array(
        [scan.ct.array.shape[columns] - lesion.box[columns].stop, scan.ct.array.shape[rows] - lesion.box[rows].stop]
    )
    found = [(ring + first) * scale for ring in rings(shadow)]
    size = np.array(shadow.shape[::-1]) * scale
    middle = first * scale + size / 2
    return found, (float(middle[0]), float(middle[1])), float(size.max())


def circle(middle: tuple[float, float], radius: float) -> str:
    """SVG path of a circle."""
    x, y, r = round(middle[0], 1), round(middle[1], 1), round(radius, 1)
    return f"M{x - r:g},{y:g}a{r:g},{r:g} 0 1,0 {2 * r:g},0a{r:g},{r:g} 0 1,0 {-2 * r:g},0Z"


def lesion_outlines(scan: Scan, lesions: list[Lesion], kind: str, pixel_mm: float, filled: bool) -> list[Outline]:
    """All lesions over a projection, the largest first so that small ones stay on top."""
    outlines = []
    for lesion in sorted(lesions, key=lambda item: -item.size):
        found, middle, extent = projected_rings(scan, lesion, kind, pixel_mm)
        outlines.append(lesion.outline(path_of(found), filled))
        if extent * pixel_mm < LESS_THAN_MM:
            outlines.append(lesion.outline(circle(middle, RING_MM / 2 / pixel_mm)))
    return outlines


def mip_pictures(scan: Scan, coarse: NDArray[np.float32]) -> dict[tuple[str, str], NDArray[np.uint8]]:
    """Grey projections of PET and CT, coronal and sagittal, by (modality, kind); bone and uptake are dark."""
    bone = project_inside(scan.ct.array, scan.tissues, ("coronal", "sagittal"), -1024)
    pictures = {}
    for kind, (rows, columns) in AXES.items():
        if kind == "axial":
            continue
        hu = square(bone[kind], (scan.spacing[rows], scan.spacing[columns]), MIP_PIXEL_MM)
        pictures["ct", kind] = grey(hu, *MIP_HU, inverse=True)
        seen = np.nan_to_num(project(coarse, kind), nan=0.0)
        uptake = square(seen, (PET_STEP_MM, PET_STEP_MM), MIP_PIXEL_MM, hu.shape)
        pictures["pet", kind] = grey(uptake, 0.0, MIP_SUV, inverse=True)
    return pictures


def silhouette(scan: Scan, kind: str, pixel_mm: float) -> list[NDArray[np.float64]]:
    """Outline of the body in a projection: rings of points, in picture pixels."""
    rows, columns = AXES[kind]
    shadow = project(scan.tissues > 0, kind)
    coarse = square(shadow.astype(np.float32), (scan.spacing[rows], scan.spacing[columns]), SILHOUETTE_MM)
    return [ring * (SILHOUETTE_MM / pixel_mm) for ring in rings(coarse)]


def mip_views(scan: Scan, lesions: list[Lesion], pictures: dict[tuple[str, str], NDArray[np.uint8]]) -> dict[str, View]:
    """Four projections: PET and CT, from the front and from the side."""
    seen = {"coronal": "from the front", "sagittal": "from the side"}
    views = {}
    for (modality, kind), picture in pictures.items():
        label = f"{'PET' if modality == 'pet' else 'CT'} maximum intensity projection, {seen[kind]}"
        outlines = lesion_outlines(scan, lesions, kind, MIP_PIXEL_MM, filled=modality == "ct")
        if modality == "ct":
            outlines.insert(0, Outline(path_of(silhouette(scan, kind, MIP_PIXEL_MM)), SILHOUETTE_COLOUR))
        views[f"{modality}_{kind}"] = View(
            label,
            picture_uri(picture),
            picture.shape[1],
            picture.shape[0],
            MIP_PIXEL_MM,
            LETTERS[kind],
            outlines=outlines,
        )
    return views


def turntable_frames(coarse: NDArray[np.float32]) -> tuple[list[str], int, int]:
    """Projections of the PET from all sides, as pictures; and their width and height."""
    step = TURN_STEP_MM / PET_STEP_MM
    picked = [np.rint(np.arange(0, size - 1 + 1e-6, step)).astype(int) for size in coarse.shape]
    views = turntable(coarse[np.ix_(*picked)], TURN_FRAMES)
    frames = [data_uri(encode_jpeg(grey(view, 0.0, MIP_SUV, inverse=True)), "image/jpeg") for view in views]
    return frames, views.shape[2], views.shape[1]


def lesion_level(scan: Scan, lesion: Lesion) -> tuple[int, tuple[float, float]]:
    """Axial slice with the largest section of a lesion, and the section's middle (y, x), array indices."""
    mask = scan.lesions[lesion.box] == lesion.number
    layer = int(mask.sum(axis=(1, 2)).argmax())
    rows, columns = np.nonzero(mask[layer])
    middle = (lesion.box[1].start + float(rows.mean()), lesion.box[2].start + float(columns.mean()))
    return lesion.box[0].start + layer, middle


def slice_scale(lesions: list[Lesion]) -> float:
    """End of the heat scale of this scan's slices, g/ml: four fifths of its lesions stay below."""
    peaks = [float(lesion.row["suv_max"]) for lesion in lesions if not missing(lesion.row.get("suv_max"))]
    wanted = float(np.quantile(peaks, 0.8)) if peaks else 0.0
    return next((end for end in SLICE_SUVS if end >= wanted), SLICE_SUVS[-1])


def detail_views(scan: Scan, lesion: Lesion, by_number: dict[int, Lesion], high: float) -> tuple[View, View]:
    """CT and fused PET/CT detail of the slice with the largest section of a lesion, all outlines laid over."""
    level, middle = lesion_level(scan, lesion)
    widths = [(part.stop - part.start) * step for part, step in zip(lesion.box[1:], scan.spacing[1:], strict=True)]
    extent = float(np.clip(2.0 * max(widths) + 50.0, *DETAIL_MM))
    pixel = extent / DETAIL_PIXELS
    where = plane("axial", scan.ct.array.shape, scan.spacing, level, pixel, middle, extent)
    # One slice is enough, and sampling it alone never touches the other 500.
    flat = Plane(where.kind, where.indices - np.array([level, 0, 0]), where.pixel_mm)
    base = grey(flat.sample(scan.ct.array[level : level + 1], outside=-1024.0), *SLICE_HU)
    uptake = scan.pet_on(where)
    labels = flat.sample(scan.lesions[level : level + 1], order=0)
    outlines = []
    for label in (int(value) for value in np.unique(labels)):
        if label in by_number:
            section = flat.sample((scan.lesions[level : level + 1] == label).astype(np.float32))
            outlines.append(
                by_number[label].outline(path_of(rings(section)), strong=label == lesion.number, link=False)
            )
    title = lesion_title(lesion.row)
    size = base.shape[0]
    letters = LETTERS["axial"]
    plain = View(f"CT, lesion {title}", picture_uri(base), size, size, pixel, letters, True, outlines)
    fused = fuse(base, uptake, high)
    mixed = View(f"PET over CT, lesion {title}", picture_uri(fused), size, size, pixel, letters, True, outlines)
    return plain, mixed


def body_levels(tissues: NDArray[np.uint8], count: int) -> list[int]:
    """Axial slices spread evenly over the body's length; fewer in a short field of view."""
    inside = np.flatnonzero(tissues.reshape(len(tissues), -1).any(axis=1))
    if len(inside) == 0:
        return [len(tissues) // 2]
    places = inside[0] + (inside[-1] - inside[0]) * (np.arange(count) + 0.5) / count
    return sorted({int(place + 0.5) for place in places}, reverse=True)


def coronal_level(tissues: NDArray[np.uint8]) -> int:
    """Coronal slice with the most bone, or the most body where there is no bone."""
    step = tissues[::4]  # every fourth slice tells as well
    bone = (step == TISSUES["bone"]).sum(axis=(0, 2))
    area = bone if bone.any() else (step > 0).sum(axis=(0, 2))
    return int(area.argmax())


def edges(where: Plane, mask: NDArray[np.generic], colour: str) -> Outline:
    """Outline of a mask on a plane."""
    section = where.sample(np.asarray(mask, np.float32))
    return Outline(path_of(rings(section)), colour)


def registration_views(scan: Scan, count: int = 6) -> list[View]:
    """PET in inverse grey with the CT's skin (blue) and bone (orange) outlined: coronal, then axial slices."""
    views = []
    levels = [("coronal", coronal_level(scan.tissues))] + [("axial", z) for z in body_levels(scan.tissues, count)]
    for kind, level in levels:
        where, flat, part = _slice(scan, kind, level)
        uptake = scan.pet_on(where)
        picture = grey(np.nan_to_num(uptake, nan=0.0), 0.0, BONE_SUV, inverse=True)
        picture[np.isnan(uptake)] = NO_PET_GREY
        tissues = scan.tissues[part]
        outlines = [
            edges(flat, tissues > 0, SKIN_LINE),
            edges(flat, tissues == TISSUES["bone"], BONE_LINE),
        ]
        views.append(_overview(f"CT outlines over PET, {kind}", picture, kind, outlines, dark=False))
    return views


def label_views(scan: Scan, which: str, count: int = 4) -> list[View]:
    """Tissues or regions painted over CT: coronal, then axial slices."""
    if which == "tissues":
        colours = {number: TISSUE_COLOURS[name] for name, number in TISSUES.items() if name != "bone"}
        labels, opacity = scan.tissues, 0.45
    else:
        colours = {label: REGION_COLOURS[region] for label, (region, _) in REGION_LABELS.items()}
        labels, opacity = scan.regions, 0.45
    views = []
    levels = [("coronal", coronal_level(scan.tissues))] + [("axial", z) for z in body_levels(scan.tissues, count)]
    for kind, level in levels:
        _, flat, part = _slice(scan, kind, level)
        base = grey(flat.sample(scan.ct.array[part], outside=-1024.0), *OVERVIEW_HU)
        picture = paint(base, flat.sample(labels[part], order=0).astype(np.uint8), colours, opacity)
        outlines = [edges(flat, scan.tissues[part] == TISSUES["bone"], "#FFFFFF")] if which == "tissues" else []
        views.append(_overview(f"{which} over CT, {kind}", picture, kind, outlines, dark=True))
    return views


def _slice(scan: Scan, kind: str, level: int) -> tuple[Plane, Plane, tuple[slice, slice, slice]]:
    """A whole plane; the same plane within its one slice; and that slice of the arrays."""
    axis = {"axial": 0, "coronal": 1, "sagittal": 2}[kind]
    part = [slice(None)] * 3
    part[axis] = slice(level, level + 1)
    where = scan.plane(kind, level, OVERVIEW_PIXEL_MM)
    shift = np.zeros(3)
    shift[axis] = level
    return where, Plane(kind, where.indices - shift, where.pixel_mm), (part[0], part[1], part[2])


def _overview(label: str, picture: NDArray[np.uint8], kind: str, outlines: list[Outline], dark: bool) -> View:
    height, width = picture.shape[:2]
    uri = picture_uri(picture)
    return View(label, uri, width, height, OVERVIEW_PIXEL_MM, LETTERS[kind], dark, outlines)
