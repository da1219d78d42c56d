"""Pixels of one slice: decoded from any usual transfer syntax, then rescaled."""

import io
import struct
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from calciflow.dicom.fields import number, raw_bytes, whole
from calciflow.dicom.headers import PIXELS, TAGS
from calciflow.errors import Refusal

NATIVE = {
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
}
LOSSY = {
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91",
}
"""Transfer syntaxes that may lose detail. JPEG-LS near-lossless and JPEG 2000 (91) can be lossless: then Lossy Image
Compression (0028,2110) is not 01."""
PADDING, PADDING_LIMIT = 0x00280120, 0x00280121
BITS_STORED, HIGH_BIT, PIXEL_SIGN, LOSSY_FLAG = 0x00280101, 0x00280102, 0x00280103, 0x00282110
SLOPE_RANGE = (1e-12, 1e9)
"""A slope below gives less than 1e-7 of any unit for the largest 16-bit word, one above over 1 GBq/ml for a 1; ours."""
INTERCEPT_LIMIT = 1e5
"""No CT's intercept is as large: -1024, -8192 and -10000 occur; ours."""
MATRIX_LIMIT = 4096
"""Rows or columns; CT has 512 to 2048."""
AIR_HU = -1024
"""What lies outside the field of view, and the lowest value of a CT here; scanners write -1024, -2000 or -3024."""


class Undecodable(Exception):
    """Pixels that cannot be decoded; the message quotes nothing from the file."""


PIXEL_TAGS: list[Any] = sorted(
    {
        *(TAGS[name] for name in ("SamplesPerPixel", "NumberOfFrames", "Rows", "Columns", "BitsAllocated")),
        *(TAGS[name] for name in ("RescaleIntercept", "RescaleSlope")),
        *(TAGS[name] for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")),
        *(PADDING, PADDING_LIMIT, BITS_STORED, HIGH_BIT, PIXEL_SIGN, LOSSY_FLAG),
        *(0x00280004, 0x00280006, 0x7FE00001, 0x7FE00002, *PIXELS),
    }
)
"""What decoding needs, and nothing else: an eighth of a header."""


def open_slice(data: bytes, whole_header: bool = False) -> Dataset:
    """Parse a file: what its pixels need, or everything."""
    try:
        return pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=None if whole_header else PIXEL_TAGS)
    except Exception as error:
        raise Undecodable(f"its header cannot be read ({type(error).__name__})") from None


def _syntax(dataset: Dataset) -> str:
    meta = getattr(dataset, "file_meta", None)
    return str(meta.get("TransferSyntaxUID", "")) if meta is not None else ""


def stored_values(dataset: Dataset, frame: int | None = None) -> NDArray[Any]:
    """Stored integers of a slice, shape (rows, columns), sign extended, without overlay bits.

    Raises
    ------
    Undecodable
        If pixels are missing, cut off or corrupt.
    Refusal
        ``transfer_syntax`` if they were compressed with loss.
    """
    rows, columns = whole(dataset, TAGS["Rows"]), whole(dataset, TAGS["Columns"])
    bits = whole(dataset, TAGS["BitsAllocated"])
    samples = whole(dataset, TAGS["SamplesPerPixel"]) or 1
    if not rows or not columns or samples != 1:
        raise Undecodable("it has no matrix size, or more than one value a pixel")
    if max(rows, columns) > MATRIX_LIMIT:
        raise Undecodable(f"its matrix of {rows} x {columns} is absurd")
    syntax = _syntax(dataset)
    lossy = raw_bytes(dataset, LOSSY_FLAG)
    if syntax in LOSSY and (lossy is None or lossy[0].strip(b" \0") == b"01" or syntax.endswith((".50", ".51"))):
        raise Refusal("transfer_syntax", "The pixels were compressed with loss: send the original images.")
    index = frame or 0
    if syntax not in NATIVE and syntax:
        return _compressed(dataset, index, rows, columns)
    found = raw_bytes(dataset, 0x7FE00010)
    if found is None or not found[0]:
        if any(tag in dataset for tag in (0x7FE00008, 0x7FE00009)):
            raise Undecodable("its pixels are floating-point numbers")
        raise Undecodable("it has no pixel data")
    if bits not in (8, 16, 32):
        raise Undecodable("its Bits Allocated (0028,0100) is not 8, 16 or 32")
    data = found[0]
    size = rows * columns * bits // 8
    if len(data) < size * (index + 1):
        raise Undecodable("its pixel data are cut off")
    order = ">" if syntax == "1.2.840.10008.1.2.2" else "<"
    values: NDArray[Any] = np.frombuffer(data, f"{order}u{bits // 8}", rows * columns, size * index)
    return _signed(values.reshape(rows, columns), dataset, bits)


def _signed(values: NDArray[Any], dataset: Dataset, bits: int) -> NDArray[Any]:
    """Give unsigned words their sign, and drop bits that are not the pixel's (old overlays stand there)."""
    stored = whole(dataset, BITS_STORED) or bits
    high = whole(dataset, HIGH_BIT)
    high = stored - 1 if high is None else high
    signed = whole(dataset, PIXEL_SIGN) == 1
    if not 1 <= stored <= bits or not stored - 1 <= high < bits:
        raise Undecodable("its Bits Stored (0028,0101) and High Bit (0028,0102) contradict each other")
    kind = "i" if signed else "u"
    native = values.astype(f"={'u'}{bits // 8}", copy=False)
    if stored == bits:
        return native.view(f"{kind}{bits // 8}")
    left = bits - 1 - high
    right = bits - stored
    shifted = np.left_shift(native, left, dtype=native.dtype).view(f"{kind}{bits // 8}")
    return np.right_shift(shifted, right)


def _frames(dataset: Dataset) -> int:
    return whole(dataset, TAGS["NumberOfFrames"]) or 1


def _announced(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG or JPEG 2000 stream announces, or None: decoders take memory by these alone."""
    at = stream.find(b"\xff\x4f\xff\x51")  # start and size of a JPEG 2000 codestream, in a JP2 box or not
    if 0 <= at < 256 and len(stream) >= at + 24:
        right, bottom, left, top = struct.unpack(">4I", stream[at + 8 : at + 24])
        return bottom - top, right - left
    if stream[:2] != b"\xff\xd8":
        return None  # run lengths: the header's own size counts
    at = 2
    while at + 9 <= len(stream) and stream[at] == 0xFF:
        marker, size = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4], "big")
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):  # JPEG-LS, and JPEG's own
            rows, columns = struct.unpack(">2H", stream[at + 5 : at + 9])
            return rows, columns
        at += 2 + size
    return None


def _compressed(dataset: Dataset, index: int, rows: int, columns: int) -> NDArray[Any]:
    from pydicom.encaps import get_frame
    from pydicom.pixels import get_decoder

    try:
        decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
        if not decoder.is_available:
            raise Refusal(
                "transfer_syntax", "The pixels' transfer syntax cannot be decoded here: send it uncompressed."
            )
        announced = _announced(get_frame(dataset.PixelData, index, number_of_frames=_frames(dataset)))
        if announced is not None and announced != (rows, columns):
            raise Undecodable("its pixel data do not have the size that the header says")
        array, _ = decoder.as_array(dataset, index=index, raw=True)
    except NotImplementedError:
        raise Refusal(
            "transfer_syntax", "The pixels' transfer syntax is unknown: send the series uncompressed."
        ) from None
    except (Refusal, Undecodable):
        raise
    except Exception as error:
        raise Undecodable(f"its pixels cannot be decoded ({type(error).__name__})") from None
    if array.shape != (rows, columns):
        raise Undecodable("its pixel data do not have the size that the header says")
    return array


def rescale(dataset: Dataset) -> tuple[float, float]:
    """Slope and intercept of a slice.

    Raises
    ------
    Refusal
        ``scaling`` if either is missing or no number, or the slope is not positive.
    """
    slope, intercept = number(dataset, TAGS["RescaleSlope"]), number(dataset, TAGS["RescaleIntercept"])
    if slope is None or intercept is None:
        raise Refusal(
            "scaling", "Rescale Slope (0028,1053) or Intercept (0028,1052) is missing or no number: send the originals."
        )
    if slope <= 0:
        raise Refusal("scaling", f"Rescale Slope (0028,1053) is {slope:g}, not positive: send the original images.")
    check_size(slope, intercept)
    return slope, intercept


def check_size(slope: float, intercept: float) -> None:
    """Refuse (``scaling``) a slope or intercept of a size that no image has: the slice would vanish or overflow."""
    low, high = SLOPE_RANGE
    if not low <= slope <= high:
        raise Refusal("scaling", f"Rescale Slope (0028,1053) is {slope:g}, which is absurd: send the original images.")
    if abs(intercept) > INTERCEPT_LIMIT:
        raise Refusal(
            "scaling", f"Rescale Intercept (0028,1052) is {intercept:g}, which is absurd: send the original images."
        )


def padding(dataset: Dataset, bits: int = 16) -> tuple[int, int] | None:
    """Range of stored values that stand for no measurement, as unsigned words."""
    values = []
    for tag in (PADDING, PADDING_LIMIT):
        found = raw_bytes(dataset, tag)
        if found is None:
            continue
        value, vr, little = found
        if len(value) == 2 and vr in ("", "US", "SS", "UN"):
            values.append(int.from_bytes(value, "little" if little else "big"))
        else:
            try:
                values.append(int(value.decode("latin-1").strip(" \0")) % (1 << bits))
            except ValueError:
                continue
    return (values[0], values[-1]) if values else None


def hounsfield(stored: NDArray[Any], slope: float, intercept: float, pad: tuple[int, int] | None) -> NDArray[np.int16]:
    """CT slice in HU, int16; padding and everything below air becomes -1024."""
    result: NDArray[np.int16]
    if slope == 1 and intercept == int(intercept) and stored.dtype.itemsize <= 2:
        shift = int(intercept)
        if int(stored.min()) + shift >= -32768 and int(stored.max()) + max(shift, 0) <= 32767 and abs(shift) < 32768:
            result = np.maximum(stored.astype(np.int16) + np.int16(shift), np.int16(AIR_HU))
        else:
            result = np.clip(stored.astype(np.int32) + shift, AIR_HU, 32767).astype(np.int16)
    else:
        result = np.clip(np.rint(stored.astype(np.float64) * slope + intercept), AIR_HU, 32767).astype(np.int16)
    if pad is not None:
        result[_padded(stored, pad)] = AIR_HU
    return result


def activity(stored: NDArray[Any], slope: float, pad: tuple[int, int] | None) -> NDArray[np.float32]:
    """PET slice in its own units, float32; padding becomes 0."""
    result: NDArray[np.float32] = (stored.astype(np.float64) * slope).astype(np.float32)
    if pad is not None:
        result[_padded(stored, pad)] = 0
    return result


def _padded(stored: NDArray[Any], pad: tuple[int, int]) -> NDArray[np.bool_]:
    if pad[0] == pad[1]:
        return np.asarray((stored.astype(np.int64) & 0xFFFF) == pad[0])
    # A range: in the stored values' own sign.
    low, high = sorted(value - 65536 if stored.dtype.kind == "i" and value > 32767 else value for value in pad)
    return np.asarray((stored >= low) & (stored <= high))
