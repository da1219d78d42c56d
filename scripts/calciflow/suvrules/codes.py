"""Verdict codes of the SUV rules: what each means and what the user can do about it."""

CODES: dict[str, tuple[str, str]] = {
    "scaling": (
        "RescaleIntercept (0028,1052) is not 0, a rescale slope is missing or not positive, or the factor that the "
        "tags give is no positive number.",
        "Send the series again from the scanner; a secondary archive may have rescaled it.",
    ),
    "no_ac_pet": (
        "The PET is not attenuation corrected: CorrectedImage (0028,0051) lacks ATTN; or it is a reprojection.",
        "Send the attenuation-corrected series, or name it in `pet_series`.",
    ),
    "units": (
        "Units (0054,1001) and SUVType (0054,1006) are of a kind that holds no activity concentration and no SUV, or "
        "CNTS without Philips' private factors.",
        "Export the series in Bq/ml (BQML), with private tags.",
    ),
    "no_weight": (
        "PatientWeight (0010,1030) is missing or 0 where the rule needs it.",
        "Give `weight_kg` in scans.tsv.",
    ),
    "weight": ("PatientWeight (0010,1030) is no plausible body weight.", "Give `weight_kg` in scans.tsv."),
    "body_size": (
        "An SUV by lean mass, ideal weight or body surface cannot be turned back: PatientSize (0010,1020) or weight is "
        "missing or implausible, or the formula gives no positive mass.",
        "Give `height_m` and `weight_kg` in scans.tsv, or export the series in Bq/ml.",
    ),
    "no_dose": (
        "RadionuclideTotalDose (0018,1074) is missing or 0 where the rule needs it.",
        "Give `injected_dose_mbq` (net activity at injection) in scans.tsv.",
    ),
    "dose": (
        "The injected activity lies outside `suv.dose_range_mbq`, or several administrations differ.",
        "Give `injected_dose_mbq` (net activity at injection) in scans.tsv.",
    ),
    "half_life": (
        "RadionuclideHalfLife (0018,1075) is missing, absurd, or not that of the nuclide in the header.",
        "Have the header corrected at the scanner's console and sent again.",
    ),
    "decay": (
        "DecayCorrection (0054,1102) is missing, unknown, or contradicted by CorrectedImage (0028,0051).",
        "Send the series again from the scanner, decay corrected.",
    ),
    "time": (
        "The time of injection or the time that the image is decay corrected to is missing or contradictory, or the "
        "uptake time exceeds `suv.max_uptake_hours`.",
        "Give `injection_datetime` in scans.tsv; if the scan's own times are the fault, send the series again.",
    ),
    "tracer": (
        "The header does not say 18F-fluoride, and `suv.tracer` is `refuse`.",
        "Check the scan; set `suv.tracer: warn` where the header's text is known to be wrong.",
    ),
}
"""Code -> (meaning, remedy)."""
