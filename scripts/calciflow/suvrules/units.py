"""The rule by Units (0054,1001): activity concentration, counts with Philips' factors, or a SUV of some kind."""

from calciflow.errors import Refusal
from calciflow.suvrules import bodysize
from calciflow.suvrules.activity import from_activity, moved_injection
from calciflow.suvrules.case import Case
from calciflow.suvrules.values import TAGS, compact, numbers_per_slice, words

PHILIPS_AGREE = 1.1
"""Ratio of Philips' two ways to SUV that is still no contradiction (rounded weight, other decay); ours."""


def by_units(case: Case) -> tuple[list[float], str]:
    """Choose the rule by Units."""
    for key in ("units", "suv_type"):
        case.constant(key, "units")
    units = (words(case.header.get("units")) or [""])[0]
    suv_type = (words(case.header.get("suv_type")) or [""])[0]
    scale = [1.0] * case.count
    if not units and case.header.get("enhanced"):
        units, suv_type, scale = _real_world(case)
    case.inputs[TAGS["units"]] = units
    if suv_type:
        case.inputs[TAGS["suv_type"]] = suv_type
    if units == "BQML":
        factors, rule = from_activity(case)
    elif units in ("GML", "CM2ML"):
        factors, rule = from_suv(case, units, suv_type)
    elif units == "CNTS":
        factors, rule = from_counts(case)
    else:
        named = units if units in ("CPS", "PROPCNTS", "PROPCPS", "1CM", "NONE", "PCNT", "CM2") else "missing or unknown"
        raise Refusal("units", f"{TAGS['units']} is {named}: no activity concentration; export it in Bq/ml (BQML).")
    factors = factors * case.count if len(factors) == 1 and len(set(scale)) > 1 else factors
    if set(scale) != {1.0}:
        factors = [a * b for a, b in zip(factors, scale if len(factors) > 1 else scale[:1], strict=True)]
    return factors, rule


def _real_world(case: Case) -> tuple[str, str, list[float]]:
    """Units of an enhanced object: UCUM codes of its real world value mapping (DICOM CID 84)."""
    found = {str(unit or "") for unit in (case.header.get("slices") or {}).get("real_world_unit") or [""]}
    known = {
        "Bq/ml": ("BQML", ""),
        "{SUVbw}g/ml": ("GML", "BW"),
        "g/ml{SUVbw}": ("GML", "BW"),
        "{SUVlbm}g/ml": ("GML", "LBM"),
        "g/ml{SUVlbm}": ("GML", "LBM"),
        "{SUVibw}g/ml": ("GML", "IBW"),
        "g/ml{SUVibw}": ("GML", "IBW"),
        "{SUVbsa}cm2/ml": ("CM2ML", "BSA"),
        "cm2/ml{SUVbsa}": ("CM2ML", "BSA"),
    }
    unit = known.get(found.pop()) if len(found) == 1 else None
    if unit is None:
        raise Refusal(
            "units",
            f"neither {TAGS['units']} nor the real world value mapping (0040,9096) gives one known unit; export "
            "the series in Bq/ml (BQML).",
        )
    if any(numbers_per_slice(case.header, "real_world_intercept")):
        raise Refusal("scaling", "the real world value mapping (0040,9096) has an intercept; send the original series.")
    # The stored volume holds stored value x rescale slope; the mapping's slope applies to the stored value.
    scale = []
    slopes = numbers_per_slice(case.header, "slope")
    for real, rescale in zip(numbers_per_slice(case.header, "real_world_slope"), slopes, strict=True):
        if real is not None and (real <= 0 or (rescale is not None and rescale <= 0)):
            raise Refusal("scaling", "the real world value slope (0040,9225) is not above 0; send the series again.")
        scale.append(1.0 if real is None else real / (rescale or 1.0))
    return *unit, scale


def from_counts(case: Case) -> tuple[list[float], str]:
    """CNTS: Philips' own factors, SUV before activity."""
    for key, suv in (("philips_suv_factor", True), ("philips_activity_factor", False)):
        values = numbers_per_slice(case.header, key)
        if not all(value is not None and value > 0 for value in values):
            continue
        scale = [float(value) for value in values if value is not None]
        case.inputs[TAGS[key]] = compact(scale)
        if suv:
            _compare_philips(case, scale)
            factor, rule = already_bw(case, f"Units CNTS times {TAGS[key]}")
            return [value * factor for value in scale], rule
        factors, rule = from_activity(case)
        factors = factors * len(scale) if len(factors) == 1 else factors
        return [a * b for a, b in zip(scale, factors, strict=True)], f"Units CNTS times {TAGS[key]}; then {rule}"
    raise Refusal(
        "units",
        f"{TAGS['units']} is CNTS and neither {TAGS['philips_suv_factor']} nor {TAGS['philips_activity_factor']} "
        "is there for every slice; export the series in Bq/ml (BQML) or with private tags.",
    )


def _compare_philips(case: Case, scale: list[float]) -> None:
    """Note it where Philips' SUV factor is not what its activity factor, weight, dose and times give."""
    activity = numbers_per_slice(case.header, "philips_activity_factor")
    known = [value for value in activity if value is not None and value > 0]
    if len(known) != len(scale):
        return
    other = Case(case.header, {}, case.dose_range, case.max_hours)
    try:
        factors, _ = from_activity(other)
    except Refusal:  # the SUV factor needs neither weight nor dose
        return
    factors = factors * len(scale) if len(factors) == 1 else factors
    ratios = [one / (a * b) for one, a, b in zip(scale, known, factors, strict=True)]
    worst = max(ratios, key=lambda ratio: max(ratio, 1 / ratio))
    if max(worst, 1 / worst) > PHILIPS_AGREE:
        case.warn(
            "philips_factors",
            f"{TAGS['philips_suv_factor']} is {worst:.3g} times what {TAGS['philips_activity_factor']}, weight, dose "
            "and times give: check them.",
        )


def from_suv(case: Case, units: str, suv_type: str) -> tuple[list[float], str]:
    """GML and CM2ML: already a SUV, turned back to body weight where it is of another kind."""
    suv_type = suv_type or ("BW" if units == "GML" else "BSA")
    if suv_type not in bodysize.SUV_TYPES or (suv_type == "BSA") != (units == "CM2ML"):
        raise Refusal(
            "units",
            f"{TAGS['units']} {units} and {TAGS['suv_type']} do not go together; export the series in Bq/ml (BQML).",
        )
    if suv_type == "BW":
        factor, rule = already_bw(case, f"Units {units}: SUVbw as stored")
        return [factor], rule
    # The scanner divided by a size made of its own weight and height: the header's, if they are there.
    used = case.header_weight(missing_ok=True)
    if used is None:
        used = case.weight()
    height = case.height()
    sex = (words(case.header.get("sex")) or [""])[0]
    case.inputs[TAGS["weight"]] = used
    if suv_type != "BSA":
        case.constant("sex", "body_size")
        case.inputs[TAGS["sex"]] = sex if sex in ("M", "F", "O") else "n/a"
        if sex not in ("M", "F", "O"):
            case.warn("sex", f"{TAGS['sex']} is missing: the mean of the formulas for both sexes was used.")
    size = bodysize.normaliser(suv_type, used, height, sex)
    case.weight_used = used
    factor, rule = already_bw(case, f"Units {units}, SUV by {suv_type} turned back into body weight")
    return [1000 * used / size * factor], rule


def already_bw(case: Case, rule: str) -> tuple[float, str]:
    """A stored SUV: 1, or the ratios that the sheet's values make of the scanner's own."""
    factor = 1.0
    if "weight_kg" in case.sheet:
        before = case.weight_used or case.header_weight()
        after = case.weight()
        factor *= after / (before or after)
        case.weight_used = after
    elif case.weight_used is None:
        case.weight_used = case.quiet_header_weight()
    if "injected_dose_mbq" in case.sheet:
        factor *= case.header_dose() / case.dose()
    factor *= moved_injection(case)
    return factor, rule
