"""calciflow: calcinosis on whole-body 18F-NaF PET/CT, from hospital DICOM to a cohort's answer."""

__version__ = "0.1.0"
