"""One pass over a source: what each file's header says, in plain values."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID

from calciflow.dicom.archive import MEMBER_LIMIT, Entry, walk
from calciflow.dicom.deflated import check_deflated
from calciflow.dicom.fields import number, numbers, text, texts, whole
from calciflow.tree import Tree

HEAD = 1 << 16
"""Bytes read at first; a Siemens header with its private parts has up to 100 KiB, others 4 to 10."""

CT = "1.2.840.10008.5.1.4.1.1.2"
PET = "1.2.840.10008.5.1.4.1.1.128"
ENHANCED_CT = (CT + ".1", CT + ".2")  # enhanced, and legacy-converted enhanced
ENHANCED_PET = ("1.2.840.10008.5.1.4.1.1.130", PET + ".1")
DIRECTORY = "1.2.840.10008.1.3.10"
IMAGE_CLASSES = (CT, PET, *ENHANCED_CT, *ENHANCED_PET)

PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)

TAGS = {
    name: BaseTag(tag)  # made once: pydicom turns a plain number into a tag at each use
    for name, tag in {
        "ImageType": 0x00080008,
        "SOPClassUID": 0x00080016,
        "SOPInstanceUID": 0x00080018,
        "StudyDate": 0x00080020,
        "SeriesDate": 0x00080021,
        "AcquisitionDate": 0x00080022,
        "AcquisitionDateTime": 0x0008002A,
        "SeriesTime": 0x00080031,
        "AcquisitionTime": 0x00080032,
        "Modality": 0x00080060,
        "Manufacturer": 0x00080070,
        "SeriesDescription": 0x0008103E,
        "ManufacturerModelName": 0x00081090,
        "PatientName": 0x00100010,
        "PatientID": 0x00100020,
        "PatientBirthDate": 0x00100030,
        "ContrastBolusAgent": 0x00180010,
        "SliceThickness": 0x00180050,
        "KVP": 0x00180060,
        "TriggerTime": 0x00181060,
        "GantryDetectorTilt": 0x00181120,
        "ConvolutionKernel": 0x00181210,
        "ActualFrameDuration": 0x00181242,
        "PatientPosition": 0x00185100,
        "StudyInstanceUID": 0x0020000D,
        "SeriesInstanceUID": 0x0020000E,
        "SeriesNumber": 0x00200011,
        "AcquisitionNumber": 0x00200012,
        "InstanceNumber": 0x00200013,
        "ImagePositionPatient": 0x00200032,
        "ImageOrientationPatient": 0x00200037,
        "FrameOfReferenceUID": 0x00200052,
        "TemporalPositionIdentifier": 0x00200100,
        "SamplesPerPixel": 0x00280002,
        "NumberOfFrames": 0x00280008,
        "Rows": 0x00280010,
        "Columns": 0x00280011,
        "PixelSpacing": 0x00280030,
        "CorrectedImage": 0x00280051,
        "BitsAllocated": 0x00280100,
        "RescaleIntercept": 0x00281052,
        "RescaleSlope": 0x00281053,
        "RescaleType": 0x00281054,
        "NumberOfSlices": 0x00540081,
        "SeriesType": 0x00541000,
        "Units": 0x00541001,
        "DecayCorrection": 0x00541102,
        "ReconstructionMethod": 0x00541103,
        "FrameReferenceTime": 0x00541300,
        "AttenuationCorrected": 0x00189759,
        "SharedFunctionalGroupsSequence": 0x52009229,
        "PerFrameFunctionalGroupsSequence": 0x52009230,
    }.items()
}
_WANTED: list[BaseTag | int | str | tuple[int, int]] = sorted(TAGS.values())


@dataclass(frozen=True, slots=True)
class Header:
    """What one image (a file, or a frame of a multi-frame file) says of itself.

    Absent and broken values are None or empty. Lengths in mm, patient coordinates as DICOM has them (LPS).
    """

    entry: Entry
    frame: int | None = None
    sop_class: str = ""
    sop_uid: str = ""
    series_uid: str = ""
    study_uid: str = ""
    frame_uid: str = ""
    modality: str = ""
    patient: tuple[str, str, str] = ("", "", "")
    study_date: str = ""
    series_number: int | None = None
    description: str = ""
    image_type: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()
    series_type: tuple[str, ...] = ()
    units: str = ""
    decay: str = ""
    rescale_type: str = ""
    reconstruction: str = ""
    kernel: str = ""
    kvp: float | None = None
    contrast: bool = False
    manufacturer: str = ""
    model: str = ""
    patient_position: str = ""
    acquisition: int | None = None
    instance: int | None = None
    moment: str = ""
    frame_time: float | None = None
    trigger: float | None = None
    temporal: int | None = None
    duration: float | None = None
    samples: int | None = None
    bits: int | None = None
    frames: int | None = None
    rows: int | None = None
    columns: int | None = None
    spacing: tuple[float, ...] | None = None
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    thickness: float | None = None
    tilt: float | None = None
    slope: float | None = None
    intercept: float | None = None
    slices_announced: int | None = None
    transfer_syntax: str = ""
    pixels: bool = False


@dataclass
class Listing:
    """Everything found in the sources.

    Attributes
    ----------
    headers
        One for each image, in the order of the files.
    files
        Number of files looked at.
    broken
        Files that begin as DICOM, or are called so, but whose header cannot be read.
    other
        Number of files that are no DICOM.
    heads
        The first bytes of the first image of each series: what else its header says.
    """

    headers: list[Header] = field(default_factory=list)
    files: int = 0
    broken: list[Entry] = field(default_factory=list)
    other: int = 0
    heads: dict[str, bytes] = field(default_factory=dict)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what pydicom and its decoders say about headers: it quotes values, names among them."""
    reading = pydicom.config.settings.reading_validation_mode
    logger = logging.getLogger("pydicom")
    level = logger.level
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        pydicom.config.settings.reading_validation_mode = reading
        logger.setLevel(level)


def looks_like_dicom(head: bytes) -> bool:
    """Whether a file's first bytes are DICOM: the mark at byte 128, or a first element of group 2 or 8."""
    if head[128:132] == b"DICM":
        return True
    # Without preamble: group 0002 or 0008, a low element number, then a VR or a short length.
    return len(head) >= 16 and head[:2] in (b"\x02\0", b"\x08\0") and head[3] == 0 and head[2] <= 0x70


def parse(data: bytes, tags: list[BaseTag | int | str | tuple[int, int]] | None = None) -> tuple[Dataset, bool]:
    """Read a header from bytes; the second value tells whether pixel data follow within these bytes."""
    check_deflated(data)
    buffer = io.BytesIO(data)
    dataset = pydicom.dcmread(buffer, stop_before_pixels=True, force=True, specific_tags=tags)
    rest = data[buffer.tell() : buffer.tell() + 4]
    big = dataset.file_meta.get("TransferSyntaxUID", "") == "1.2.840.10008.1.2.2"
    group = int.from_bytes(rest[:2], "big" if big else "little")
    return dataset, len(rest) == 4 and group == 0x7FE0


def read_header(entry: Entry, stream: IO[bytes]) -> list[Header] | None:
    """Read the header(s) of one file.

    Returns
    -------
    list of Header or None
        One for each frame; empty for DICOM that is no image (directory, report); None if the file is no DICOM.

    Raises
    ------
    Exception
        Any, if the file is DICOM but broken.
    """
    head = _read(stream, HEAD)
    if not looks_like_dicom(head):
        if entry.size == 0 and entry.name.lower().endswith((".dcm", ".ima")):
            raise EOFError("empty file")
        return None
    dataset: Dataset | None
    try:
        dataset, pixels = parse(head, _WANTED)
    except Exception:
        if entry.size <= len(head):
            raise
        dataset, pixels = None, False  # cut in the middle of an element that matters: read it whole
    if not pixels and entry.size > len(head):
        sop_class = text(dataset, TAGS["SOPClassUID"]) if dataset is not None else ""
        if dataset is None or not sop_class or sop_class in IMAGE_CLASSES:
            head += _read(stream, min(entry.size, MEMBER_LIMIT) - len(head))
            dataset, pixels = parse(head, _WANTED)
    assert dataset is not None
    header = from_dataset(dataset, entry, pixels)
    if header.sop_class == DIRECTORY:
        return []
    if not header.sop_class and not header.modality and not header.series_uid:
        raise ValueError("no image header")
    if header.sop_class in IMAGE_CLASSES and not pixels and not (header.series_uid and header.position):
        raise EOFError("cut off before it says which series it belongs to")
    if dataset.get_item(TAGS["PerFrameFunctionalGroupsSequence"]) is not None and header.sop_class in IMAGE_CLASSES:
        from calciflow.dicom.multiframe import frame_headers

        return frame_headers(dataset, header)
    return [header]


def _read(stream: IO[bytes], count: int) -> bytes:
    parts = []
    while count > 0:
        part = stream.read(count)
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def from_dataset(dataset: Dataset, entry: Entry, pixels: bool = True) -> Header:
    """Take the plain values out of a header."""
    t = TAGS
    moment = text(dataset, t["AcquisitionDateTime"]) or (
        text(dataset, t["AcquisitionDate"]) + text(dataset, t["AcquisitionTime"])
    )
    meta = getattr(dataset, "file_meta", None)
    syntax = str(meta.get("TransferSyntaxUID", "")) if meta is not None else ""
    stored_class = str(meta.get("MediaStorageSOPClassUID", "")) if meta is not None else ""
    return Header(
        entry=entry,
        sop_class=text(dataset, t["SOPClassUID"]) or stored_class,
        sop_uid=text(dataset, t["SOPInstanceUID"]),
        series_uid=text(dataset, t["SeriesInstanceUID"]),
        study_uid=text(dataset, t["StudyInstanceUID"]),
        frame_uid=text(dataset, t["FrameOfReferenceUID"]),
        modality=text(dataset, t["Modality"]).upper(),
        patient=(text(dataset, t["PatientID"]), text(dataset, t["PatientName"]), text(dataset, t["PatientBirthDate"])),
        study_date=text(dataset, t["StudyDate"]),
        series_number=whole(dataset, t["SeriesNumber"]),
        description=text(dataset, t["SeriesDescription"]),
        image_type=tuple(v.upper() for v in texts(dataset, t["ImageType"])),
        corrected=tuple(v.upper() for v in texts(dataset, t["CorrectedImage"])),
        series_type=tuple(v.upper() for v in texts(dataset, t["SeriesType"])),
        units=text(dataset, t["Units"]).upper(),
        decay=text(dataset, t["DecayCorrection"]).upper(),
        rescale_type=text(dataset, t["RescaleType"]).upper(),
        reconstruction=text(dataset, t["ReconstructionMethod"]),
        kernel=text(dataset, t["ConvolutionKernel"]),
        kvp=number(dataset, t["KVP"]),
        contrast=_contrast(text(dataset, t["ContrastBolusAgent"])),
        manufacturer=text(dataset, t["Manufacturer"]),
        model=text(dataset, t["ManufacturerModelName"]),
        patient_position=text(dataset, t["PatientPosition"]).upper(),
        acquisition=whole(dataset, t["AcquisitionNumber"]),
        instance=whole(dataset, t["InstanceNumber"]),
        moment=moment,
        frame_time=number(dataset, t["FrameReferenceTime"]),
        trigger=number(dataset, t["TriggerTime"]),
        temporal=whole(dataset, t["TemporalPositionIdentifier"]),
        duration=number(dataset, t["ActualFrameDuration"]),
        samples=whole(dataset, t["SamplesPerPixel"]),
        bits=whole(dataset, t["BitsAllocated"]),
        frames=whole(dataset, t["NumberOfFrames"]),
        rows=whole(dataset, t["Rows"]),
        columns=whole(dataset, t["Columns"]),
        spacing=numbers(dataset, t["PixelSpacing"], 2),
        position=numbers(dataset, t["ImagePositionPatient"], 3),
        orientation=numbers(dataset, t["ImageOrientationPatient"], 6),
        thickness=number(dataset, t["SliceThickness"]),
        tilt=number(dataset, t["GantryDetectorTilt"]),
        slope=number(dataset, t["RescaleSlope"]),
        intercept=number(dataset, t["RescaleIntercept"]),
        slices_announced=whole(dataset, t["NumberOfSlices"]),
        transfer_syntax=syntax,
        pixels=pixels,
    )


def _contrast(agent: str) -> bool:
    """Whether Contrast/Bolus Agent (0018,0010) names one; some scanners write that there was none."""
    return agent.strip().upper() not in ("", "NONE", "NO", "N", "NIL", "WITHOUT", "0")


def read_listing(source: str | Path | Tree) -> Listing:
    """Read every header of a source once.

    Raises
    ------
    Refusal
        See :func:`calciflow.dicom.archive.walk`.
    """
    listing = Listing()
    with quiet():
        for entry, stream in walk(source):
            listing.files += 1
            seen = _Seen(stream)
            try:
                found = read_header(entry, seen)  # type: ignore[arg-type]
            except Exception:
                if may_be_image(seen.head, entry):
                    listing.broken.append(entry)
                else:
                    listing.other += 1
                continue
            if found is None:
                listing.other += 1
            else:
                listing.headers.extend(found)
                if found:
                    listing.heads.setdefault(found[0].series_uid, seen.head)
    return listing


class _Seen:
    """A stream that remembers how its content began."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.head = b""

    def read(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(self.head) < HEAD:
            self.head += data[: HEAD - len(self.head)]
        return data


def may_be_image(head: bytes, entry: Entry) -> bool:
    """Whether a file with an unreadable header may be a lost image: DICOM by its mark or name, and no other object."""
    if head[128:132] != b"DICM":
        return not head and entry.name.lower().endswith((".dcm", ".ima"))
    at = head.find(b"\x02\0\x02\0UI")  # Media Storage SOP Class UID (0002,0002), always explicit little endian
    if at < 0:
        return True
    size = int.from_bytes(head[at + 6 : at + 8], "little")
    uid = head[at + 8 : at + 8 + size].decode("latin-1").strip(" \0")
    return len(head) < at + 8 + size or uid in IMAGE_CLASSES


def sop_name(uid: str) -> str:
    """Name of a SOP class, from DICOM's own list; a private one is not quoted."""
    name = UID(uid).name
    return name if name != uid else "unknown class"


__all__ = ["Header", "Listing", "from_dataset", "looks_like_dicom", "quiet", "read_header", "read_listing", "replace"]
