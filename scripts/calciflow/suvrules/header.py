"""The header values that the SUV rules need, taken out of DICOM data sets without judging them.

Values stay the strings that the header holds, so that what is absurd is refused by the rules, by name, and not by a
parser here. The result holds dates and free text: it belongs into the private selection file, never into results.
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

Tag = tuple[int, int]

# Values that one PET series has once. Should slices differ, the first value is kept and the key listed in `varying`.
SERIES_TAGS: dict[str, Tag] = {
    "manufacturer": (0x0008, 0x0070),
    "image_type": (0x0008, 0x0008),
    "series_type": (0x0054, 0x1000),
    "corrected_image": (0x0028, 0x0051),
    "attenuation_method": (0x0054, 0x1101),
    "units": (0x0054, 0x1001),
    "suv_type": (0x0054, 0x1006),
    "decay_correction": (0x0054, 0x1102),
    "sex": (0x0010, 0x0040),
    "weight": (0x0010, 0x1030),
    "size": (0x0010, 0x1020),
    "timezone": (0x0008, 0x0201),
    "kernel": (0x0018, 0x1210),
    "decay_corrected": (0x0018, 0x9758),
    "attenuation_corrected": (0x0018, 0x9759),
    "decay_correction_datetime": (0x0018, 0x9701),
}
# Values that may differ from slice to slice.
SLICE_TAGS: dict[str, Tag] = {
    "study_date": (0x0008, 0x0020),
    "series_date": (0x0008, 0x0021),
    "series_time": (0x0008, 0x0031),
    "acquisition_date": (0x0008, 0x0022),
    "acquisition_time": (0x0008, 0x0032),
    "acquisition_datetime": (0x0008, 0x002A),
    "frame_reference_time": (0x0054, 0x1300),
    "frame_duration": (0x0018, 0x1242),
    "decay_factor": (0x0054, 0x1321),
    "slope": (0x0028, 0x1053),
    "intercept": (0x0028, 0x1052),
}
ADMINISTRATION_TAGS: dict[str, Tag] = {
    "start_datetime": (0x0018, 0x1078),
    "start_time": (0x0018, 0x1072),
    "dose": (0x0018, 0x1074),
    "half_life": (0x0018, 0x1075),
    "agent": (0x0018, 0x0031),
}
# Private elements: key, group, element's low byte, private creator, the word that Manufacturer must hold where the
# creator was lost on the way (de-identification often drops it and keeps the element).
# GE: conformance statement for Discovery PET/CT, "scan_datetime". Philips: conformance statement, "SUV Scale Factor"
# and "Activity Concentration Scale Factor".
PRIVATE: tuple[tuple[str, int, int, str, str], ...] = (
    ("ge_scan_datetime", 0x0009, 0x0D, "GEMS_PETD_01", "GE"),
    ("philips_suv_factor", 0x7053, 0x00, "Philips PET Private Group", "PHILIPS"),
    ("philips_activity_factor", 0x7053, 0x09, "Philips PET Private Group", "PHILIPS"),
)
_RADIOPHARMACEUTICAL = (0x0054, 0x0016)
_SHARED, _PER_FRAME = (0x5200, 0x9229), (0x5200, 0x9230)


def _text(value: Any) -> str | list[str] | None:
    """A header value as text; several values as a list; nothing, or an empty text, as None."""
    if isinstance(value, MultiValue | list | tuple):
        return [str(item).strip() for item in value] or None
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    text = "" if value is None else str(value).strip().strip("\0").strip()
    return text or None


def _value(dataset: Dataset, tag: Tag) -> str | list[str] | None:
    """The text at ``tag``, or None. An element that pydicom cannot convert gives its raw bytes as text."""
    if tag not in dataset:
        return None
    try:
        element = dataset[tag]
        if element.VR == "PN":
            return None  # a name never stands where a rule looks
        return _text(element.value)
    except Exception:
        raw = dataset.get_item(tag)
        return _text(getattr(raw, "value", None))


def _items(dataset: Dataset, tag: Tag) -> list[Dataset]:
    """The items of a sequence; none where it is absent or broken."""
    try:
        value = dataset[tag].value if tag in dataset else None
        return [item for item in value if isinstance(item, Dataset)] if value else []
    except Exception:
        return []


def _code(dataset: Dataset, tag: Tag) -> dict[str, Any]:
    """Code value and meaning of the first item of a code sequence."""
    for item in _items(dataset, tag):
        return {"code": _value(item, (0x0008, 0x0100)), "meaning": _value(item, (0x0008, 0x0104))}
    return {"code": None, "meaning": None}


def _administrations(dataset: Dataset) -> list[dict[str, Any]]:
    found = []
    for item in _items(dataset, _RADIOPHARMACEUTICAL):
        entry: dict[str, Any] = {key: _value(item, tag) for key, tag in ADMINISTRATION_TAGS.items()}
        entry["nuclide"] = _code(item, (0x0054, 0x0300))
        entry["agent_code"] = _code(item, (0x0054, 0x0304))
        found.append(entry)
    return found


def _private(dataset: Dataset, group: int, low: int, creator: str, maker: str) -> str | list[str] | None:
    """A private value by its creator's block; by the element alone where the creator is lost and the maker fits."""
    for block in range(0x10, 0x100):
        if (group, block) in dataset and str(_value(dataset, (group, block))).strip() == creator:
            return _value(dataset, (group, (block << 8) + low))
    if maker in str(_value(dataset, SERIES_TAGS["manufacturer"])).upper().replace("GENERAL ELECTRIC", "GE"):
        for block in range(0x10, 0x100):
            tag = (group, (block << 8) + low)
            if tag in dataset and (group, block) not in dataset:
                return _value(dataset, tag)
    return None


def _first(groups: Sequence[Dataset], sequence: Tag, tag: Tag) -> str | list[str] | None:
    """A value in a functional group: the frame's own group wins over the shared one."""
    for group in groups:
        for item in _items(group, sequence):
            value = _value(item, tag)
            if value is not None:
                return value
    return None


def _frames(dataset: Dataset, order: Sequence[int] | None) -> Iterator[dict[str, Any]]:
    """Per-frame values of an enhanced PET object, under the names of the slice tags."""
    shared = _items(dataset, _SHARED)
    frames = _items(dataset, _PER_FRAME)
    for number in range(len(frames)) if order is None else order:
        groups = [*frames[number : number + 1], *shared]
        values = {key: _value(dataset, tag) for key, tag in SLICE_TAGS.items()}
        content, transform, mapping = (0x0020, 0x9111), (0x0028, 0x9145), (0x0040, 0x9096)
        acquired = _first(groups, content, (0x0018, 0x9074))
        if acquired:
            values.update(acquisition_datetime=acquired, acquisition_date=None, acquisition_time=None)
        values["frame_duration"] = _first(groups, content, (0x0018, 0x9220)) or values["frame_duration"]
        values["decay_factor"] = _first(groups, (0x0018, 0x9736), (0x0054, 0x1321)) or values["decay_factor"]
        values["slope"] = _first(groups, transform, (0x0028, 0x1053)) or values["slope"]
        values["intercept"] = _first(groups, transform, (0x0028, 0x1052)) or values["intercept"]
        values["real_world_slope"] = _first(groups, mapping, (0x0040, 0x9225))
        values["real_world_intercept"] = _first(groups, mapping, (0x0040, 0x9224))
        values["real_world_unit"] = None
        for group in groups:
            for item in _items(group, mapping)[:1]:
                values["real_world_unit"] = values["real_world_unit"] or _code(item, (0x0040, 0x08EA))["code"]
        yield values


def extract(datasets: Sequence[Dataset], frames: Sequence[int] | None = None) -> dict[str, Any]:
    """Take what the SUV rules need from the headers of one PET series.

    Parameters
    ----------
    datasets
        The chosen slices' data sets (pixels not needed), in the order of the stored volume's axis 0 (inferior to
        superior); or one enhanced multi-frame data set.
    frames
        For an enhanced object: frame numbers (from 0) in the order of the stored volume's axis 0; all in file order
        by default.

    Returns
    -------
    dict
        Fit for JSON: one key per tag of ``SERIES_TAGS`` and ``PRIVATE``'s GE entry, ``administrations`` (the distinct
        items of RadiopharmaceuticalInformationSequence), ``varying`` (series keys on which slices differ),
        ``enhanced``, ``number`` of slices, and ``slices``: per key of ``SLICE_TAGS`` a list with one text, or None, a
        slice. Raises nothing, whatever the header holds.
    """
    header: dict[str, Any] = {"enhanced": False, "number": 0, "varying": []}
    slices: dict[str, list[Any]] = {}
    administrations: list[dict[str, Any]] = []
    series_keys = [*SERIES_TAGS, "ge_scan_datetime"]
    header.update(dict.fromkeys(series_keys))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of every odd value; the rules judge them
        for position, dataset in enumerate(datasets):
            private = {
                key: _private(dataset, group, low, creator, maker) for key, group, low, creator, maker in PRIVATE
            }
            series = {key: _value(dataset, tag) for key, tag in SERIES_TAGS.items()}
            series["ge_scan_datetime"] = private.pop("ge_scan_datetime")
            for key, value in series.items():
                if position == 0:
                    header[key] = value
                elif value != header[key] and key not in header["varying"]:
                    header["varying"].append(key)
            administrations += [item for item in _administrations(dataset) if item not in administrations]
            enhanced = bool(_items(dataset, _PER_FRAME))
            header["enhanced"] = header["enhanced"] or enhanced
            rows: list[dict[str, Any]] = (
                list(_frames(dataset, frames))
                if enhanced
                else [{key: _value(dataset, tag) for key, tag in SLICE_TAGS.items()}]
            )
            for row in rows:
                for key, value in {**row, **private}.items():
                    slices.setdefault(key, [None] * header["number"]).append(value)
                header["number"] += 1
    header["administrations"] = administrations
    header["slices"] = slices
    return header
