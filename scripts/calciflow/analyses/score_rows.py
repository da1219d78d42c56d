"""Statistics on scores: imaging against the clinicians, PET/CT's increment, detection by region."""

import numpy as np
import pandas as pd

from calciflow.analyses.rows import Row, describe, join, number, p_value, paired
from calciflow.stats.adjust import spread
from calciflow.stats.signed_rank import sign_flip

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


def increment_rows(scores: pd.DataFrame, people: pd.DataFrame) -> list[Row]:
    """What PET/CT adds to CT: per person, without a p."""
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
        notes = [BY_CONSTRUCTION]
        if values:
            notes.append(f"range {number(low)} to {number(high)}, mean {number(float(np.mean(values)))}")
        rows.append(
            describe(
                "increment",
                outcome,
                "petct",
                "ct",
                n=len(values),
                estimate=median,
                method="median over people of what PET/CT counts beyond CT alone",
                notes=notes,
            )
        )
    return rows


def detection_rows(scores: pd.DataFrame, clinical_regions: pd.DataFrame) -> list[Row]:
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
        rows.append(_detection("detection", "regions_involved", a, b, found))
        if a != "petct" and b != "ct":
            continue  # region by region: PET/CT against the clinicians, PET against CT
        for region in dict.fromkeys(scores["region"]):
            own = found[found["region"] == region]
            if own[["a", "b"]].to_numpy().any():
                rows.append(_detection("detection_by_region", region, a, b, own))
    return rows


def _detection(analysis: str, outcome: str, a: str, b: str, found: pd.DataFrame) -> Row:
    by_person = found.groupby("participant_id")[["a", "b"]].sum()
    differences = (by_person["a"] - by_person["b"]).to_numpy(dtype=np.float64)
    p, attainable = sign_flip(differences)
    people = f"{a} finds it in {int((by_person['a'] > 0).sum())}, {b} in {int((by_person['b'] > 0).sum())} people"
    notes = [people, f"{int(by_person['a'].sum())} and {int(by_person['b'].sum())} of {len(found)} regions and sides"]
    only = int(((found["a"] == 1) & (found["b"] == 0)).sum()), int(((found["a"] == 0) & (found["b"] == 1)).sum())
    notes.append(f"only {a}: {only[0]}, only {b}: {only[1]}")
    zeros = int((differences == 0).sum())
    if zeros == len(differences):
        notes.append("no person differs")
    elif attainable > 0.05:
        notes.append(f"smallest attainable p {p_value(attainable)}: cannot reach 0.05")
    return describe(
        analysis,
        outcome,
        a,
        b,
        n=len(differences),
        estimate=float(differences.mean()),
        statistic=float(differences.sum()),
        p_exact=p,
        p_attainable=attainable,
        method="mean over people of the difference in regions with a finding; exact sign-flip test over people",
        notes=[join(notes) or ""],
    )
