"""Statistics on scores: imaging against the clinicians, PET/CT's increment, detection by region."""

import math

import numpy as np
import pandas as pd
from scipy import stats

from calciflow.analyses.rows import Row, describe, join, number, p_value, paired
from calciflow.stats.adjust import spread
from calciflow.stats.centre import mean_interval, median_interval
from calciflow.stats.clustered import FEWEST_PEOPLE, cluster_bootstrap
from calciflow.stats.signed_rank import sign_flip, signed_rank

PERSON = ["participant_id", "session_id"]
WIDE = "total_score"
BY_CONSTRUCTION = "PET/CT finds at least what CT finds, by construction: no test"


def region_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores with one column a modality, one row a person, session, region and side (totals left out)."""
    regions = scores[scores["region"] != "total"]
    wide = regions.pivot(index=[*PERSON, "region", "side"], columns="modality", values="score")
    for modality in ("ct", "pet", "petct"):
        if modality not in wide.columns:
            wide[modality] = np.nan
    return wide.reset_index()


def _imaging_differences(regions: pd.DataFrame, a: str, b: str) -> "pd.Series[float]":
    """Difference of totals over the regions that both modalities saw, by person."""
    both = regions.dropna(subset=[a, b])
    sums = both.groupby("participant_id")[[a, b]].sum()
    return sums[a] - sums[b]


def comparison_rows(scores: pd.DataFrame, pairs: pd.DataFrame, level: float, sheet: str, strangers: int) -> list[Row]:
    """Total scores: each modality against the clinicians, and PET alone against CT alone.

    Parameters
    ----------
    scores, pairs
        Of the sessions that speak for a person: ``read_scores`` and ``paired_totals``.
    sheet
        Empty, or why there are no clinical scores.
    strangers
        Rows of the clinical sheet that the form has no line for.
    """
    rows = []
    for modality in ("petct", "ct", "pet"):
        own = pairs[pairs["modality"] == modality]
        notes = [sheet]
        if len(own):
            means = own[["imaging_score", "clinical_score"]].astype(float).mean()
            notes.append(f"means {number(means['imaging_score'])} and {number(means['clinical_score'])}")
            common = own["n_regions"].dropna().astype(int)
            if len(common) and common.min() < common.max():
                notes.append(f"over {common.min()} to {common.max()} regions that both saw")
            elif len(common):
                notes.append(f"over {common.max()} regions that both saw")
        if strangers:
            notes.append(f"{strangers} rows of the clinical sheet are not on the scoring form and were left out")
        differences = (own["imaging_score"] - own["clinical_score"]).to_numpy(dtype=np.float64)
        rows.append(paired("score_comparison", WIDE, modality, "clinical", differences, level, notes))
    if len(scores):
        difference = _imaging_differences(region_table(scores), "pet", "ct")
        rows.append(paired("score_comparison", WIDE, "pet", "ct", difference.to_numpy(dtype=np.float64), level))
    return rows


def increment_rows(scores: pd.DataFrame, people: pd.DataFrame, level: float) -> list[Row]:
    """What PET/CT adds to CT: per person, with an interval and without a p."""
    if not len(scores):
        return []
    regions = region_table(scores).dropna(subset=["ct", "petct"])
    more = regions.assign(more=regions["petct"] - regions["ct"], new=(regions["petct"] > 0) & ~(regions["ct"] > 0))
    by_person = more.groupby("participant_id")[["more", "new"]].sum()
    share = people["n_pet_only"].astype(float) / people["n_lesions"].astype(float).where(people["n_lesions"] != 0)
    outcomes = {
        WIDE: by_person["more"],
        "regions_involved": by_person["new"],
        "n_lesions": people["n_pet_only"],
        "share_of_lesions": share,
    }
    rows = []
    for outcome, series in outcomes.items():
        values = series.astype(float).dropna().tolist()
        median, low, high = spread(values)
        ci_low, ci_high, ci_level = median_interval(values, level)
        notes = [BY_CONSTRUCTION, "which of these are false positives only a reference can tell"]
        if values:
            notes.append(f"range {number(low)} to {number(high)}, mean {number(float(np.mean(values)))}")
            if not math.isfinite(ci_low):
                notes.append(f"no {100 * level:g} % interval exists at n = {len(values)}")
        rows.append(
            describe(
                "increment",
                outcome,
                "petct",
                "ct",
                n=len(values),
                estimate=median,
                ci_low=ci_low,
                ci_high=ci_high,
                ci_level=ci_level,
                method="median over people of what PET/CT counts beyond CT alone; interval between sorted values",
                notes=notes,
            )
        )
    return rows


def detection_rows(scores: pd.DataFrame, clinical_regions: pd.DataFrame, level: float) -> list[Row]:
    """Regions with a finding, by modality: per person, all regions together and region by region.

    Parameters
    ----------
    clinical_regions
        ``mean_of_readers`` of the sessions that speak for a person.
    """
    if not len(scores):
        return []
    table = region_table(scores).merge(
        clinical_regions.rename(columns={"score": "clinical"}), on=[*PERSON, "region", "side"], how="left"
    )
    rows = []
    for a, b in (("petct", "clinical"), ("ct", "clinical"), ("pet", "clinical"), ("pet", "ct")):
        both = table.dropna(subset=[a, b])
        found = both.assign(a=(both[a] > 0).astype(int), b=(both[b] > 0).astype(int))
        if not len(found):
            continue
        rows.append(_detection("detection", "regions_involved", a, b, found, level))
        if a != "petct" and b != "ct":
            continue  # region by region: PET/CT against the clinicians, PET against CT
        for region in dict.fromkeys(scores["region"]):
            own = found[found["region"] == region]
            if own[["a", "b"]].to_numpy().any():
                rows.append(_detection("detection_by_region", region, a, b, own, level))
    return rows


def _mean_with_interval(differences: np.ndarray, level: float) -> tuple[float, float, float]:
    """Interval of the mean over people: what the sign-flip test keeps, or, of many people, by resampling them."""
    count = len(differences)
    if count < FEWEST_PEOPLE:
        return mean_interval(differences, level)
    low, high = cluster_bootstrap(range(count), lambda rows: float(differences[rows].mean()), level)
    return low, high, level


def _detection(analysis: str, outcome: str, a: str, b: str, found: pd.DataFrame, level: float) -> Row:
    by_person = found.groupby("participant_id")[["a", "b"]].sum()
    differences = (by_person["a"] - by_person["b"]).to_numpy(dtype=np.float64)
    count = len(differences)
    p, attainable = sign_flip(differences)
    low, high, attained = _mean_with_interval(differences, level)
    length = float(np.sqrt((differences**2).sum()))
    asymptotic = 2 * float(stats.norm.sf(abs(differences.sum()) / length)) if length > 0 else 1.0
    people = f"{a} finds it in {int((by_person['a'] > 0).sum())}, {b} in {int((by_person['b'] > 0).sum())} people"
    notes = [people, f"{int(by_person['a'].sum())} and {int(by_person['b'].sum())} of {len(found)} regions and sides"]
    only = int(((found["a"] == 1) & (found["b"] == 0)).sum()), int(((found["a"] == 0) & (found["b"] == 1)).sum())
    notes.append(f"only {a}: {only[0]}, only {b}: {only[1]}")
    zeros = int((differences == 0).sum())
    if zeros == count:
        notes.append("no person differs")
    elif attainable > 0.05:
        notes.append(f"smallest attainable p {p_value(attainable)}: cannot reach 0.05")
    if not math.isfinite(low):
        notes.append(f"no {100 * level:g} % interval exists at n = {count}")
    source = "by resampling people" if count >= FEWEST_PEOPLE else "of what the test keeps"
    return describe(
        analysis,
        outcome,
        a,
        b,
        n=count,
        estimate=float(differences.mean()),
        ci_low=low,
        ci_high=high,
        ci_level=attained if math.isfinite(low) else math.nan,
        effect_size=signed_rank(differences, level).rank_biserial,
        statistic=float(differences.sum()),
        p_exact=p,
        p_asymptotic=asymptotic,
        p_attainable=attainable,
        method=(
            "mean over people of the difference in regions with a finding; sign-flip test over people (asymptotic: "
            f"normal, all flips alike); interval {source}; matched-pairs rank-biserial"
        ),
        notes=[join(notes) or ""],
    )
