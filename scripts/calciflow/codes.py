"""All verdict codes of refused scans, with their meaning and what to do."""

from calciflow.dicom.codes import CODES as _DICOM
from calciflow.suvrules.codes import CODES as _SUV

CODES: dict[str, tuple[str, str]] = dict(sorted({**_SUV, **_DICOM}.items()))
