"""Body-weight SUV factors from header values: the rules, in the order they apply.

Source: Vacha et al., Comprehensive manual for SUV computation and digital reference objects, 2026 (github
oncoray/suv_computation, CC BY 4.0); QIBA FDG-PET profile; DICOM PS3.3 C.8.9; vendors' conformance statements.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from calciflow.errors import Refusal
from calciflow.suvrules.case import Case
from calciflow.suvrules.times import Administration, given_administration
from calciflow.suvrules.tracer import tracer_doubt
from calciflow.suvrules.units import by_units
from calciflow.suvrules.values import TAGS, number, words

SHORT_UPTAKE_MINUTES = 20.0
"""Shorter uptake is flagged: NaF is imaged at 60 to 90 min (SNMMI guideline, Segall 2010); ours."""

FACTOR_RANGE = (1e-12, 1e6)
"""SUV per stored unit; activities have 1e-6 to 10, stored SUV about 1, counts and mappings something between; ours."""


@dataclass(frozen=True)
class SuvResult:
    """How to get SUVbw (g/ml) from a stored PET volume, and why so.

    Attributes
    ----------
    factors
        One number for the whole volume, or one a slice along the volume's axis 0: SUVbw = stored value x factor.
    rule
        The rule that applied, in words.
    inputs
        The values used, keyed by tag; times only relative to injection, no identity.
    overrides
        The values that the study's sheet put in place of the header's.
    uptake_minutes
        Injection to the earliest acquisition; None where the header does not tell and the rule needs none.
    warnings
        Dicts with ``code`` and ``text``.
    weight_kg
        Body weight that the SUV rests on, as far as known.
    """

    factors: tuple[float, ...]
    rule: str
    inputs: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    uptake_minutes: float | None = None
    warnings: list[dict[str, str]] = field(default_factory=list)
    weight_kg: float | None = None


def evaluate(
    header: Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    *,
    dose_range_mbq: Sequence[float] = (15.0, 1000.0),
    max_uptake_hours: float = 6.0,
    tracer: str = "warn",
) -> SuvResult:
    """Find the factor(s) that turn the stored values of a PET series into SUVbw.

    Parameters
    ----------
    header
        What :func:`calciflow.suvrules.header.extract` gave.
    overrides
        Values of the study's sheet: ``weight_kg``, ``height_m``, ``injected_dose_mbq`` (net activity at injection),
        ``injection_datetime``. Only those given; None counts as not given.
    dose_range_mbq
        Injected activity outside is refused as a typing error.
    max_uptake_hours
        A longer time from injection to scan is refused.
    tracer
        What a tracer other than 18F-fluoride leads to: ``warn``, ``refuse`` or ``ignore``.

    Raises
    ------
    Refusal
        With a code of ``calciflow.suvrules.codes.CODES``, if the series cannot be turned into SUVbw.
    """
    sheet = {key: value for key, value in (overrides or {}).items() if value is not None}
    case = Case(header, sheet, tuple(dose_range_mbq), max_uptake_hours)
    check_scaling(case)
    check_corrections(case)
    factors, rule = by_units(case)
    check_uptake(case)
    check_tracer(case, tracer)
    if not factors or not all(math.isfinite(factor) and factor > 0 for factor in factors):
        raise Refusal("scaling", "the header's tags give no positive SUV factor; send the series again.")
    low, high = FACTOR_RANGE
    if not low <= min(factors) <= max(factors) <= high:
        raise Refusal(
            "scaling",
            f"the tags give a SUV factor of {min(factors):.3g} to {max(factors):.3g}, which is absurd (rule: {rule}); "
            "send the original series from the scanner.",
        )
    if len(set(factors)) == 1:
        factors = factors[:1]
    return SuvResult(tuple(factors), rule, case.inputs, case.used, case.uptake_minutes, case.warnings, case.weight_used)


def check_scaling(case: Case) -> None:
    """Refuse a rescale intercept, and slopes that are none."""
    slices = case.header.get("slices") or {}
    if not case.count:
        raise Refusal("scaling", "the PET series has no slices.")
    for key, texts in (("intercept", slices.get("intercept")), ("slope", slices.get("slope"))):
        for text in texts or []:
            try:
                value = number(text)
            except ValueError:
                raise Refusal("scaling", f"{TAGS[key]} is not a number; send the series again.") from None
            if key == "intercept" and value:
                raise Refusal(
                    "scaling", f"{TAGS[key]} is not 0, as PET requires; send the original series from the scanner."
                )
            if key == "slope" and value is not None and value <= 0:
                raise Refusal("scaling", f"{TAGS[key]} is not above 0; send the original series from the scanner.")


def check_corrections(case: Case) -> None:
    """Refuse what is not attenuation corrected."""
    if "REPROJECTION" in words(case.header.get("series_type")):
        raise Refusal("no_ac_pet", f"{TAGS['series_type']} says REPROJECTION; name the image series in pet_series.")
    case.constant("corrected_image", "no_ac_pet")
    corrected = words(case.header.get("corrected_image"))
    if words(case.header.get("attenuation_corrected"))[:1] == ["YES"] or "ATTN" in corrected:
        return
    method = " ".join(words(case.header.get("attenuation_method")))
    if not corrected and case.header.get("attenuation_corrected") is None and method and "NONE" not in method:
        case.warn("corrections", f"{TAGS['corrected_image']} is missing; {TAGS['attenuation_method']} was trusted.")
        return
    raise Refusal(
        "no_ac_pet",
        f"{TAGS['corrected_image']} does not say ATTN: the PET is not attenuation corrected; name the corrected "
        "series in pet_series.",
    )


def check_uptake(case: Case) -> None:
    """Report the uptake time; refuse a long one where the SUV rests on it."""
    start = case.times.start or case.times.series
    if start is None:
        return
    needed = "injection" in case.inputs or "injection_datetime" in case.used
    if "injection_datetime" in case.sheet:
        given: Administration | None = given_administration(case.sheet["injection_datetime"], case.times)
    else:
        given = case.header_injection()
    if given is None:
        return
    minutes = (start - given.moment) / timedelta(minutes=1)
    if minutes > 60 * case.max_hours or minutes < 0:
        if needed:
            raise Refusal(
                "time",
                f"{minutes / 60:.1f} h from injection ({given.source}) to the scan, more than {case.max_hours:g} h; "
                "give injection_datetime in scans.tsv.",
            )
        case.warn("uptake", f"{given.source} gives an uptake time of {minutes / 60:.1f} h: it was not believed.")
        return
    case.warnings += [warning for warning in given.warnings if warning not in case.warnings]
    case.uptake_minutes = round(minutes, 2)
    if minutes < SHORT_UPTAKE_MINUTES:
        case.warn("uptake", f"only {minutes:.0f} min from injection to the scan.")


def check_tracer(case: Case, tracer: str) -> None:
    """Flag or refuse a tracer other than 18F-fluoride."""
    half_life = None
    try:
        half_life = number(case.items[0].get("half_life")) if len(case.items) == 1 else None
    except ValueError:
        half_life = None
    doubt = tracer_doubt(case.items, half_life)
    if doubt is None or tracer == "ignore":
        return
    if tracer == "refuse":
        raise Refusal(
            "tracer", f"{doubt} (0054,0016), and suv.tracer is `refuse`; check the scan or set suv.tracer: warn."
        )
    case.warn("tracer", f"{doubt} (RadiopharmaceuticalInformationSequence, 0054,0016).")
