"""The scans' tables put together: lesions of all scans, and scores that add up over a session's acquisitions."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from calciflow.labels import LESION_COLUMNS, SCORE_COLUMNS
from calciflow.tables import read_table

_ENTITIES = re.compile(r"(sub-[A-Za-z0-9]+)_(ses-[A-Za-z0-9]+)(?:_acq-([A-Za-z0-9]+))?_")


class Scan(NamedTuple):
    """Which scan a file of results belongs to, read from its name."""

    participant_id: str
    session_id: str
    acquisition: str | None


def scan_of(path: str | Path) -> Scan:
    """Read the BIDS entities of a result's file name.

    Raises
    ------
    ValueError
        If the name has no ``sub-`` and ``ses-``.
    """
    match = _ENTITIES.match(Path(path).name)
    if match is None:
        raise ValueError(f"{Path(path).name}: the name does not begin with sub-..._ses-..._")
    return Scan(match.group(1), match.group(2), match.group(3))


def _order(path: str | Path) -> tuple[str, str, str]:
    scan = scan_of(path)
    return scan.participant_id, scan.session_id, scan.acquisition or ""


def read_lesions(paths: Iterable[str]) -> pd.DataFrame:
    """All lesions of all scans, by person, session, acquisition and lesion; columns beyond the fixed ones last."""
    tables = [read_table(path, text_columns=("flags", "reason")) for path in sorted(paths, key=_order)]
    columns = list(LESION_COLUMNS)
    for table in tables:
        columns += [name for name in table.columns if name not in columns]
    filled = [table for table in tables if len(table)]
    if not filled:
        return pd.DataFrame(columns=columns, dtype=object)
    # Columns that are missing throughout one table have no type there: objects keep the numbers of the others.
    lesions = pd.concat([table.astype(object) for table in filled], ignore_index=True).reindex(columns=columns)
    order = lesions.assign(acquisition=lesions["acquisition"].fillna("").astype(str))
    order = order.sort_values(["participant_id", "session_id", "acquisition", "lesion_id"], kind="stable")
    return lesions.loc[order.index].reset_index(drop=True)


def lesion_text(paths: Iterable[str]) -> tuple[list[str], list[dict[str, str]]]:
    """The same rows as ``read_lesions``, cell for cell as they stand in the files."""
    columns = list(LESION_COLUMNS)
    rows: list[dict[str, str]] = []
    for path in sorted(paths, key=_order):
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        names = lines[0].split("\t") if lines else []
        columns += [name for name in names if name not in columns]
        own = [dict(zip(names, line.split("\t"), strict=True)) for line in lines[1:] if line]
        rows += sorted(own, key=lambda row: int(row["lesion_id"]))
    return columns, rows


def read_scores(paths: Iterable[str]) -> pd.DataFrame:
    """Scores of all sessions; the acquisitions of a session add up.

    A region that several acquisitions imaged whole takes the highest of their scores (they saw the same deposits),
    one that none imaged is missing, and the total is the sum over the regions.

    Returns
    -------
    Columns ``SCORE_COLUMNS``, sorted by person, session and modality, regions in the form's order, total last.
    """
    tables = [read_table(path) for path in sorted(paths, key=_order)]
    tables = [table for table in tables if len(table)]
    if not tables:
        return pd.DataFrame(columns=list(SCORE_COLUMNS), dtype=object).astype({"score": float})
    scores = pd.concat(tables, ignore_index=True)
    scores["side"] = scores["side"].where(scores["side"].notna(), None)
    keys = ["participant_id", "session_id", "modality", "region", "side"]
    regions = scores[scores["region"] != "total"]
    merged = regions.groupby(keys, sort=False, dropna=False)["score"].max().reset_index()
    totals = merged.groupby(keys[:3], sort=False)["score"].sum(min_count=1).reset_index()
    totals = totals.assign(region="total", side=None)
    everything = pd.concat([merged, totals], ignore_index=True)[list(SCORE_COLUMNS)]
    everything["score"] = everything["score"].astype(float)
    return everything.sort_values(keys[:3], kind="stable").reset_index(drop=True)


def session_of(sessions: Sequence[str], rule: str) -> str | None:
    """The session that speaks for a person: the ``first`` or the ``last`` that was measured."""
    known = sorted(set(sessions))
    if not known:
        return None
    return known[0] if rule == "first" else known[-1]
