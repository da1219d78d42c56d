"""Verdict codes of the DICOM front end: what each means and what to do. ``config/README.md`` shows the table."""

CODES: dict[str, tuple[str, str]] = {
    # the source
    "unreadable": (
        "The source does not exist, is empty, holds no image, or a file that is needed is damaged or cut off.",
        "Check the path in `scans.tsv`; send the study again from the PACS.",
    ),
    "archive": (
        "An archive is encrypted, damaged, or would unpack to an absurd size.",
        "Unpack it yourself and give the folder as `source`.",
    ),
    "identity_mismatch": (
        "The images that belong together name different patients.",
        "Give each patient a source of their own.",
    ),
    # which series
    "no_pet": ("There is no PET image series.", "Add the PET series to the source, or name it in `pet_source`."),
    "no_ct": (
        "There is no CT volume.",
        "Add the CT series to the source, or name it in `ct_source`.",
    ),
    "no_ac_pet": (
        "No PET series is attenuation corrected, static and original (Corrected Image (0028,0051) lacks ATTN, or only "
        "gated, dynamic, projected or captured images are there).",
        "Send the attenuation-corrected reconstruction.",
    ),
    "ambiguous": (
        "Several series fit equally well, or two files claim one slice with different pixels.",
        "Choose with `pet_series` or `ct_series` in `scans.tsv` (a number of `_series.tsv`, a pattern or a UID), "
        "or remove what does not belong.",
    ),
    "not_found": (
        "The cell `ct_series` or `pet_series` names a series that is not there, or that cannot be used.",
        "Correct the cell: `_series.tsv` lists the series and their numbers.",
    ),
    "frame_of_reference": (
        "PET and CT share no frame of reference (0020,0052), so their positions cannot be compared.",
        "Send the CT of the same examination; if the two are known to be aligned, force the CT with `ct_series`; "
        "pieces acquired after turning the patient are rows of their own with an `acquisition`.",
    ),
    "pieces": (
        "The PET was acquired in pieces that cannot be put into one volume: different frames of reference (legs "
        "scanned after turning the patient), or different matrices.",
        "Give each piece a row of `scans.tsv` with an `acquisition` (`body`, `legs`) and its `pet_series`.",
    ),
    "no_overlap": (
        "PET and CT cover different parts of the body.",
        "Send the CT of the same bed positions.",
    ),
    # geometry and pixels
    "missing_slice": (
        "A slice is missing inside or at the end of the volume, or differs from the others in a tag.",
        "Send the series again.",
    ),
    "geometry": (
        "Slices differ in orientation, pixel size, matrix or increment, lack a position, are not axial, or are too few "
        "to be a volume.",
        "Send the original axial reconstruction as one series.",
    ),
    "gantry_tilt": (
        "The slices are sheared: they were acquired with a tilted gantry.",
        "Send a reconstruction without tilt.",
    ),
    "transfer_syntax": (
        "The pixels are stored in a form that cannot be decoded without loss or at all.",
        "Send the series uncompressed, or with lossless compression.",
    ),
    "scaling": (
        "Rescale Slope (0028,1053) or Intercept (0028,1052) is missing, no number, zero, negative or absurd; or "
        "the intercept of a PET is not 0.",
        "Send the original images; a secondary archive may have rescaled them.",
    ),
    "empty": ("The image is the same value everywhere.", "Send the original images."),
    # units
    "units": (
        "The units of the PET (0054,1001) cannot be turned into SUV, or those of the CT are not Hounsfield units.",
        "Send the PET in Bq/ml.",
    ),
    # the workflow itself
    "excluded": ("The row of `scans.tsv` says so.", "Empty the cell `exclude` to take the scan."),
    "internal": (
        "Something went wrong that nobody foresaw; it is tried again with the next run.",
        "Report it with the log (it names no patient).",
    ),
}
"""Code: (meaning, remedy). Stable: other programs and published flow charts use them."""
