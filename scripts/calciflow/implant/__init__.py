"""Deposits of known truth put into real scans: DICOM in, DICOM out, truth beside it."""
