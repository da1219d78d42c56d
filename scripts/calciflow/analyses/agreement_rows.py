"""Agreement of imaging with the clinicians, and between readers: kappa by region, ICC, Bland-Altman."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from calciflow.analyses.clinical import paired_regions, reader_pairs
from calciflow.analyses.rows import Row, describe
from calciflow.labels import REGIONS
from calciflow.stats.agreement import bland_altman, icc, weighted_kappa
from calciflow.stats.clustered import FEWEST_PEOPLE, cluster_bootstrap

PERSON = ["participant_id", "session_id"]
Floats = npt.NDArray[np.float64]
Weights = Literal["linear", "quadratic"]


def _kappa(
    analysis: str,
    outcome: str,
    a: str,
    b: str,
    pairs: pd.DataFrame,
    columns: tuple[str, str],
    weights: Weights,
    level: float,
) -> Row:
    """Kappa over a table of paired scores; its interval by resampling people, if there are enough of them."""
    first, second = (pairs[column].to_numpy(np.float64) for column in columns)
    people = pairs["participant_id"].tolist()
    count = len(set(people))
    notes = [f"{len(pairs)} pairs of {count} people"]
    low = high = math.nan
    if count >= FEWEST_PEOPLE:
        low, high = cluster_bootstrap(people, lambda rows: weighted_kappa(first[rows], second[rows], weights), level)
    else:
        notes.append("sides and regions of one person are not independent: descriptive, no interval")
    alike = len(np.unique(first)) <= 1, len(np.unique(second)) <= 1
    if all(alike):
        notes.append("both constant: no coefficient")
    elif any(alike):
        notes.append("one of the two is constant: kappa is 0 by construction")
    return describe(
        analysis,
        outcome,
        a,
        b,
        n=count,
        estimate=weighted_kappa(first, second, weights),
        ci_low=low,
        ci_high=high,
        ci_level=level if math.isfinite(low) else math.nan,
        method=f"Cohen's kappa, {weights} weights, over people, regions and sides; interval by resampling people",
        notes=notes,
    )


def _correlations(analysis: str, a: str, b: str | None, ratings: Floats, level: float) -> list[Row]:
    """Both intraclass correlations of people's ratings, shape (people, raters)."""
    rows = []
    kinds: tuple[tuple[str, Literal["agreement", "consistency"], str], ...] = (
        ("icc_agreement", "agreement", "ICC(2,1), single ratings, absolute agreement; F-based interval"),
        ("icc_consistency", "consistency", "ICC(3,1), single ratings, consistency; F-based interval"),
    )
    for outcome, kind, method in kinds:
        result = icc(ratings, kind, level)
        notes = [f"descriptive under {FEWEST_PEOPLE} people"] if result.n < FEWEST_PEOPLE else []
        if not math.isfinite(result.estimate):
            notes.append("fewer than two people, or everyone alike: no coefficient")
        known = level if math.isfinite(result.ci_low) else math.nan
        rows.append(
            describe(
                analysis,
                outcome,
                a,
                b,
                n=result.n,
                estimate=result.estimate,
                ci_low=result.ci_low,
                ci_high=result.ci_high,
                ci_level=known,
                method=method,
                notes=notes,
            )
        )
    return rows


def _coefficients(
    analysis: str, a: str, b: str, first: Sequence[float], second: Sequence[float], level: float
) -> list[Row]:
    """Intraclass correlations and Bland-Altman numbers of paired totals."""
    ratings = np.column_stack([np.asarray(first, dtype=float), np.asarray(second, dtype=float)])
    rows = _correlations(analysis, a, b, ratings, level)
    plot = bland_altman(first, second, level)
    notes = [f"limits from {plot.n} people are a picture, no test"] if plot.n < FEWEST_PEOPLE else []
    for outcome, value, half in (
        ("bland_altman_bias", plot.bias, plot.bias_half_width),
        ("bland_altman_lower_limit", plot.lower, plot.limit_half_width),
        ("bland_altman_upper_limit", plot.upper, plot.limit_half_width),
    ):
        rows.append(
            describe(
                analysis,
                outcome,
                a,
                b,
                n=plot.n,
                estimate=value,
                ci_low=value - half,
                ci_high=value + half,
                ci_level=level if math.isfinite(half) else math.nan,
                method="Bland-Altman, limits at 1.96 SD of the differences; Student's t intervals",
                notes=notes,
            )
        )
    return rows


def agreement_rows(
    scores: pd.DataFrame, clinical: pd.DataFrame, pairs: pd.DataFrame, level: float, weights: Weights
) -> list[Row]:
    """Agreement of imaging and clinicians: kappa per region, ICC and Bland-Altman on the totals.

    Parameters
    ----------
    scores, clinical, pairs
        Of the sessions that speak for a person: ``read_scores``, ``read_clinical``, ``paired_totals``.
    """
    rows: list[Row] = []
    regional = paired_regions(scores, clinical)
    regional = regional[regional["modality"] == "petct"]
    columns = ("imaging_score", "clinical_score")
    for region in dict.fromkeys(scores["region"]):
        own = regional[regional["region"] == region]
        if len(own):
            rows.append(_kappa("agreement", f"kappa_{region}", "petct", "clinical", own, columns, weights, level))
    for modality in ("petct", "ct", "pet"):
        own = pairs[pairs["modality"] == modality]
        if len(own):
            first, second = (own[column].tolist() for column in columns)
            rows += _coefficients("agreement", modality, "clinical", first, second, level)
    return rows


def _all_readers(clinical: pd.DataFrame, level: float) -> list[Row]:
    """Intraclass correlations of three readers and more together, over the regions that all of them scored."""
    regional = clinical[clinical["region"] != "total"]
    wide = regional.pivot_table(index=[*PERSON, "region", "side"], columns="reader", values="score").dropna()
    if wide.shape[1] < 3 or not len(wide):
        return []
    totals = wide.groupby(PERSON).sum()
    return _correlations("reader_agreement", f"{wide.shape[1]} readers", None, totals.to_numpy(np.float64), level)


def reader_rows(clinical: pd.DataFrame, level: float, weights: Weights) -> list[Row]:
    """Agreement between readers of the clinical sheet: two by two, region by region, and all of them together."""
    rows: list[Row] = []
    for a, b, both in reader_pairs(clinical):
        names = f"reader {a}", f"reader {b}"
        if len(both):
            rows.append(_kappa("reader_agreement", "kappa_all_regions", *names, both, ("a", "b"), weights, level))
            for region in [name for name in REGIONS if name in set(both["region"])]:
                own = both[both["region"] == region]
                rows.append(_kappa("reader_agreement", f"kappa_{region}", *names, own, ("a", "b"), weights, level))
            sums = both.groupby(PERSON)[["a", "b"]].sum()
            rows += _coefficients("reader_agreement", *names, sums["a"].tolist(), sums["b"].tolist(), level)
        else:
            none = ["no region was scored by both"]
            rows.append(describe("reader_agreement", "kappa_all_regions", *names, n=0, method="none", notes=none))
    return rows + _all_readers(clinical, level)
