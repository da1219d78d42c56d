"""Body-weight SUV from DICOM headers: extraction, rules, times and body sizes, one module each."""

from calciflow.suvrules.header import extract
from calciflow.suvrules.rules import SuvResult, evaluate

__all__ = ["SuvResult", "evaluate", "extract"]
