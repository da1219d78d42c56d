"""Stage ``cohort``: tables, statistics and figures over all accepted scans."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from calciflow.analyses.agreement_rows import agreement_rows, reader_rows
from calciflow.analyses.clinical import (
    COMPARISON_COLUMNS,
    clinical_totals,
    fold_halves,
    mean_of_readers,
    paired_totals,
    read_clinical,
    unmatched,
)
from calciflow.analyses.figures import DRAWINGS, CohortData, write_figures
from calciflow.analyses.large_rows import model_rows
from calciflow.analyses.lesion_rows import covariate_rows, group_rows, hu_suv_rows, lesion_rows
from calciflow.analyses.people import counted_lesions, person_columns, person_table, read_people
from calciflow.analyses.rows import STATISTICS_COLUMNS, Row, adjust
from calciflow.analyses.score_rows import comparison_rows, detection_rows, increment_rows
from calciflow.analyses.sessions import lesion_text, read_lesions, read_scores, scan_of
from calciflow.files import read_json
from calciflow.labels import SCORE_COLUMNS
from calciflow.tables import read_table, write_table

FIGURES = tuple(DRAWINGS)
"""Names of the figures: ``results/cohort/figures/NAME.svg``, with its data in ``NAME.tsv``."""


def _listed(paths: str | Sequence[str] | None) -> list[str]:
    """Snakemake gives one path as a string, and none as an empty list."""
    if paths is None:
        return []
    return [paths] if isinstance(paths, str) else [str(path) for path in paths]


def _chosen(table: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """Rows of the sessions that speak for their person."""
    sessions = set(zip(people["participant_id"], people["session_id"], strict=True))
    keep = [pair in sessions for pair in zip(table["participant_id"], table["session_id"], strict=True)]
    return table[np.array(keep, dtype=bool)]


def detection_table(scores: pd.DataFrame, clinical: pd.DataFrame) -> pd.DataFrame:
    """How many people were seen in each region, and how many had a finding, by modality.

    Parameters
    ----------
    scores, clinical
        One session a person: ``read_scores`` and ``mean_of_readers``.

    Returns
    -------
    Columns modality, region, side, n, found; regions in the form's order.
    """
    regions = scores[scores["region"] != "total"]
    places = list(dict.fromkeys(zip(regions["region"], regions["side"], strict=True)))
    sheet = clinical.assign(modality="clinical")
    rows = []
    for modality, table in (*((m, regions) for m in ("ct", "pet", "petct")), ("clinical", sheet)):
        own = table[table["modality"] == modality].dropna(subset=["score"])
        if not len(own):
            continue
        seen = own.groupby(["region", "side"])["score"].agg(n="size", found=lambda s: int((s > 0).sum()))
        counts = {key: (int(n), int(found)) for key, n, found in seen.itertuples(name=None)}
        for place in places:
            n, found = counts.get(place, (0, 0))
            rows.append({"modality": modality, "region": place[0], "side": place[1], "n": n, "found": found})
    return pd.DataFrame(rows, columns=["modality", "region", "side", "n", "found"])


def summarise(
    *,
    screening: str,
    tables: Sequence[str],
    scores: Sequence[str],
    findings: Sequence[str],
    participants: str,
    clinical_scores: str | Sequence[str] | None,
    lesions_out: str,
    scores_out: str,
    participants_out: str,
    statistics_out: str,
    comparison_out: str,
    figures: str | Sequence[str] = (),
    figure_tables: str | Sequence[str] | None = None,
    primary: Sequence[str],
    ci_level: float,
    groups: Sequence[str],
    covariates: Sequence[str],
    exclude_flags: Sequence[str],
    session: str,
    kappa_weights: Literal["linear", "quadratic"],
    correlation_min_ml: float,
) -> None:
    """Write the cohort's tables, statistics and figures.

    Parameters
    ----------
    screening
        ``results/screening.tsv``.
    tables, scores, findings
        ``P_lesions.tsv``, ``P_scores.tsv`` and the lesions' JSON of every accepted scan; may be none.
    participants, clinical_scores
        The study's sheets; there may be no clinical scores.
    figures, figure_tables
        Paths of the figures, none for a run of a sweep; their tables stand beside them under the same name (declared
        for Snakemake's sake).
    primary
        Outcome, group_a and group_b of the comparison named beforehand.
    ci_level
        Confidence level of intervals.
    groups
        Groups to compare; none: all.
    covariates
        Columns of the people's sheet.
    exclude_flags
        Lesions with one of these flags stay out of burden and statistics.
    session
        ``first`` or ``last``: which session speaks for a person.
    kappa_weights
        Weights of kappa.
    correlation_min_ml
        Smallest CT volume of a lesion for HU against SUV, in ml.
    """
    columns, text_rows = lesion_text(_listed(tables))
    write_table(lesions_out, text_rows, columns)
    lesions = read_lesions(_listed(tables))
    all_scores = read_scores(_listed(scores))
    write_table(scores_out, all_scores, SCORE_COLUMNS)

    sheet = _listed(clinical_scores)
    clinical = fold_halves(read_clinical(sheet[0] if sheet else None), all_scores)
    pairs = paired_totals(all_scores, clinical)
    write_table(comparison_out, pairs, COMPARISON_COLUMNS)

    dropped = {scan_of(path): sum((read_json(path).get("dropped") or {}).values()) for path in _listed(findings)}
    people = person_table(
        read_people(participants, covariates),
        read_table(screening, text_columns=("verdict", "code", "reason")),
        lesions,
        all_scores,
        clinical_totals(clinical),
        [scan_of(path) for path in _listed(scores)],
        dropped,
        exclude_flags,
        session,
    )
    write_table(participants_out, people, person_columns(covariates))

    own_scores, own_pairs, own_clinical = (_chosen(table, people) for table in (all_scores, pairs, clinical))
    own_lesions = _chosen(counted_lesions(lesions, exclude_flags), people)
    own_means = mean_of_readers(own_clinical)
    missing = "" if sheet else "no sheet of clinical scores"
    rows: list[Row] = [
        *comparison_rows(own_scores, own_pairs, ci_level, missing, unmatched(own_scores, own_clinical)),
        *increment_rows(own_scores, people[people["session_id"].notna()], ci_level),
        *agreement_rows(own_scores, own_clinical, own_pairs, ci_level, kappa_weights),
        *reader_rows(own_clinical, ci_level, kappa_weights),
        *detection_rows(own_scores, own_means, ci_level),
        *group_rows(people, groups, ci_level),
        *lesion_rows(own_lesions, ci_level),
        *hu_suv_rows(own_lesions, correlation_min_ml, ci_level),
        *model_rows(own_lesions, correlation_min_ml, ci_level),
        *covariate_rows(people, covariates, ci_level),
    ]
    outcome, group_a, group_b = primary
    statistics = adjust(rows, (outcome, group_a, group_b))
    write_table(statistics_out, statistics, STATISTICS_COLUMNS)
    write_figures(CohortData(people, own_lesions, own_pairs, detection_table(own_scores, own_means)), _listed(figures))
    measured = int(people["session_id"].notna().sum())
    print(f"{measured} of {len(people)} people measured, {len(lesions)} lesions, {len(statistics)} results")
