"""nibabel as ``nib``, without pydicom.

Where pydicom is installed, nibabel imports it for the DICOM extension of NIfTI headers, and with it every pixel decoder
and an HTTP client: 0.35 s of processor time, more than the rest of nibabel and NumPy together, at the start of each
job of each scan. No stage reads that extension; nibabel then keeps it as bytes, as it does where pydicom is missing.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import cast


@contextmanager
def _missing(name: str) -> Iterator[None]:
    """Have imports of a module fail as if it were not installed, unless it is there already."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = cast(ModuleType, None)
    try:
        yield
    finally:
        del sys.modules[name]


with _missing("pydicom"):
    import nibabel as nib

__all__ = ["nib"]
