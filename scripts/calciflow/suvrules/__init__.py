"""Body-weight SUV from DICOM headers: extraction, rules, times and body sizes, one module each.

Extraction (``header``) is imported by its own name: it alone needs pydicom, and the stage ``suv`` reads no DICOM.
"""

from calciflow.suvrules.rules import SuvResult, evaluate

__all__ = ["SuvResult", "evaluate"]
