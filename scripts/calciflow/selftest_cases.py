"""The trials of ``make selftest``: rules, vendors and traps, with the factors expected by hand."""

# ruff: noqa: E501  (a table: one trial a line)

from typing import Any

from calciflow.selftest import AT_INJECTION, AT_START, Trial, base, by_slice, enhanced, every, private

# Lean masses and the like of the reference person, 70 kg and 175 cm, worked by hand.
_LBM_128_MALE = 56.52  # 1.10 x 70 - 128 x 0.16
_LBM_120_MALE = 57.80  # 1.10 x 70 - 120 x 0.16
_LBM_FEMALE = 51.22  # 1.07 x 70 - 148 x 0.16
_JANMA_MALE = 648900 / (6680 + 216 * 70 / 3.0625)
_JANMA_FEMALE = 648900 / (8780 + 244 * 70 / 3.0625)
_IBW_BOTH = (72.38 + 66.43) / 2  # 48.0 + 1.06 x 23 and 45.5 + 0.91 x 23
_BSA_CM2 = 18481.43018  # Du Bois: 71.84 x 175^0.725 x 70^0.425
_F18 = 6586.2
_SUV_BW: dict[str, Any] = {"Units": "GML", "SUVType": "BW"}
_NOT_DECAYED: dict[str, Any] = {"DecayCorrection": "NONE", "CorrectedImage": ["NORM", "ATTN", "SCAT"]}
_LATE: dict[str, Any] = {"SeriesTime": "113000"}
_PHILIPS, _GE = "Philips PET Private Group", "GEMS_PETD_01"
_P: dict[str, Any] = {"Units": "CNTS", "Manufacturer": "Philips Medical Systems"}
_G: dict[str, Any] = {"Manufacturer": "GE MEDICAL SYSTEMS", "SeriesTime": "113000", "AcquisitionTime": "112000"}


def _none(seconds: float, frame: float = 300.0) -> float:
    """Factor of a slice that is not decay corrected: mean of the decay over its frame, then back to injection."""
    steps = 20000
    width = frame / steps
    mean = sum(2 ** (-(seconds + (step + 0.5) * width) / _F18) for step in range(steps)) / steps
    return AT_INJECTION / mean


TRIALS: tuple[Trial, ...] = (
    # Units
    Trial("BQML, START, slopes differ", base, AT_START),
    Trial("GML without SUVType is SUVbw", every(Units="GML"), 1.0),
    Trial("GML BW", every(**_SUV_BW), 1.0),
    Trial("GML BW, no weight: none needed", every(PatientWeight=None, **_SUV_BW), 1.0),
    Trial("GML LBM, male", every(Units="GML", SUVType="LBM", PatientSex="M"), 70 / _LBM_120_MALE),
    Trial("GML LBM, female", every(Units="GML", SUVType="LBM", PatientSex="F"), 70 / _LBM_FEMALE),
    Trial("GML LBMJAMES128, male", every(Units="GML", SUVType="LBMJAMES128", PatientSex="M"), 70 / _LBM_128_MALE),
    Trial("GML LBMJANMA, male", every(Units="GML", SUVType="LBMJANMA", PatientSex="M"), 70 / _JANMA_MALE),
    Trial("GML LBMJANMA, female", every(Units="GML", SUVType="LBMJANMA", PatientSex="F"), 70 / _JANMA_FEMALE),
    Trial("GML IBW, sex O: mean of both", every(Units="GML", SUVType="IBW"), 70 / _IBW_BOTH),
    Trial("GML IBW, no sex", every(Units="GML", SUVType="IBW", PatientSex=""), 70 / _IBW_BOTH, "sex"),
    Trial("GML LBM, height in cm", every(Units="GML", SUVType="LBM", PatientSex="M", PatientSize="175"), 70 / 57.8, "height"),
    Trial("GML LBM, no height", every(Units="GML", SUVType="LBM", PatientSize=None), "body_size"),
    Trial("GML LBM, no weight", every(Units="GML", SUVType="LBM", PatientWeight=None), "no_weight"),
    Trial("GML LBM, James below zero", every(Units="GML", SUVType="LBM", PatientWeight="400", PatientSize="1.5"), "body_size"),
    Trial("GML BSA: contradiction", every(Units="GML", SUVType="BSA"), "units"),
    Trial("CM2ML is SUV by body surface", every(Units="CM2ML", SUVType="BSA"), 70000 / _BSA_CM2),
    Trial("CNTS, Philips SUV factor", private(_PHILIPS, 0x7053, {0x00: "0.0005", 0x09: "0.5"}, **_P), 0.0005, warning="philips_factors"),
    Trial("CNTS, SUV factor 0, activity factor", private(_PHILIPS, 0x7053, {0x00: "0", 0x09: "0.5"}, **_P), AT_START / 2),
    Trial("CNTS, activity factor only", private(_PHILIPS, 0x7053, {0x09: "0.5"}, **_P), AT_START / 2),
    Trial("CNTS, private block 11", private(_PHILIPS, 0x7053, {0x00: "0.0005"}, block=0x11, **_P), 0.0005),
    Trial("CNTS, private creator lost", private(None, 0x7053, {0x00: "0.0005"}, **_P), 0.0005),
    Trial("CNTS, both factors 0", private(_PHILIPS, 0x7053, {0x00: "0", 0x09: "0"}, **_P), "units"),
    Trial("CNTS without factors", every(**_P), "units"),
    Trial("BQML: Philips factors are ignored", private(_PHILIPS, 0x7053, {0x00: "9", 0x09: "9"}, Manufacturer="Philips"), AT_START),
    Trial("CPS", every(Units="CPS"), "units"),
    Trial("PROPCNTS", every(Units="PROPCNTS"), "units"),
    Trial("Units missing", every(Units=None), "units"),
    # Scaling and corrections
    Trial("rescale intercept", every(RescaleIntercept="-10"), "scaling"),
    Trial("rescale slope 0", every(RescaleSlope="0"), "scaling"),
    Trial("not attenuation corrected", every(CorrectedImage=["NORM", "DECY"]), "no_ac_pet"),
    Trial("CorrectedImage missing", every(CorrectedImage=None), "no_ac_pet"),
    Trial("reprojection", every(SeriesType=["WHOLE BODY", "REPROJECTION"]), "no_ac_pet"),
    # Weight
    Trial("weight missing", every(PatientWeight=None), "no_weight"),
    Trial("weight 0", every(PatientWeight="0"), "no_weight"),
    Trial("weight in grams", every(PatientWeight="70000"), AT_START, "weight"),
    Trial("weight absurd", every(PatientWeight="700"), "weight"),
    Trial("weight from the sheet", every(PatientWeight=None), AT_START * 80 / 70, None, {"weight_kg": 80}),
    Trial("GML BW, another weight in the sheet", every(**_SUV_BW), 80 / 70, None, {"weight_kg": 80}),
    Trial("GML BW, sheet's weight, none before", every(PatientWeight=None, **_SUV_BW), "no_weight", None, {"weight_kg": 80}),
    # Dose and half-life
    Trial("dose in MBq", every(dose__RadionuclideTotalDose="368.08"), AT_START, "dose_unit"),
    Trial("10 mCi typed as 10", every(dose__RadionuclideTotalDose="10"), "dose"),
    Trial("dose in kBq", every(dose__RadionuclideTotalDose="368080"), "dose"),
    Trial("dose missing", every(dose__RadionuclideTotalDose=None), "no_dose"),
    Trial("dose 0", every(dose__RadionuclideTotalDose="0"), "no_dose"),
    Trial("no radiopharmaceutical at all", every(RadiopharmaceuticalInformationSequence=None), "no_dose"),
    Trial("dose from the sheet", every(dose__RadionuclideTotalDose="10"), AT_START / 370 * 368.08, None, {"injected_dose_mbq": 370}),
    Trial("GML BW, another dose in the sheet", every(**_SUV_BW), 368.08 / 184.04, None, {"injected_dose_mbq": 184.04}),
    Trial("half-life 6588 s", every(dose__RadionuclideHalfLife="6588"), AT_INJECTION * 2 ** (3600 / 6588)),
    Trial("half-life missing", every(dose__RadionuclideHalfLife=None), AT_START, "half_life"),
    Trial("half-life in minutes", every(dose__RadionuclideHalfLife="109.77"), "half_life"),
    Trial("half-life of another nuclide", every(dose__RadionuclideHalfLife="4057.7"), "half_life"),
    # Decay correction
    Trial("ADMIN: dose as administered", every(DecayCorrection="ADMIN"), AT_INJECTION),
    Trial("START, series later, back-computed", by_slice(
        {"SeriesTime": "114500", "ActualFrameDuration": "603000"},
        AcquisitionTime=["110230", "110500", "110730"], FrameReferenceTime=["449913", "599913", "749913"],
    ), AT_START),
    Trial("START, series later, frame times disagree", by_slice(_LATE, FrameReferenceTime=["0", "150000", "300000"]), "time"),
    Trial("START, series later, frame times 0", every(FrameReferenceTime="0", **_LATE), AT_START),
    Trial("START, series later, no frame times", every(FrameReferenceTime=None, **_LATE), "time"),
    Trial("START, first bed 0.000015 s before series", every(AcquisitionTime="105959.999985"), AT_START),
    Trial("START, beds at their own times", by_slice(
        {}, AcquisitionTime=["110000", "110500", "111000"], FrameReferenceTime=["148817", "448817", "748817"]), AT_START),
    Trial("START, DecayFactor fits another time", every(DecayFactor="1.5"), AT_START, "decay_reference"),
    Trial("START, not listed as DECY", every(CorrectedImage=["NORM", "ATTN"]), "decay"),
    Trial("NONE, listed as DECY", every(DecayCorrection="NONE"), "decay"),
    Trial("NONE, each slice at its own time", by_slice(
        _NOT_DECAYED, AcquisitionTime=["110000", "110500", "111000"]), [_none(3600), _none(3900), _none(4200)]),
    Trial("NONE, frame duration missing", every(ActualFrameDuration=None, **_NOT_DECAYED), "time"),
    Trial("DecayCorrection missing", every(DecayCorrection=None), "decay"),
    Trial("GE scan datetime", private(_GE, 0x0009, {0x0D: "20250101110000.00"}, FrameReferenceTime="0", **_G), AT_START),
    Trial("GE scan datetime, creator lost", private(None, 0x0009, {0x0D: "20250101110000.00"}, FrameReferenceTime="0", **_G), AT_START),
    Trial("GE scan datetime on another date", private(_GE, 0x0009, {0x0D: "20190707110000.00"}, FrameReferenceTime="0", **_G), AT_START, "date"),
    Trial("enhanced PET, Bq/ml, dose in MBq", enhanced, AT_START),
    Trial("enhanced PET, SUVbw", lambda: enhanced("{SUVbw}g/ml"), 1.0),
    Trial("enhanced PET, unknown unit", lambda: enhanced("{counts}"), "units"),
    # Times of injection
    Trial("only start datetime", every(dose__RadiopharmaceuticalStartTime=None), AT_START),
    Trial("only start time", every(dose__RadiopharmaceuticalStartDateTime=None), AT_START),
    Trial("across midnight", every(
        SeriesDate="20250102", AcquisitionDate="20250102", SeriesTime="003000", AcquisitionTime="003000",
        dose__RadiopharmaceuticalStartDateTime=None, dose__RadiopharmaceuticalStartTime="233000"), AT_START),
    Trial("beds across midnight, no dates of theirs", by_slice(
        {"SeriesTime": "235500", "AcquisitionDate": None, "dose__RadiopharmaceuticalStartDateTime": "20250101225500",
         "FrameReferenceTime": None}, AcquisitionTime=["235500", "000000", "000500"]), AT_START),
    Trial("start date a day late", every(dose__RadiopharmaceuticalStartDateTime="20250102100000"), AT_START, "date"),
    Trial("start datetime with a UTC offset", every(
        TimezoneOffsetFromUTC="+0100", dose__RadiopharmaceuticalStartDateTime="20250101090000.00+0000"), AT_START),
    Trial("no dates at all", every(
        StudyDate=None, SeriesDate=None, AcquisitionDate=None, dose__RadiopharmaceuticalStartDateTime=None), AT_START),
    Trial("no time of injection", every(
        dose__RadiopharmaceuticalStartDateTime=None, dose__RadiopharmaceuticalStartTime=None), "time"),
    Trial("injection typed after the scan", every(
        dose__RadiopharmaceuticalStartDateTime=None, dose__RadiopharmaceuticalStartTime="113000"), "time"),
    Trial("uptake of a day", every(dose__RadiopharmaceuticalStartDateTime="20241231100000"), "time"),
    Trial("injection time from the sheet", every(
        dose__RadiopharmaceuticalStartDateTime=None, dose__RadiopharmaceuticalStartTime=None),
        AT_INJECTION * 2 ** (5400 / _F18), None, {"injection_datetime": "2025-01-01T09:30:00"}),
    Trial("sheet's injection after the scan", base, "time", None, {"injection_datetime": "2025-01-01T12:00:00"}),
    Trial("short uptake", every(dose__RadiopharmaceuticalStartDateTime="20250101105000"), AT_INJECTION * 2 ** (600 / _F18), "uptake"),
    # The tracer
    Trial("FDG, warned", every(
        dose__Radiopharmaceutical="FDG", dose__RadiopharmaceuticalCodeSequence=[]), AT_START, "tracer"),
    Trial("FDG, refused", every(
        dose__Radiopharmaceutical="FDG", dose__RadiopharmaceuticalCodeSequence=[]), "tracer", None, {}, "refuse"),
    Trial("FDG, ignored", every(
        dose__Radiopharmaceutical="FDG", dose__RadiopharmaceuticalCodeSequence=[]), AT_START, None, {}, "ignore"),
)  # fmt: skip
"""Name, series, expected factor(s) or code of the refusal, expected warning, overrides, mode of the tracer check."""
