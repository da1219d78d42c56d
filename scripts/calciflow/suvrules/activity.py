"""Activity concentration to SUVbw: body weight over the dose left at the moment the image is decay corrected to."""

import math

from calciflow.errors import Refusal
from calciflow.suvrules.case import Case
from calciflow.suvrules.times import decay_reference, header_administration, mean_activity_delay
from calciflow.suvrules.values import TAGS, compact, numbers_per_slice, words

SHORTEST_FRAME_MS = 1000.0
"""No bed is scanned for less than a second; below, seconds were written for milliseconds, or nonsense; ours."""


def from_activity(case: Case) -> tuple[list[float], str]:
    """BQML: weight over the dose that is left at the moment the image is decay corrected to."""
    weight = case.weight()
    case.weight_used = weight
    dose = case.dose() * 1e6
    decay = decay_correction(case)
    case.inputs[TAGS["decay_correction"]] = decay
    whole = 1000 * weight / dose
    if decay == "ADMIN":
        return [whole * moved_injection(case)], "Units BQML, decay corrected to administration (ADMIN)"
    given = case.administration()
    constant = math.log(2) / case.half_life()
    if decay == "START":
        reference = decay_reference(case.header, case.times, math.log(2) / constant)
        case.warnings += reference.warnings
        seconds = (reference.moment - given.moment).total_seconds()
        if not 0 <= seconds <= 2 * 3600 * case.max_hours:
            raise Refusal(
                "time",
                f"the time that the image is decay corrected to ({reference.source}) does not follow the injection "
                f"({given.source}) within {2 * case.max_hours:g} h; give injection_datetime in scans.tsv.",
            )
        case.inputs["decay reference"] = reference.source
        case.inputs["injection to decay reference (s)"] = round(seconds, 3)
        return [whole * math.exp(constant * seconds)], "Units BQML, decay corrected to scan start (START)"
    factors = []
    durations = numbers_per_slice(case.header, "frame_duration")
    waits = []
    for moment, milliseconds in zip(case.times.acquisitions, durations, strict=True):
        if moment is None:
            raise Refusal("time", f"{TAGS['acquisition_time']} is missing and DecayCorrection is NONE; send again.")
        if milliseconds is None or not SHORTEST_FRAME_MS <= milliseconds < 86.4e6:
            raise Refusal(
                "time", f"{TAGS['frame_duration']} is missing or absurd and DecayCorrection is NONE; send again."
            )
        seconds = (moment - given.moment).total_seconds()
        if not 0 <= seconds <= 2 * 3600 * case.max_hours:
            raise Refusal(
                "time",
                f"{TAGS['acquisition_time']} of a slice does not follow the injection ({given.source}) within "
                f"{2 * case.max_hours:g} h; give injection_datetime in scans.tsv.",
            )
        delay = mean_activity_delay(milliseconds / 1000, math.log(2) / constant)
        waits.append(round(seconds, 3))
        factors.append(whole * math.exp(constant * (seconds + delay)))
    case.inputs["injection to acquisition (s)"] = compact(waits)
    case.inputs[TAGS["frame_duration"]] = compact([float(value) for value in durations if value is not None])
    return factors, "Units BQML, not decay corrected (NONE): each slice by its own acquisition time"


def decay_correction(case: Case) -> str:
    """ADMIN, START or NONE."""
    case.constant("decay_correction", "decay")
    decay = (words(case.header.get("decay_correction")) or [""])[0]
    corrected = words(case.header.get("corrected_image"))
    if not decay and words(case.header.get("decay_corrected")):
        return {"YES": "START", "NO": "NONE"}.get(words(case.header.get("decay_corrected"))[0], "") or _no_decay(case)
    if decay not in ("ADMIN", "START", "NONE"):
        return _no_decay(case)
    factors = [value for value in numbers_per_slice(case.header, "decay_factor") if value is not None]
    decayed = "DECY" in corrected or any(value > 1 for value in factors)
    if decay == "NONE" and "DECY" in corrected:
        raise Refusal(
            "decay",
            f"{TAGS['decay_correction']} is NONE but {TAGS['corrected_image']} says DECY; send the series again.",
        )
    if decay != "NONE" and corrected and not decayed:
        raise Refusal(
            "decay",
            f"{TAGS['decay_correction']} is {decay} but {TAGS['corrected_image']} lacks DECY; send the series again.",
        )
    return decay


def _no_decay(case: Case) -> str:
    raise Refusal(
        "decay", f"{TAGS['decay_correction']} is missing or none of ADMIN, START, NONE; send the series again."
    )


def moved_injection(case: Case) -> float:
    """How a SUV that is related to the time of injection changes if the sheet gives another one."""
    if "injection_datetime" not in case.sheet:
        return 1.0
    after = case.administration()
    item = case.items[0] if len(case.items) == 1 else {}
    before = header_administration(item, case.times, case.header.get("timezone"))
    if before is None:
        case.warn("override", "injection_datetime in scans.tsv: the header tells no other, so the SUV stays.")
        return 1.0
    later = (after.moment - before.moment).total_seconds()
    return math.exp(-math.log(2) / case.half_life() * later)
