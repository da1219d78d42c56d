"""Deflated data sets, which pydicom unpacks whole: none that grows without bound."""

import io
import zlib

from pydicom.filereader import _read_file_meta_info, read_preamble

from calciflow.dicom.archive import BOMB_RATIO

DEFLATED = b"1.2.840.10008.1.2.1.99"
DEFLATED_SIZE = 1 << 26
"""Bytes that a deflated data set may have whatever it was packed to: a header and a slice of 4096 x 4096."""


def check_deflated(data: bytes) -> None:
    """Refuse a deflated data set (1.2.840.10008.1.2.1.99) that unpacks without bound: pydicom unpacks it whole.

    Raises
    ------
    ValueError
        If it grows as no image does.
    """
    if DEFLATED not in data[:1024]:
        return
    buffer = io.BytesIO(data)
    read_preamble(buffer, force=True)
    _read_file_meta_info(buffer)
    start = buffer.tell()
    stream, waiting, size = zlib.decompressobj(-zlib.MAX_WBITS), data[start:], 0
    while waiting and not stream.eof:
        size += len(stream.decompress(waiting, 1 << 20))
        waiting = stream.unconsumed_tail
        if size > DEFLATED_SIZE and size > BOMB_RATIO * len(data):
            raise ValueError("a deflated data set that unpacks without bound")
