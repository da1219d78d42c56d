"""The cohort's report: one file that opens offline, for the researchers and their co-authors."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import calciflow
from calciflow.files import read_json, write_text
from calciflow.forms import load_form
from calciflow.labels import COMPARTMENTS
from calciflow.pages.agreement_chart import difference_plot
from calciflow.pages.charts import burden_plot, group_of, heat_map, paired_plot, spread_plot
from calciflow.pages.cohort_views import (
    class_counts,
    flow_of,
    key_numbers,
    limitations,
    natural,
    pictures,
    prefix_of,
    split_flagged,
)
from calciflow.pages.course_views import CourseView, course_view
from calciflow.pages.drawing import data_uri
from calciflow.pages.methods import shown_parameters, versions, write_methods
from calciflow.pages.palette import MODALITY_WORDS
from calciflow.pages.readings import read_all, read_row
from calciflow.pages.rendering import render
from calciflow.pages.review_views import EDIT_TEXTS, review_table, reviewed
from calciflow.pages.scan_words import STAGE_WORDS, warning_text
from calciflow.pages.sweep_views import CLASS_FILLS, SCORE_SHAPES, swept_parameters
from calciflow.pages.tables import LESION_VIEW, Table, missing, table
from calciflow.tables import read_table

DATA_FILES: tuple[str, ...] = (
    "scripts/calciflow/templates/report.html",
    "scripts/calciflow/templates/charts.html",
    "scripts/calciflow/templates/sweep.html",
    "scripts/calciflow/templates/course.html",
)

SWEPT = ("parameter", "value", "own", "kind", "analysis", "outcome", "group_a", "group_b")

FIGURE_WORDS = {
    "scores": "Imaging and clinical scores, person by person",
    "agreement": "Imaging beside clinical scores: differences by mean (Bland-Altman)",
    "burden": "Burden by group and compartment",
    "regions": "Regions with a finding, by modality",
    "uptake": "Uptake and density of deposits",
    "change": "Change over time, deposit by deposit",
}


def as_list(paths: str | Sequence[str]) -> list[str]:
    """Give a list of paths, also where there is a single one."""
    return [paths] if isinstance(paths, str) else list(paths)


def relative(path: str, page: str) -> str:
    """Give the address of a result file as seen from the page."""
    return Path(os.path.relpath(path, Path(page).parent)).as_posix()


def svg_uri(path: str) -> str:
    """Put an SVG into a ``data:`` URI: shown as a picture, its scripts and ids stay out of the page."""
    return data_uri(Path(path).read_bytes(), "image/svg+xml")


def scan_warnings(groups: Mapping[str, Sequence[str]]) -> list[tuple[str, str, list[str]]]:
    """Warnings of all scans: (stage, sentence, scans that gave it), in the order of the workflow.

    Parameters
    ----------
    groups
        JSON files by stage (``screening``, ``suv``, ``registration``, ``findings``).
    """
    found: dict[tuple[str, str], list[str]] = {}
    for stage, paths in groups.items():
        for path in sorted(paths):
            name = prefix_of(path).replace("_", " ")
            for warning in read_json(path).get("warnings") or []:
                scans = found.setdefault((STAGE_WORDS[stage], warning_text(warning)), [])
                if name not in scans:
                    scans.append(name)
    return [(stage, text, scans) for (stage, text), scans in found.items()]


def lesion_rows(lesions: pd.DataFrame, links: Mapping[str, str], most: int) -> Table:
    """Make the report's table of lesions; numbers lead to the scan's page. 2000 rows are about 2 MB."""
    keys = ["participant_id", "session_id", "acquisition", *LESION_VIEW]
    first = lesions.head(most)
    found = table(reviewed(first), keys, drop_empty=("acquisition", "flags", "morphology", "review", "reader", "edit"))
    place = [column.key for column in found.columns].index("lesion_id")
    for row, record in zip(found.rows, first.to_dict("records"), strict=True):
        tail = "" if missing(record.get("acquisition")) else f"_acq-{record['acquisition']}"
        link = links.get(f"{record['participant_id']}_{record['session_id']}{tail}")
        if link:
            old = row[place]
            row[place] = type(old)(old.text, old.order, f"{link}#lesion-{old.text}")
    return found


def people_in_order(participants: pd.DataFrame, analysed: set[str]) -> list[tuple[str, str]]:
    """Give (participant, group) of the analysed people, by group and name."""
    groups = group_of(participants)
    return sorted(
        ((person, groups.get(person, "")) for person in analysed), key=lambda item: (item[1], natural(item[0]))
    )


def all_edits(records: Sequence[str]) -> pd.DataFrame:
    """Readers' edits of all scans in one table; empty where there are none."""
    tables = [read_table(path, text_columns=EDIT_TEXTS) for path in sorted(records)]
    tables = [table.astype(object) for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def changed(changes: str | None, course: str | None, parameters: Mapping[str, Any]) -> CourseView | None:
    """The section on change over time; None where nobody was scanned twice."""
    if changes is None or course is None:
        return None
    texts = ("session_before", "session_after", "status", "size", "activity", "flags", "note")
    tables = [read_table(path, text_columns=texts) for path in (changes, course)]
    flags = (parameters.get("cohort") or {}).get("exclude_flags") or ()
    return course_view(tables[0], tables[1], dict(parameters.get("change") or {}), flags)


def of_session(frame: pd.DataFrame, participants: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of the session that speaks for each person, as the cohort's statistics do."""
    if "session_id" not in participants or frame.empty:
        return frame
    chosen = set(zip(participants["participant_id"], participants["session_id"], strict=True))
    return frame[[pair in chosen for pair in zip(frame["participant_id"], frame["session_id"], strict=True)]]


def write_report(
    *,
    screening: str,
    lesions: str,
    scores: str,
    participants: str,
    statistics: str,
    comparison: str,
    figures: str | Sequence[str],
    mips: str | Sequence[str],
    pages: str | Sequence[str],
    findings: str | Sequence[str],
    page: str,
    parameters: Mapping[str, Any],
    unfinished: Sequence[str] = (),
    screenings: str | Sequence[str] = (),
    suv: str | Sequence[str] = (),
    registrations: str | Sequence[str] = (),
    figure_tables: str | Sequence[str] = (),
    records: str | Sequence[str] = (),
    reviews: str | Sequence[str] = (),
    stray_edits: Sequence[str] = (),
    sweep: str | Sequence[str] = (),
    form: str | Path | None = None,
    changes: str | None = None,
    course: str | None = None,
    change_figure: str | None = None,
    follow_ups: str | Sequence[str] = (),
) -> None:
    """Write the cohort's report.

    Parameters
    ----------
    screening, lesions, scores, participants, statistics, comparison
        Tables of the cohort.
    figures
        SVG files of the cohort, for papers.
    mips, pages, findings
        Projections, pages and findings of the analysed scans; named by their BIDS prefix.
    page
        The output.
    parameters
        The effective config; its section ``report`` holds title and max_lesion_rows.
    unfinished
        Prefixes of accepted scans that were left out because they had not finished.
    screenings, suv, registrations
        JSON files of the analysed scans, for their warnings.
    figure_tables
        Data of the cohort's figures; ``regions.tsv`` among them adds the clinicians to the heat map.
    records, reviews
        Readers' edits of the analysed scans, and the JSON files with what could not be applied.
    sweep
        The table of the sweep, if the config asks for one.
    form
        The scoring form, for the methods.
    changes, course, follow_ups
        Tables of changes over time, and the JSON files of the follow-ups.
    change_figure
        The figure of changes; shown where somebody was scanned twice.
    stray_edits
        Files in the folder of edits that belong to no scan.
    """
    screened = read_table(screening, text_columns=("code", "reason", "verdict"))
    people = read_table(participants, text_columns=("group",))
    found = read_table(lesions, text_columns=("flags", "reason", "morphology", "structure"))
    compared = of_session(read_table(comparison), people)
    tested = read_table(statistics, text_columns=("analysis", "outcome", "group_a", "group_b", "method", "note"))
    scored = of_session(read_table(scores), people)
    by_region = [read_table(path) for path in as_list(figure_tables) if Path(path).stem == "regions"]
    own, cohort = parameters["report"], parameters.get("cohort") or {}
    counted, set_aside = split_flagged(found, cohort.get("exclude_flags") or ())
    flow = flow_of(screened, unfinished)
    links = {prefix_of(path): relative(path, page) for path in as_list(pages)}
    groups = group_of(people)
    analysed = {prefix.split("_")[0] for prefix in links}
    order = people_in_order(people, analysed)
    told = {
        "screening": as_list(screenings),
        "suv": as_list(suv),
        "registration": as_list(registrations),
        "findings": as_list(findings),
        "review": as_list(reviews),
        "change": as_list(follow_ups),
    }
    over_time = changed(changes, course, parameters)
    drawings = as_list(figures) + ([change_figure] if over_time and change_figure else [])
    primary = tested[tested["analysis"] == "primary"]
    content = render(
        "report.html",
        title=str(own["title"]),
        version=calciflow.__version__,
        flow=flow,
        limitations=limitations(flow, people, compared),
        keys=key_numbers(flow, counted, compared, tested),
        counts=class_counts(counted),
        compartments=COMPARTMENTS,
        set_aside=set_aside,
        set_aside_flags=", ".join(cohort.get("exclude_flags") or ()),
        people=pictures(as_list(mips), links, groups),
        paired=paired_plot(compared, groups),
        differences=difference_plot(compared, groups),
        burden=burden_plot(counted, order),
        volume=burden_plot(counted, order, "ct_volume_ml"),
        suv=spread_plot(counted[counted["concordance"].str.endswith("PET+")], order, "suv_max"),
        hu=spread_plot(counted[counted["concordance"].str.startswith("CT+")], order, "hu_max"),
        heat=heat_map(scored, by_region[0] if by_region else None),
        participants=table(people, drop_empty=[name for name in people.columns if name != "participant_id"]),
        lesions=lesion_rows(found, links, int(own["max_lesion_rows"])),
        lesion_count=len(found),
        max_rows=int(own["max_lesion_rows"]),
        primary=[read_row({str(k): v for k, v in row.items()}) for row in primary.to_dict("records")],
        readings=[entry for entry in read_all(tested) if entry[1][0][0].analysis != "primary"],
        statistics=table(tested, drop_empty=("p_adjusted", "note")),
        figures=[
            (FIGURE_WORDS.get(Path(path).stem, Path(path).stem), relative(path, page), svg_uri(path))
            for path in drawings
        ],
        files={
            name: relative(path, page)
            for name, path in (
                ("lesions", lesions),
                ("scores", scores),
                ("participants", participants),
                ("statistics", statistics),
                ("comparison", comparison),
                ("screening", screening),
            )
        },
        methods=write_methods(
            parameters,
            flow.analysed,
            len(analysed),
            {*tested["analysis"], *(["change"] if over_time else [])},
            load_form(form) if form else None,
        ),
        parameters=shown_parameters(parameters),
        versions=versions(),
        warnings=scan_warnings(told),
        edits=review_table(all_edits(as_list(records)), one_scan=False),
        stray_edits=list(stray_edits),
        sweep=[view for path in as_list(sweep) for view in swept_parameters(read_table(path, text_columns=SWEPT))],
        course=over_time,
        class_fills=CLASS_FILLS,
        score_shapes=SCORE_SHAPES,
        modality_words=MODALITY_WORDS,
    )
    write_text(page, content)
    print(f"{flow.analysed} scans analysed, {len(found)} lesions; page {len(content.encode()) / 1e6:.1f} MB")
