"""Stage ``review``: a person's edits override the machine's lesions; without edits they pass unchanged."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calciflow.compartments import columns_of, place_lesions
from calciflow.edits.apply import EDITED_COLUMNS, RECORD_COLUMNS, Reviewed, Row, apply_mask, apply_sheet, apply_words
from calciflow.edits.mask import match_labels, read_mask
from calciflow.edits.remeasure import Measurer, ScanImages
from calciflow.edits.sheet import Edit, read_edits
from calciflow.errors import ScanError, StudyError
from calciflow.files import read_json, whole_file, write_json
from calciflow.images import read_volume, write_volume
from calciflow.lesions import Rules
from calciflow.mapping import load_mapping
from calciflow.placement.misregistered import mark_misregistered
from calciflow.tables import read_table, write_table

TEXTS = ("concordance", "compartment", "pet_status", "morphology", "structure", "flags", "reason")
PLACED = (
    "compartment compartment_probability region side reason flags structure p_skin p_subcutaneous p_fascia p_muscle "
    "p_periarticular p_other"
).split()
"""What ``compartments`` makes of a lesion."""


def review_scan(
    *,
    candidates_map: str,
    machine: str,
    findings: str,
    lesions: str,
    table: str,
    record: str,
    summary: str,
    scan: Mapping[str, Any],
    edits: str | None = None,
    mask: str | None = None,
    ct: str | None = None,
    ct_json: str | None = None,
    suv: str | None = None,
    tissues: str | None = None,
    regions: str | None = None,
    anatomy: str | None = None,
    xfm: str | None = None,
    xfm_json: str | None = None,
    field: str | None = None,
    rules: Mapping[str, Any] | None = None,
    places: Mapping[str, Any] | None = None,
) -> None:
    """Write a scan's lesions as they stand after review.

    Parameters
    ----------
    candidates_map, machine, findings
        The machine's label map, its table with compartments, and the lesions' JSON.
    lesions, table, record, summary
        Outputs: label map, ``P_lesions.tsv``, one row an edit, and JSON with warnings.
    edits, mask
        The reader's sheet and corrected mask; either may be missing. The images and ``rules`` (settings of
        ``lesions``) and ``places`` (settings of ``compartments``) are needed where there is one.

    Raises
    ------
    StudyError, ScanError
        A mistake in the sheet or the mask: file, cell and fix.
    """
    found = read_table(machine, text_columns=TEXTS)
    columns = [*columns_of(found), *EDITED_COLUMNS]
    rows = {int(row["lesion_id"]): {str(k): v for k, v in row.items()} for row in found.to_dict("records")}
    for row in rows.values():
        row.update(dict.fromkeys(EDITED_COLUMNS), review="machine")
    who = {key: scan.get(key) for key in ("participant_id", "session_id", "acquisition")}
    if edits is None and mask is None:
        state = Reviewed(rows, np.zeros((0, 0, 0), np.uint16))
        with whole_file(lesions) as partial:
            shutil.copyfile(candidates_map, partial)
    else:
        need = (ct, ct_json, suv, tissues, regions, anatomy, xfm, xfm_json)
        if any(path is None for path in need):
            raise ValueError("edits need the scan's images")
        volume = read_volume(str(ct))
        images = ScanImages(
            volume,
            read_volume(str(suv)),
            read_volume(str(tissues)).array,
            read_volume(str(regions)).array,
            read_json(str(anatomy)),
            read_json(findings)["reference"],
            load_mapping(str(xfm), field),
            read_json(str(ct_json)).get("SliceThickness"),
            who,
        )
        given = dict(rules or {})
        given["injection_sites"] = tuple(given.get("injection_sites", ()))
        state = review(
            rows,
            read_volume(candidates_map).array,
            images,
            Rules(**given),
            dict(places or {}),
            edits=edits,
            mask=mask,
            registration=read_json(str(xfm_json)),
        )
        write_volume(lesions, volume.like(state.labels), np.uint16)
    write_table(table, [state.rows[number] for number in sorted(state.rows)], columns)
    write_table(record, [{**who, **row} for row in state.record], RECORD_COLUMNS)
    told = summarise(state.record)
    write_json(summary, told)
    print(f"{len(rows)} lesions by the machine, {len(state.rows)} after {len(state.record)} edits")
    for text in told["warnings"]:
        print(text)


def review(
    rows: dict[int, Row],
    labels: NDArray[np.uint16],
    images: ScanImages,
    rules: Rules,
    places: Mapping[str, Any],
    *,
    edits: str | Path | None,
    mask: str | Path | None,
    registration: Mapping[str, Any],
) -> Reviewed:
    """Apply a scan's edits: first the mask, then merges and classes, then words.

    Parameters
    ----------
    rows
        The machine's rows by number.
    labels
        The machine's label map.
    places
        ``shell_mm``, ``capsule_mm``, ``midline_mm`` of the stage ``compartments``.
    registration
        Sidecar of ``register``: where PET and CT lie apart, a reader's outline carries the same flag.
    """
    entities = [images.scan.get(key) for key in ("participant_id", "session_id", "acquisition")]
    name = "_".join(str(entity) for entity in entities if entity)
    uids = [str(row["lesion_uid"]) for row in rows.values()]
    state = Reviewed(rows, labels.copy())
    measurers: list[Measurer] = []

    def remeasure(
        now: NDArray[np.uint16], known: Mapping[int, Row], changed: Sequence[int], classes: Mapping[int, str]
    ) -> dict[int, Row]:
        if not changed:
            return {}
        if not measurers:
            measurers.append(Measurer(images, rules))
        outlines = measurers[0].outlines(now, known, classes)
        for number in changed:
            crop = now[outlines[number].box]
            crop[(crop == number) & ~outlines[number].mask] = 0
        return measurers[0].measure(outlines, changed, classes)

    gone: dict[str, str] = {}
    into: dict[str, int] = {}
    matched = None
    if mask is not None:
        matched = match_labels(read_mask(mask, images.ct), labels, max(rows, default=0) + 1)
        gone = {str(rows[number]["lesion_uid"]): "The corrected mask took it out." for number in matched.removed}
        gone |= {str(rows[number]["lesion_uid"]): "The corrected mask merged it." for number in matched.merged}
    sheet = [] if edits is None else read_edits(edits, name, uids)
    by = [edit for edit in sheet if edit.action == "mask"]
    if by and mask is None:
        raise StudyError(
            f"{edits}, row {by[0].row}, column `action`: `mask`, but there is no corrected mask beside it."
        )
    try:
        if matched is not None:
            into = apply_mask(state, matched, by[0] if by else Edit(0, "", "mask", "", "", ""), remeasure)
        apply_sheet(state, sheet, gone, into, remeasure)
    except StudyError as error:
        raise StudyError(f"{edits}, {error}") from None
    except ScanError as error:
        raise ScanError(f"{mask or edits}: {error}. Correct the label, or take it out.") from None
    _place(state, images, places)
    mark_misregistered([state.rows[number] for number in sorted(state.outlined & set(state.rows))], registration)
    apply_words(state, sheet)
    state.record.sort(key=lambda row: (row["edit_row"] or 0, row.get("lesion_id") or 0))
    return state


def _place(state: Reviewed, images: ScanImages, places: Mapping[str, Any]) -> None:
    """Give lesions with a reader's outline their compartment; the others keep theirs."""
    if not state.outlined & set(state.rows):
        return
    numbers = sorted(state.rows)
    # Marks of the machine's lesions are final; those of the new ones may depend on all (mirror images).
    frame = pd.DataFrame([state.rows[number] for number in numbers]).astype(object)
    placed = place_lesions(
        frame, state.labels, images.ct, images.tissues, images.regions, images.anatomy, **dict(places)
    )
    for number, row in zip(numbers, placed, strict=True):
        if number in state.outlined:
            state.rows[number].update({name: row.get(name) for name in PLACED})


def summarise(record: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts of edits by outcome, and a warning for each that could not be applied."""
    outcomes = [str(row["outcome"]) for row in record]
    warnings = [
        f"Edit in row {row['edit_row']} ({row['action']} {row['lesion_uid']}, by {row['reader']}) was not applied: "
        f"{row['note']}"
        for row in record
        if row["outcome"] in ("lost", "partly")
    ]
    return {"edits": {name: outcomes.count(name) for name in sorted(set(outcomes))}, "warnings": warnings}
