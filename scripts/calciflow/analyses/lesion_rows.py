"""Statistics on deposits: groups of people, compartments and classes, HU against SUV, covariates."""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from calciflow.analyses.rows import Row, describe, finite, listed, p_value, paired, two_groups
from calciflow.labels import COMPARTMENTS, CONCORDANCES
from calciflow.lesion_table import has_part
from calciflow.stats.correlation import FEWEST_FOR_INTERVAL, spearman

GROUP_OUTCOMES = (
    "n_lesions",
    "volume_ml",
    "ct_volume_ml",
    "hydroxyapatite_mg",
    "tlf",
    "n_pet_only",
    "n_subcutaneous",
    "n_muscle",
    "muscle_volume_ml",
    "muscle_involved",
    "n_regions_involved",
    "score_ct",
    "score_pet",
    "score_petct",
    "score_clinical",
)
"""Columns of the people's table that groups are compared by; muscle involvement is the paper's own question."""

COVARIATE_OUTCOMES = ("score_petct", "score_clinical", "n_lesions", "volume_ml", "tlf")
LESION_OUTCOMES = ("suv_max", "hu_max", "volume_ml")
FEWEST_LESIONS = 4
"""A person's own correlation needs at least so many lesions: of three, any order has p >= 1/3."""


def _values(people: pd.DataFrame, column: str) -> "pd.Series[float]":
    """A column of the people's table as numbers (yes is 1, no is 0)."""
    return pd.to_numeric(people[column].map(lambda v: float(v) if isinstance(v, bool | np.bool_) else v))


def _views(people: pd.DataFrame) -> list[str]:
    """A caveat where people were not imaged alike."""
    imaged = people["n_regions_imaged"].dropna().astype(int)
    if len(imaged) and imaged.min() < imaged.max():
        return [f"fields of view differ: {imaged.min()} to {imaged.max()} regions imaged, burden is of what was imaged"]
    return []


def group_rows(people: pd.DataFrame, groups: Sequence[str], level: float) -> list[Row]:
    """Each two groups compared by burden, number, muscle involvement and scores, a value a person.

    Parameters
    ----------
    groups
        The groups to compare, in order; empty: all of the sheet in alphabetical order.
    """
    names = list(groups) or sorted(str(name) for name in people["group"].dropna().unique())
    measured = people[people["session_id"].notna()]
    rows = []
    for a, b in combinations(names, 2):
        for outcome in GROUP_OUTCOMES:
            first = _values(measured[measured["group"] == a], outcome).to_numpy(dtype=np.float64)
            second = _values(measured[measured["group"] == b], outcome).to_numpy(dtype=np.float64)
            if len(finite(first)) or len(finite(second)):
                both = measured[measured["group"].isin([a, b])]
                yes_no = outcome == "muscle_involved"
                rows.append(two_groups("groups", outcome, a, b, first, second, level, _views(both), yes_no=yes_no))
    return rows


def _measurable(lesions: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """Lesions for which a measurement means something: SUV of PET foci, HU of CT deposits."""
    if outcome.startswith("suv"):
        return lesions[has_part(lesions, "pet")]
    if outcome.startswith("hu"):
        return lesions[has_part(lesions, "ct")]
    return lesions


def person_medians(lesions: pd.DataFrame, outcome: str, by: str) -> pd.DataFrame:
    """Median of a measurement per person (rows) and per word of column ``by`` (columns)."""
    shown = _measurable(lesions, outcome)
    values = shown.assign(value=pd.to_numeric(shown[outcome])).dropna(subset=["value"])
    return values.pivot_table(index="participant_id", columns=by, values="value", aggfunc="median")


def lesion_rows(lesions: pd.DataFrame, level: float) -> list[Row]:
    """SUV, HU and volume by compartment and by class: medians per person, then over people.

    Parameters
    ----------
    lesions
        Counted lesions of the sessions that speak for a person, with ``volume_ml``.
    """
    rows: list[Row] = []
    if not len(lesions):
        return rows
    kinds = (("compartment", COMPARTMENTS), ("concordance", CONCORDANCES))
    for outcome in LESION_OUTCOMES:
        for column, words in kinds:
            medians = person_medians(lesions, outcome, column)
            for word in words:
                if word in medians.columns:
                    count = int((_measurable(lesions, outcome)[column] == word).sum())
                    rows.append(
                        _summary(outcome, word, medians[word].dropna().to_numpy(dtype=np.float64), count, level)
                    )
    contrasts = (
        ("compartment", "muscle", "subcutaneous", LESION_OUTCOMES),
        ("concordance", "CT+PET+", "CT+PET-", ("hu_max", "volume_ml")),
        ("concordance", "CT+PET+", "CT-PET+", ("suv_max",)),
    )
    for column, a, b, outcomes in contrasts:
        for outcome in outcomes:
            medians = person_medians(lesions, outcome, column)
            if a in medians.columns and b in medians.columns:
                differences = (medians[a] - medians[b]).dropna().to_numpy(dtype=np.float64)
                note = "median per person in each; only people who have both"
                rows.append(paired("lesion_contrast", outcome, a, b, differences, level, [note]))
    return rows


def _summary(outcome: str, word: str, values: np.ndarray, count: int, level: float) -> Row:
    row = paired("lesion_summary", outcome, word, None, values, level)
    notes = [f"{count} lesions in {len(values)} people; {listed('medians per person', values)}"]
    if not math.isfinite(row["ci_low"]):
        notes.append(f"no {100 * level:g} % interval exists at n = {len(values)}")
    return describe(
        "lesion_summary",
        outcome,
        word,
        n=row["n"],
        estimate=row["estimate"],
        ci_low=row["ci_low"],
        ci_high=row["ci_high"],
        ci_level=row["ci_level"],
        method="median of the lesions per person, then pseudomedian over people (Hodges-Lehmann) with Walsh interval",
        notes=notes,
    )


def hu_suv_rows(lesions: pd.DataFrame, smallest_ml: float, level: float) -> list[Row]:
    """Density against uptake, person by person, in lesions large enough for both to be measured.

    Partial volume lowers HU and SUV of small lesions together and makes a correlation of 0.41 out of none: hence the
    smallest volume. The people's coefficients are then the data of one signed-rank test.
    """
    rows: list[Row] = []
    if not len(lesions):
        return rows
    large = lesions[pd.to_numeric(lesions["ct_volume_ml"]).fillna(0) >= smallest_ml]
    coefficients = []
    note = f"lesions of {smallest_ml:g} ml and more on CT: partial volume correlates HU and SUV of smaller ones"
    for person, own in large.groupby("participant_id", sort=True):
        pairs = own[["hu_mean", "suv_mean"]].apply(pd.to_numeric).dropna()
        if len(pairs) < FEWEST_LESIONS:
            continue
        result = spearman(pairs["hu_mean"].to_numpy(np.float64), pairs["suv_mean"].to_numpy(np.float64))
        coefficients.append(result.rho)
        rows.append(
            describe(
                "hu_suv",
                "hu_mean_suv_mean",
                str(person),
                n=result.n,
                estimate=result.rho,
                method="Spearman's rho over one person's lesions; no p: they are not independent",
                notes=[note],
            )
        )
    overall = paired("hu_suv", "hu_mean_suv_mean", "all people", None, coefficients, level, [note])
    if overall["n"] == 0:
        few = f"nobody has {FEWEST_LESIONS} such lesions with both measurements"
        overall = describe("hu_suv", "hu_mean_suv_mean", "all people", n=0, method="none", notes=[note, few])
    return [*rows, overall]


def covariate_rows(people: pd.DataFrame, covariates: Sequence[str], level: float) -> list[Row]:
    """Each covariate of the config against scores and burden: rank correlation, or two groups."""
    rows: list[Row] = []
    measured = people[people["session_id"].notna()]
    for covariate in covariates:
        column = measured[covariate]
        numbers = pd.to_numeric(column, errors="coerce")
        for outcome in COVARIATE_OUTCOMES:
            values = _values(measured, outcome)
            if numbers.notna().sum() == column.notna().sum() and numbers.nunique() > 2:
                rows.append(_correlation(outcome, covariate, values, numbers, level))
                continue
            words = sorted(column.dropna().astype(str).unique())
            if len(words) == 2:
                a, b = (values[column.astype(str) == word].to_numpy(dtype=np.float64) for word in words)
                names = [f"{covariate} {word}" for word in words]
                rows.append(two_groups("covariates", outcome, names[0], names[1], a, b, level))
                continue
            few = f"{len(words)} different values: nothing to compare with (a number, or a word of two kinds)"
            rows.append(
                describe("covariates", outcome, covariate, n=int(column.notna().sum()), method="none", notes=[few])
            )
    return rows


def _correlation(outcome: str, covariate: str, values: pd.Series, numbers: pd.Series, level: float) -> Row:
    result = spearman(values.to_numpy(np.float64), numbers.to_numpy(np.float64), level)
    notes = []
    if not math.isfinite(result.rho):
        notes.append("fewer than three people, or one of the two is constant: no coefficient")
    elif not math.isfinite(result.ci_low):
        notes.append(f"no interval under {FEWEST_FOR_INTERVAL} people, nor of a perfect order")
    if result.p_attainable > 0.05:
        notes.append(f"smallest attainable p {p_value(result.p_attainable)}: cannot reach 0.05")
    return describe(
        "covariates",
        outcome,
        covariate,
        n=result.n,
        estimate=result.rho,
        ci_low=result.ci_low,
        ci_high=result.ci_high,
        ci_level=level if math.isfinite(result.ci_low) else math.nan,
        effect_size=result.rho,
        p_exact=result.p_exact,
        p_asymptotic=result.p_asymptotic,
        p_attainable=result.p_attainable,
        method=(
            "Spearman's rho over people (exact: all orders, up to 8 people; asymptotic: Student's t; interval: "
            "Fisher's z with Bonett and Wright's standard error, nominal level)"
        ),
        notes=notes,
    )
