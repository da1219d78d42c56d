"""Values of header elements, read so that no broken element can do harm.

The elements are taken raw (bytes as they stand in the file): pydicom's own conversion is strict where hospitals are
not, and several times slower.
"""

import math
import struct
from typing import Any

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

Number = float | None


def raw_bytes(dataset: Dataset, tag: int) -> tuple[bytes, str, bool] | None:
    """Bytes, VR (``""`` if the file names none) and byte order (True: little endian) of an element, or None."""
    element = dataset.get_item(tag, keep_deferred=True)
    if element is None:
        return None
    if isinstance(element, RawDataElement):
        return element.value or b"", element.VR or "", element.is_little_endian
    # Already converted (a dataset made in memory, or seen before).
    value = element.value
    if value is None:
        return b"", "", True
    if isinstance(value, bytes):
        return value, str(element.VR), True
    items = value if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue" else [value]
    return "\\".join(str(item) for item in items).encode("utf-8", "replace"), "LO", True


def texts(dataset: Dataset, tag: int) -> tuple[str, ...]:
    """Every value of a text element, without padding; empty if absent."""
    found = raw_bytes(dataset, tag)
    if found is None:
        return ()
    # Backslash is the separator in each single-byte set; multi-byte sets occur only in names and descriptions.
    parts = found[0].decode("latin-1").split("\\")
    values = tuple(part.strip(" \0\t\r\n") for part in parts)
    return values if any(values) else ()


def text(dataset: Dataset, tag: int) -> str:
    """The first value of a text element, or an empty string."""
    values = texts(dataset, tag)
    return values[0] if values else ""


def decimal(value: str) -> Number:
    """A finite number, or None (``nan`` and ``1_000`` are no DICOM numbers, though Python takes them)."""
    if "_" in value or len(value) > 64:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_INTEGERS = {0x00280002, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00540081, 0x00540101}
"""Elements whose VR is US: needed where the file names no VR (implicit)."""


def numbers(dataset: Dataset, tag: int, count: int) -> tuple[float, ...] | None:
    """Exactly ``count`` finite numbers (DS, IS or binary), or None."""
    found = raw_bytes(dataset, tag)
    if found is None:
        return None
    value, vr, little = found
    if not vr and tag in _INTEGERS:
        vr = "US"
    if vr in _BINARY:
        code = _BINARY[vr]
        size = struct.calcsize("<" + code)
        if len(value) != size * count:
            return None
        values = struct.unpack(("<" if little else ">") + code * count, value)
        return tuple(float(v) for v in values) if all(math.isfinite(v) for v in values) else None
    parts = value.decode("latin-1").split("\\")
    if len(parts) != count:
        return None
    result = [decimal(part.strip(" \0")) for part in parts]
    return tuple(v for v in result if v is not None) if None not in result else None


def number(dataset: Dataset, tag: int) -> Number:
    """One finite number, or None."""
    values = numbers(dataset, tag, 1)
    return values[0] if values else None


def whole(dataset: Dataset, tag: int) -> int | None:
    """One whole number, or None."""
    value = number(dataset, tag)
    return int(value) if value is not None and value == int(value) and abs(value) < 2**53 else None


def items(dataset: Dataset, tag: int) -> list[Dataset]:
    """Items of a sequence; empty if it is absent or broken."""
    if tag not in dataset:
        return []
    try:
        value: Any = dataset[tag].value
    except Exception:  # whatever a broken sequence does to the parser, it is a sequence without items
        return []
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return []
    return [item for item in value if isinstance(item, Dataset)]
