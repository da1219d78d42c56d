"""Plain-language readings of ``statistics.tsv``: what a row says, with its numbers, and what it cannot say.

Three rules keep them honest, and a test holds every reading to them: each reading carries its n; a p comes with the
smallest p that this n could have given; and a difference is stated as an estimate, never as established by a p.
The word "significant" is not used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from calciflow.pages.palette import CLASS_WORDS, words
from calciflow.pages.tables import missing, number, p_text, p_value

LIMIT = 0.05
"""The customary limit of p, for saying when it is out of reach; nothing is decided by it."""

ANALYSES = {
    "primary": "Primary comparison",
    "score_comparison": "Scores: imaging and clinical examination",
    "increment": "What PET/CT adds to CT",
    "detection": "Regions with a finding",
    "detection_by_region": "Regions with a finding, one by one",
    "agreement": "Agreement of imaging and clinical examination",
    "reader_agreement": "Agreement between readers",
    "groups": "Groups of people",
    "lesion_summary": "Deposits: uptake, density and size",
    "lesion_contrast": "Deposits: compartments and classes compared",
    "hu_suv": "Density and uptake",
    "lesion_model": "Deposits, one by one, allowing for people (mixed models)",
    "covariates": "Covariates",
}
"""Headings of the analyses, in the order of the report."""

OUTCOMES = {
    "total_score": "total score",
    "n_lesions": "number of deposits",
    "volume_ml": "volume of deposits (ml)",
    "ct_volume_ml": "volume on CT (ml)",
    "hydroxyapatite_mg": "hydroxyapatite (mg)",
    "tlf": "total lesion fluoride (SUV ml)",
    "n_pet_only": "number of deposits on PET only",
    "n_subcutaneous": "number of subcutaneous deposits",
    "n_muscle": "number of muscle deposits",
    "muscle_volume_ml": "volume of muscle deposits (ml)",
    "muscle_involved": "share of people with deposits in muscle",
    "n_regions_involved": "number of regions involved",
    "regions_involved": "number of regions with a finding",
    "share_of_lesions": "share of deposits seen on PET only",
    "score_ct": "CT score",
    "score_pet": "PET score",
    "score_petct": "PET/CT score",
    "score_clinical": "clinical score",
    "suv_max": "SUVmax (g/ml)",
    "suv_mean": "SUVmean (g/ml)",
    "hu_max": "greatest HU",
    "hu_mean_suv_mean": "mean HU against mean SUV",
    "bland_altman_bias": "mean difference",
    "bland_altman_lower_limit": "lower limit of agreement",
    "bland_altman_upper_limit": "upper limit of agreement",
    "icc_agreement": "intraclass correlation (agreement)",
    "icc_consistency": "intraclass correlation (consistency)",
}

SIDES = {
    "petct": "PET/CT",
    "pet": "PET",
    "ct": "CT",
    "clinical": "the clinical examination",
    "hu_mean": "mean HU",
} | CLASS_WORDS


@dataclass(frozen=True)
class Reading:
    """A row of the statistics in words."""

    analysis: str
    title: str
    text: str
    caution: str


def outcome_words(outcome: Any) -> str:
    """Say what was compared."""
    text = str(outcome)
    if text.startswith("kappa"):
        return "weighted kappa, " + words(text.removeprefix("kappa")).strip()
    return OUTCOMES.get(text, words(text))


def side_words(name: Any) -> str:
    """Say what was compared with what."""
    return "" if missing(name) else SIDES.get(str(name), words(str(name)))


def interval(row: Mapping[str, Any]) -> str:
    """Give the interval with the level attained; empty where there is none."""
    if missing(row.get("ci_low")) or missing(row.get("ci_high")):
        return ""
    level = row.get("ci_level")
    share = "" if missing(level) else f"{number(100 * float(level))} % "  # type: ignore[arg-type]
    return f"{share}interval {number(row['ci_low'])} to {number(row['ci_high'])}"


def tests(row: Mapping[str, Any]) -> str:
    """Say the p values of a row, always with the smallest attainable one where it is known; empty without a test."""
    if missing(row.get("p_exact")) and missing(row.get("p_asymptotic")):
        return ""
    named = (
        ("exact", "p_exact"),
        ("asymptotic", "p_asymptotic"),
        ("adjusted for the other comparisons", "p_adjusted"),
        ("the smallest exact p that n and ties allow is", "p_attainable"),
    )
    parts = [f"{name} {p_text(row[key])}" for name, key in named[:3] if not missing(row.get(key))]
    parts += [f"{name} {p_value(row[key])}" for name, key in named[3:] if not missing(row.get(key))]
    text = "; ".join(parts)
    return f" {text[0].upper()}{text[1:]}."


def caution(row: Mapping[str, Any]) -> str:
    """Say what the row cannot carry; empty where there is nothing to warn of."""
    least = row.get("p_attainable")
    if least is None or missing(least) or float(least) <= LIMIT:
        return ""
    bound = "no exact p but 1" if float(least) >= 1 else f"no exact p below {p_value(least)}"
    return (
        f"With n = {number(row.get('n'))}, and the ties and zeros among them, {bound} is possible: this comparison "
        f"cannot reach {LIMIT}, whatever the data. Read the values, not the p."
    )


def _people(row: Mapping[str, Any]) -> str:
    return f"n = {number(row['n'])}"


def _in_percent(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its interval in the unit of an estimate that is said in percent."""
    return {**row, **{end: None if missing(row[end]) else 100 * float(row[end]) for end in ("ci_low", "ci_high")}}


def _compared(row: Mapping[str, Any], what: str) -> str:
    """A difference between two sides, as an estimate."""
    a, b, estimate = side_words(row["group_a"]), side_words(row["group_b"]), float(row["estimate"])
    if row["outcome"] == "muscle_involved":
        what, size = "share of people with deposits in muscle", f"{number(abs(100 * estimate))} percentage points"
        row = _in_percent(row)
    else:
        size = number(abs(estimate))
    extra = "; ".join(part for part in (interval(row), _people(row)) if part)
    if int(float(row["n"])) == 1:
        side = f"{size} {'higher' if estimate > 0 else 'lower'} than" if estimate else "as high as"
        return f"In the one person who has both, {what} by {a} is {side} by {b} ({extra})."
    if estimate == 0:
        return f"No typical difference in {what} between {a} and {b} ({extra})."
    way = "higher" if estimate > 0 else "lower"
    return f"In {what}, {a} is typically {size} {way} than {b} ({extra})."


def _ratio(row: Mapping[str, Any], what: str, extra: str) -> str:
    """A mixed model's estimate, which is a ratio: 1 is no difference."""
    value, a, b = number(row["estimate"]), side_words(row["group_a"]), side_words(row["group_b"])
    if b:
        return f"{what[0].upper()}{what[1:]} of {a} deposits is {value} times that of {b} ones ({extra})."
    return f"Where the {a} doubles, {what} is {value} times as high at the same volume ({extra})."


def _sentence(row: Mapping[str, Any]) -> str:
    analysis, outcome = str(row["analysis"]), outcome_words(row["outcome"])
    a, b = side_words(row["group_a"]), side_words(row["group_b"])
    extra = "; ".join(part for part in (interval(row), _people(row)) if part)
    value = number(row["estimate"])
    if analysis == "increment":
        if row["outcome"] == "share_of_lesions":
            share = number(100 * float(row["estimate"]))
            extra = "; ".join(part for part in (interval(_in_percent(row)), _people(row)) if part)
            return f"In the median person, {share} % of the deposits are on PET only ({extra})."
        return f"In the median person, PET/CT adds {value} to the {outcome} of CT alone ({extra})."
    if analysis in ("detection", "detection_by_region"):
        estimate = float(row["estimate"])
        more = f"{number(abs(estimate))} {'more' if estimate >= 0 else 'fewer'}"
        if analysis == "detection":
            return f"{a[0].upper()}{a[1:]} finds {more} affected regions a person than {b}, on average ({extra})."
        return f"In the region {outcome}, {a} has {more} findings a person than {b}, on average ({extra})."
    if analysis in ("agreement", "reader_agreement"):
        if not b:
            return f"{a[0].upper()}{a[1:]} together: {outcome} {value} ({extra})."
        return f"{a[0].upper()}{a[1:]} and {b}: {outcome} {value} ({extra})."
    if analysis == "lesion_summary":
        kind = "median of the one person" if int(float(row["n"])) == 1 else "typical median a person"
        return f"{outcome[0].upper()}{outcome[1:]}, {a}: {kind} {value} ({extra})."
    if analysis == "lesion_model":
        return _ratio(row, outcome, extra)
    if analysis == "hu_suv":
        return f"Rank correlation of {outcome}, {a}: {value} ({extra})."
    if analysis == "covariates" and not b:
        return f"Rank correlation of {outcome} with {a}: {value} ({extra})."
    if a and b:
        return _compared(row, outcome)
    return f"{outcome[0].upper()}{outcome[1:]}{', ' + a if a else ''}: {value} ({extra})."


def read_row(row: Mapping[str, Any]) -> Reading:
    """Put a row of ``statistics.tsv`` into words."""
    a, b = side_words(row["group_a"]), side_words(row["group_b"])
    outcome = outcome_words(row["outcome"])
    title = f"{outcome[0].upper()}{outcome[1:]}"
    if row["analysis"] == "lesion_model" and not b:
        title += f" by {a}"
    elif a:
        title += f": {a} and {b}" if b else f": {a}"
    count = 0 if missing(row.get("n")) else int(float(row["n"]))
    if missing(row.get("estimate")) or count == 0:
        return Reading(str(row["analysis"]), title, f"Nothing to estimate (n = {count}).", "")
    return Reading(str(row["analysis"]), title, _sentence(row) + tests(row), caution(row))


def read_all(statistics: pd.DataFrame) -> list[tuple[str, list[tuple[Reading, str]]]]:
    """Read the whole table: (heading, [(reading, note)]) by analysis, in the order of the report."""
    found: dict[str, list[tuple[Reading, str]]] = {name: [] for name in ANALYSES}
    for record in statistics.to_dict("records"):
        row = {str(key): value for key, value in record.items()}
        remarks = [] if missing(row.get("note")) else str(row["note"]).split("; ")
        # What the caution says already is not said twice.
        note = "; ".join(remark for remark in remarks if not remark.startswith("smallest attainable p"))
        found.setdefault(str(row["analysis"]), []).append((read_row(row), note))
    return [(ANALYSES.get(name, words(name)), rows) for name, rows in found.items() if rows]
