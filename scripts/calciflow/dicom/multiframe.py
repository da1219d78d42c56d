"""Enhanced multi-frame objects: each frame's header from its functional groups (DICOM PS3.3 C.7.6.16)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydicom.dataset import Dataset

from calciflow.dicom.fields import items, number, numbers, text, texts, whole
from calciflow.dicom.headers import ENHANCED_PET, TAGS, Header
from calciflow.dicom.pixels import check_size
from calciflow.errors import Refusal

PLANE_POSITION, PLANE_ORIENTATION, MEASURES = 0x00209113, 0x00209116, 0x00289110
TRANSFORMATION, CONTENT = 0x00289145, 0x00209111
CT_TYPE, PET_TYPE = 0x00189329, 0x00189751
FRAME_TYPE = 0x00089007
CT_RECONSTRUCTION, CT_ACQUISITION = 0x00189314, 0x00189321
MAPPING, MAPPING_UNITS = 0x00409096, 0x004008EA
STACK_TIME = 0x00189074
TEMPORAL_INDEX = 0x00209128
UNIT_CODES = {
    "Bq/ml": "BQML",
    "BQML": "BQML",
    "g/ml": "GML",
    "{SUVbw}g/ml": "GML",
    "g/ml{SUVbw}": "GML",
    "{counts}": "CNTS",
}
"""UCUM codes of Measurement Units (0040,08EA) in PET objects, PS3.16 context groups 84 and 85."""


def _from(groups: Sequence[Dataset], sequence: int) -> Dataset:
    """First item of a functional group: the frame's own, else the shared one."""
    for group in groups:
        found = items(group, sequence)
        if found:
            return found[0]
    return Dataset()


def frame_headers(dataset: Dataset, base: Header) -> list[Header]:
    """Headers of all frames of an enhanced CT or PET object."""
    shared = items(dataset, TAGS["SharedFunctionalGroupsSequence"])[:1]
    headers = []
    for index, own in enumerate(items(dataset, TAGS["PerFrameFunctionalGroupsSequence"])):
        groups = [own, *shared]
        content = _from(groups, CONTENT)
        kind = _from(groups, PET_TYPE if base.sop_class in ENHANCED_PET else CT_TYPE)
        reconstruction = _from(groups, CT_RECONSTRUCTION)
        measures = _from(groups, MEASURES)
        transformation = _from(groups, TRANSFORMATION)
        corrected = base.corrected
        if text(dataset, TAGS["AttenuationCorrected"]).upper() == "YES" and "ATTN" not in corrected:
            corrected = (*corrected, "ATTN")
        headers.append(
            replace(
                base,
                frame=index,
                sop_uid=f"{base.sop_uid}#{index}",
                position=numbers(_from(groups, PLANE_POSITION), TAGS["ImagePositionPatient"], 3) or base.position,
                orientation=numbers(_from(groups, PLANE_ORIENTATION), TAGS["ImageOrientationPatient"], 6)
                or base.orientation,
                spacing=numbers(measures, TAGS["PixelSpacing"], 2) or base.spacing,
                thickness=number(measures, TAGS["SliceThickness"]) or base.thickness,
                image_type=tuple(v.upper() for v in texts(kind, FRAME_TYPE)) or base.image_type,
                kernel=text(reconstruction, TAGS["ConvolutionKernel"]) or base.kernel,
                moment=text(content, STACK_TIME) or base.moment,
                temporal=whole(content, TEMPORAL_INDEX),
                slope=number(transformation, TAGS["RescaleSlope"]),
                intercept=number(transformation, TAGS["RescaleIntercept"]),
                rescale_type=text(transformation, TAGS["RescaleType"]).upper(),
                units=base.units or _units(groups),
                corrected=corrected,
            )
        )
    return headers


def _units(groups: Sequence[Dataset]) -> str:
    mapping = _from(groups, MAPPING)
    code = text(_from([mapping], MAPPING_UNITS), 0x00080100)
    rescaled = text(_from(groups, TRANSFORMATION), TAGS["RescaleType"]).upper()
    return UNIT_CODES.get(code, rescaled if rescaled in ("BQML", "GML", "CNTS") else "")


def frame_rescale(dataset: Dataset, frame: int) -> tuple[float, float]:
    """Slope and intercept of one frame.

    Raises
    ------
    Refusal
        ``scaling`` if they are missing, or the slope is not positive.
    """
    groups = _groups(dataset, frame)
    transformation = _from(groups, TRANSFORMATION)
    slope, intercept = number(transformation, TAGS["RescaleSlope"]), number(transformation, TAGS["RescaleIntercept"])
    if slope is None or intercept is None or slope <= 0:
        raise Refusal("scaling", "Pixel Value Transformation (0028,9145) is missing or absurd: send the originals.")
    check_size(slope, intercept)
    return slope, intercept


def _groups(dataset: Dataset, frame: int) -> list[Dataset]:
    own: list[Any] = items(dataset, TAGS["PerFrameFunctionalGroupsSequence"])[frame : frame + 1]
    return [*own, *items(dataset, TAGS["SharedFunctionalGroupsSequence"])[:1]]


__all__ = ["frame_headers", "frame_rescale"]
