"""Digital phantoms: people with known deposits, scanned on paper, as hospital DICOM with the truth beside it."""

from calciflow.phantom.dicom_writer import write_dicom
from calciflow.phantom.scan import PhantomScan, make_scan
from calciflow.phantom.spec import load_spec
from calciflow.phantom.truth import write_truth

__all__ = ["PhantomScan", "load_spec", "make_scan", "write_dicom", "write_truth"]
