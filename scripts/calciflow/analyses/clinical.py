"""The clinicians' scores: the sheet, several readers, and the pairs with the imaging scores."""

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from calciflow.errors import StudyError
from calciflow.tables import read_table

COLUMNS = ("participant_id", "session_id", "region", "side", "score", "reader")
COMPARISON_COLUMNS = (
    "participant_id",
    "session_id",
    "modality",
    "imaging_score",
    "clinical_score",
    "n_regions",
)


def read_clinical(path: str | Path | None) -> pd.DataFrame:
    """Read the sheet of clinical scores; no sheet gives a table without rows.

    A side left empty means ``midline``. The column ``reader`` may be absent: then there is one reader, ``1``.

    Raises
    ------
    StudyError
        Names the file, line, column and fix: a missing column, a score that is no number, a row given twice.
    """
    if path is None:
        return pd.DataFrame(columns=list(COLUMNS), dtype=object).astype({"score": float})
    name = Path(path).name
    table = read_table(path, text_columns=("reader", "score"))
    for column in COLUMNS[:-1]:
        if column not in table.columns:
            raise StudyError(f"{name}: there is no column {column}. Fix: add it; the columns are {' '.join(COLUMNS)}.")
    if "reader" not in table.columns:
        table["reader"] = "1"
    table["reader"] = table["reader"].fillna("1").astype(str)
    table["side"] = table["side"].fillna("midline")
    numbers = pd.to_numeric(table["score"], errors="coerce")
    wrong = table.index[table["score"].notna() & ~(numbers >= 0)]
    if len(wrong):
        raise StudyError(
            f"{name}, line {wrong[0] + 2}, column score: {table['score'][wrong[0]]!r} is no score. "
            "Fix: a number from 0 on, or n/a for a region that was not examined."
        )
    table["score"] = numbers.astype(float)
    twice = table.index[table.duplicated(["participant_id", "session_id", "region", "side", "reader"])]
    if len(twice):
        raise StudyError(
            f"{name}, line {twice[0] + 2}: this person, session, region, side and reader were given before. "
            "Fix: keep one of the lines, or name different readers."
        )
    return table[list(COLUMNS)]


def fold_halves(clinical: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Take the two halves of a trunk region together where the scoring form has one line for the whole region.

    The region gets the higher score of its halves: a graded region is at least as bad as its worse half. Ours.

    Parameters
    ----------
    clinical
        As `read_clinical` gives it.
    scores
        Imaging scores; their regions and sides are the form's lines.
    """
    known = set(zip(scores["region"], scores["side"], strict=True))
    whole = {region for region, side in known if side == "midline" and (region, "left") not in known}
    folded = clinical.copy()
    folded.loc[folded["region"].isin(whole) & folded["side"].isin(["left", "right"]), "side"] = "midline"
    keys = [*COLUMNS[:4], COLUMNS[5]]
    return folded.groupby(keys, sort=False, dropna=False)["score"].max().reset_index()[list(COLUMNS)]


def mean_of_readers(clinical: pd.DataFrame) -> pd.DataFrame:
    """One score a person, session, region and side: the mean over the readers who gave one."""
    keys = ["participant_id", "session_id", "region", "side"]
    return clinical.groupby(keys, sort=True)["score"].mean().dropna().reset_index()


def clinical_totals(clinical: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Clinical total by (participant, session): the sum over the regions, or a ``total`` where only that was given."""
    totals: dict[tuple[str, str], float] = {}
    means = mean_of_readers(clinical)
    for key, own in means.groupby(["participant_id", "session_id"], sort=True):
        regions = own[own["region"] != "total"]
        who, when = key
        totals[str(who), str(when)] = float((regions if len(regions) else own)["score"].sum())
    return totals


def paired_regions(scores: pd.DataFrame, clinical: pd.DataFrame) -> pd.DataFrame:
    """Region by region, the imaging and the clinical score, where both were given.

    Returns
    -------
    Columns participant_id, session_id, modality, region, side, imaging_score, clinical_score.
    """
    keys = ["participant_id", "session_id", "region", "side"]
    imaging = scores[scores["region"] != "total"].rename(columns={"score": "imaging_score"})
    means = mean_of_readers(clinical).rename(columns={"score": "clinical_score"})
    pairs = imaging.merge(means, on=keys, how="inner").dropna(subset=["imaging_score", "clinical_score"])
    return pairs[[*keys[:2], "modality", *keys[2:], "imaging_score", "clinical_score"]].reset_index(drop=True)


def paired_totals(scores: pd.DataFrame, clinical: pd.DataFrame) -> pd.DataFrame:
    """Totals over the regions that both saw, one row a session and modality.

    A session of which the clinicians gave only a ``total`` is paired with the imaging total (``n_regions`` missing).

    Returns
    -------
    Columns ``COMPARISON_COLUMNS``.
    """
    keys = ["participant_id", "session_id", "modality"]
    pairs = paired_regions(scores, clinical)
    totals = (
        pairs.groupby(keys, sort=True)
        .agg(
            imaging_score=("imaging_score", "sum"),
            clinical_score=("clinical_score", "sum"),
            n_regions=("region", "size"),
        )
        .reset_index()
    )
    means = mean_of_readers(clinical)
    regional = set(map(tuple, means.loc[means["region"] != "total", keys[:2]].to_numpy()))
    alone = [pair not in regional for pair in map(tuple, means[keys[:2]].to_numpy())]
    only_total = means[(means["region"] == "total") & np.array(alone, dtype=bool)]
    whole = scores[scores["region"] == "total"].merge(
        only_total[["participant_id", "session_id", "score"]], on=keys[:2], suffixes=("_imaging", "_clinical")
    )
    if len(whole):
        whole = whole.rename(columns={"score_imaging": "imaging_score", "score_clinical": "clinical_score"})
        whole["n_regions"] = pd.NA
        whole = whole.dropna(subset=["imaging_score"])[list(COMPARISON_COLUMNS)].astype(object)
        totals = pd.concat([totals.astype(object), whole], ignore_index=True) if len(totals) else whole
    totals = totals.sort_values(keys, kind="stable").reset_index(drop=True)[list(COMPARISON_COLUMNS)]
    return totals.astype({"imaging_score": float, "clinical_score": float})


def unmatched(scores: pd.DataFrame, clinical: pd.DataFrame) -> int:
    """How many rows of the sheet name a region and side that the scoring form doesn't have."""
    known = set(zip(scores["region"], scores["side"], strict=True))
    if not known:
        return 0
    rows = clinical[clinical["region"] != "total"]
    return sum((region, side) not in known for region, side in zip(rows["region"], rows["side"], strict=True))


def reader_pairs(clinical: pd.DataFrame) -> Iterable[tuple[str, str, pd.DataFrame]]:
    """Each pair of readers with the regions that both scored: columns of ``a`` and ``b``."""
    keys = ["participant_id", "session_id", "region", "side"]
    rows = clinical[clinical["region"] != "total"].dropna(subset=["score"])
    for a, b in combinations(sorted(rows["reader"].unique()), 2):
        first = rows[rows["reader"] == a].rename(columns={"score": "a"})
        second = rows[rows["reader"] == b].rename(columns={"score": "b"})
        yield a, b, first.merge(second, on=keys)[[*keys, "a", "b"]]
