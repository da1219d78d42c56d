"""Stage ``index``: what a scan's source holds, which PET and CT to take, and whether SUV can be computed.

Whatever happens here becomes a verdict: a crash would stop every other scan of the study.
"""

import os
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from calciflow import suvrules
from calciflow.dicom import bids
from calciflow.dicom.archive import Entry
from calciflow.dicom.check import Checked, check_slices, description
from calciflow.dicom.headers import Listing, from_dataset, quiet, read_listing
from calciflow.dicom.identifiers import as_rows, of_source
from calciflow.dicom.selection import choose
from calciflow.dicom.series import Group, group
from calciflow.dicom.sidecar import ct_sidecar, pet_sidecar
from calciflow.dicom.tables import SERIES_COLUMNS, bids_row, series_row
from calciflow.errors import Refusal
from calciflow.files import write_json
from calciflow.suvrules.header import extract
from calciflow.tables import write_table
from calciflow.tree import Tree, source_digest

ROLES = ("source", "ct_source", "pet_source")
JITTER_WORTH_SAYING = 0.05
"""mm; below it, positions are merely rounded."""
AIR_AT_MOST = -200.0
"""HU; every CT of a body with some air around it goes below."""


@dataclass
class Findings:
    """What is known so far, so that a refusal half-way still shows it."""

    groups: list[Group] = field(default_factory=list)
    reasons: dict[int, tuple[str | None, str]] = field(default_factory=dict)
    warnings: list[dict[str, str]] = field(default_factory=list)
    chosen: dict[str, Any] = field(default_factory=dict)
    size: dict[str, Any] = field(default_factory=dict)
    private: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    identifiers: set[tuple[str, str]] = field(default_factory=set)

    def warn(self, code: str, text: str) -> None:
        """Note something that the user should know and that does not stop the scan."""
        self.warnings.append({"code": code, "text": text})


def index_scan(
    *,
    series: str,
    screening: str,
    selection: str,
    scan: Mapping[str, Any],
    sources: Mapping[str, str],
    ct_series: str | None = None,
    pet_series: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    tracer: str = "warn",
    dose_range_mbq: Sequence[float] = (15.0, 1000.0),
    max_uptake_hours: float = 6.0,
    require_ct: bool = True,
) -> None:
    """Index one scan; every outcome is written, none is raised.

    Parameters
    ----------
    series, screening
        Output: table of the series, and verdict (both under ``results/``, without identity).
    selection
        Output, private: files, geometry and header values that ``convert`` and ``suv`` need, and what in the source
        names a person or a place (``identifiers``, for the rule ``audit``). Readable by its owner only.
    scan
        Participant, session and acquisition.
    sources
        ``source``, or ``ct_source`` and ``pet_source``: paths.
    ct_series, pet_series
        Forced choices of the sheet, or None.
    overrides
        ``weight_kg``, ``height_m``, ``injected_dose_mbq``, ``injection_datetime`` of the sheet, if given.
    tracer, dose_range_mbq, max_uptake_hours
        Settings of the SUV rules.
    require_ct
        Refuse a PET without a CT. False: take it as far as its SUV image.
    """
    found = Findings()
    given = {role: sources[role] for role in ROLES if sources.get(role)}
    trees = {path: Tree(path) for path in given.values()}
    verdict, code, reason = "accepted", None, None
    try:
        with quiet():
            _index(
                found,
                sources={role: trees[path] for role, path in given.items()},
                ct_series=ct_series,
                pet_series=pet_series,
                overrides=dict(overrides or {}),
                rules={"tracer": tracer, "dose_range_mbq": dose_range_mbq, "max_uptake_hours": max_uptake_hours},
                require_ct=require_ct,
                who=f"{scan.get('participant_id')} {scan.get('session_id')}",
            )
    except Refusal as refusal:
        verdict, code, reason = "refused", refusal.code, refusal.reason
        for item in found.groups:  # every series is listed with a reason, also where the choice was not finished
            if item.fault is None:
                found.reasons.setdefault(item.number, (None, f"no choice was made: the scan was refused ({code})"))
    except Exception as error:
        verdict, code = "refused", "internal"
        reason = f"calciflow hit an error of its own ({type(error).__name__}): report it with the log."
        # The message of an exception may quote the header: only the places in the code go into the log.
        print("".join(traceback.format_tb(error.__traceback__)) + type(error).__name__)
        found.private["traceback"] = traceback.format_exc()
    identity = {key: scan.get(key) for key in ("participant_id", "session_id", "acquisition")}
    print(f"{verdict}" + (f" ({code}): {reason}" if code else f": {found.chosen}"))
    for warning in found.warnings:
        print(f"warning ({warning['code']}): {warning['text']}")
    rows = found.rows or [series_row(item, found.groups, found.reasons) for item in found.groups]
    write_table(series, rows, SERIES_COLUMNS)
    named = as_rows(found.identifiers)
    _write_private(
        selection, {"verdict": verdict, "code": code, "scan": identity, **found.private, "identifiers": named}
    )
    write_json(
        screening,
        {
            **identity,
            "verdict": verdict,
            "code": code,
            "reason": reason,
            "chosen": found.chosen,
            "warnings": found.warnings,
            "size": found.size,
            "source_digest": _digest([trees[path] for path in given.values()]),
        },
    )


def _digest(trees: Iterable[Tree]) -> str | None:
    try:
        return source_digest(trees)
    except OSError:
        return None


def _write_private(path: str, content: Mapping[str, Any]) -> None:
    before = os.umask(0o077)
    try:
        write_json(path, content)
    finally:
        os.umask(before)


def _index(
    found: Findings,
    *,
    sources: Mapping[str, Tree],
    ct_series: str | None,
    pet_series: str | None,
    overrides: dict[str, Any],
    rules: dict[str, Any],
    require_ct: bool,
    who: str,
) -> None:
    if not sources:
        raise Refusal("unreadable", "The row of scans.tsv names no source.")
    found.private.update(pet=None, ct=None)
    listings: dict[str, Listing] = {}
    for role, tree in sources.items():
        listings[role] = read_listing(tree)
        found.identifiers |= of_source(str(tree.root), listings[role])
    found.groups = group([(role, listing.headers) for role, listing in listings.items()])
    if not found.groups and bids.is_bids(sources):
        _take_bids(found, bids.find(sources, ct_series, pet_series), overrides, rules, require_ct)
        return
    _note_files(found, listings)
    try:
        choice = choose(found.groups, ct_series=ct_series, pet_series=pet_series, who=who)
    except Refusal as refusal:
        found.reasons = getattr(refusal, "reasons", {})
        broken = sum(len(listing.broken) for listing in listings.values())
        if broken and refusal.code in ("no_pet", "no_ct", "no_ac_pet", "missing_slice", "geometry"):
            _refuse_broken(broken)
        raise
    found.reasons = choice.reasons
    broken = sum(len(listing.broken) for listing in listings.values())
    if broken:
        _refuse_broken(broken)
    for code, text in choice.warnings:
        found.warn(code, text)
    pet, ct = choice.pet, choice.ct
    found.chosen = {"pet_series": pet.number, "ct_series": ct.number if ct else None}
    _check_announced(found, pet, bool(pet_series))
    _take_pet(found, pet, str(sources[pet.source].root), overrides, rules)
    if choice.without_ct is not None:
        if require_ct:
            raise choice.without_ct
        found.warn(choice.without_ct.code, choice.without_ct.reason)
    if ct is not None:
        _take_ct(found, ct, str(sources[ct.source].root))


def _take_bids(
    found: Findings, pair: bids.Pair, overrides: dict[str, Any], rules: dict[str, Any], require_ct: bool
) -> None:
    """Take a PET-BIDS dataset: the same rules of SUV, the geometry of NIfTI."""
    for number, (kind, path) in enumerate((("pet", pair.pet), ("ct", pair.ct)), 1):
        found.chosen[f"{kind}_series"] = number if path else None
    dataset, scale = bids.header_of(pair.metadata)
    header = extract([dataset])
    result = suvrules.evaluate(header, overrides, **rules)
    found.warnings += result.warnings
    if len(result.factors) != 1:
        raise Refusal("time", "Slices with times of their own cannot be described in BIDS: send the DICOM files.")
    found.private["suv"] = header
    sidecar = pet_sidecar(from_dataset(dataset, Entry("")), None, header, result.uptake_minutes)
    sidecar = {key: value for key, value in sidecar.items() if key != "CorrectedImage"}
    found.private["pet"] = _bids_part(found, pair.pet, "PET", sidecar, scale)
    if pair.ct is None:
        without_ct = Refusal("no_ct", "The BIDS dataset holds no file *_ct.nii.gz: add it, or name `ct_source`.")
        if require_ct:
            raise without_ct
        found.warn(without_ct.code, without_ct.reason)
        return
    found.private["ct"] = _bids_part(found, pair.ct, "CT", {"Modality": "CT", "Units": "HU"}, 1.0)
    one, two = (bids.bounds(found.private[kind]) for kind in ("pet", "ct"))
    if (np.minimum(one[1], two[1]) - np.maximum(one[0], two[0]) <= 0).any():
        raise Refusal("no_overlap", "CT and PET of the BIDS dataset do not overlap: check their affines.")
    found.warn("frame_of_reference", "NIfTI names no frame of reference: CT and PET are taken to share theirs.")


def _bids_part(found: Findings, path: Path, kind: str, sidecar: dict[str, Any], scale: float) -> dict[str, Any]:
    part = bids.part_of(path, kind, scale) | {"sidecar": sidecar}
    found.size[kind.lower()] = [int(n) for n in part["shape"][::-1]]
    spacing = np.linalg.norm(np.asarray(part["affine"])[:3, :3], axis=0)
    found.size[f"{kind.lower()}_spacing_mm"] = [round(float(v), 4) for v in spacing]
    if kind == "CT" and part["range"][0] > AIR_AT_MOST:
        found.warn("hounsfield", f"The CT holds no air (lowest value {part['range'][0]:g} HU): are these HU?")
    found.rows.append(bids_row(len(found.rows) + 1, kind, part))
    return part


def _note_files(found: Findings, listings: Mapping[str, Listing]) -> None:
    """Keep in private which file each ordinal means; refuse a source without any image."""
    found.private["broken"] = [
        {"broken_file": number, "source": role, "path": entry.path, "member": entry.member}
        for number, (role, entry) in enumerate(
            ((role, entry) for role, listing in listings.items() for entry in listing.broken), 1
        )
    ]
    found.private["series"] = [
        {
            "series": item.number,
            "uid": item.first.series_uid,
            "description": item.first.description,
            "source": item.source,
            "first_file": _place(item.first.entry),
        }
        for item in found.groups
    ]
    files = sum(listing.files for listing in listings.values())
    if not found.groups:
        broken = sum(len(listing.broken) for listing in listings.values())
        if broken:
            _refuse_broken(broken)
        text = f"None of its {files} files is a DICOM image." if files else "The source is empty."
        raise Refusal("unreadable", f"{text} Check the path in scans.tsv.")


def _refuse_broken(count: int) -> None:
    raise Refusal(
        "unreadable",
        f"{count} DICOM file(s) are damaged or cut off and may belong to the scan (named in the scan's private "
        "selection file): send the study again, or remove them.",
    )


def _place(entry: Entry) -> dict[str, Any]:
    return {"path": entry.path, "member": entry.member}


def _check_announced(found: Findings, pet: Group, forced: bool) -> None:
    """Compare the slices found with Number of Slices (0054,0081): only so a slice lost at an end shows."""
    there: dict[str, int] = {}
    announced: dict[str, int] = {}
    for piece in pet.pieces or (pet,):
        assert piece.grid is not None
        uid = piece.first.series_uid
        there[uid] = there.get(uid, 0) + len(piece.grid.slots)
        announced[uid] = max(announced.get(uid, 0), piece.first.slices_announced or 0)
    for uid, count in announced.items():
        if count <= there[uid]:
            continue
        text = (
            f"The PET, row {pet.number}, announces {count} slices (0054,0081), {there[uid]} are there: some are "
            "missing at an end; send the series again"
        )
        if not forced:
            raise Refusal("missing_slice", f"{text}, or force it with `pet_series` if the number is wrong.")
        found.warn("missing_slice", f"{text}.")


def _note_volume(found: Findings, item: Group, checked: Sequence[Checked]) -> None:
    """Size and warnings of a chosen volume."""
    kind = "PET" if item.is_pet else "CT"
    grid = item.grid
    assert grid is not None
    copies = sum(len(one.copies) for one in checked)
    if copies:
        found.warn("duplicates", f"{copies} file(s) of the {kind} stand there twice, with the same pixels.")
    if grid.jitter > JITTER_WORTH_SAYING:
        found.warn("jitter", f"Slices of the {kind} lie up to {grid.jitter:.2f} mm off their regular grid.")
    lowest = min(one.lowest for one in checked)
    if item.is_ct and lowest > AIR_AT_MOST:
        found.warn("hounsfield", f"The CT holds no air (lowest value {lowest:g} HU): are these Hounsfield units?")
    name = kind.lower()
    spacing = np.linalg.norm(grid.affine[:3, :3], axis=0)
    found.size[name] = [int(n) for n in grid.shape[::-1]]
    found.size[f"{name}_spacing_mm"] = [round(float(v), 4) for v in spacing]
    if item.pieces:
        found.chosen[f"{name}_joined"] = [piece.number for piece in item.pieces]
        rows = " and ".join(str(piece.number) for piece in item.pieces)
        found.warn("joined", f"The {kind} was joined from rows {rows}, which continue each other.")


def _take_pet(found: Findings, pet: Group, root: str, overrides: dict[str, Any], rules: dict[str, Any]) -> None:
    """Check the PET's slices and whether SUV can be computed; pieces are brought to the leading one's scale."""
    pieces = pet.pieces or (pet,)
    checked = [check_slices(piece, root) for piece in pieces]
    _note_volume(found, pet, checked)
    headers = []
    for one in checked:
        frames = [file["frame"] for file in one.files]
        enhanced = frames[0] is not None
        headers.append(extract(one.datasets[:1], frames) if enhanced else extract(one.datasets))
    results = [suvrules.evaluate(header, overrides, **rules) for header in headers]
    header, result = headers[pet.leader], results[pet.leader]
    scales = [1.0]
    if pet.pieces:
        if any(len(one.factors) != 1 for one in results):
            raise Refusal(
                "pieces",
                f"PET rows {', '.join(str(p.number) for p in pieces)} cannot be joined, since each slice has "
                "a time of its own: give each a row of scans.tsv with an `acquisition` and its `pet_series`.",
            )
        scales = [one.factors[0] / result.factors[0] for one in results]
    found.warnings += result.warnings
    found.private["suv"] = header
    assert pet.grid is not None
    place = description(pet, root, checked, scales)
    place["sidecar"] = pet_sidecar(pet.first, pet.grid, header, result.uptake_minutes)
    found.private["pet"] = place


def _take_ct(found: Findings, ct: Group, root: str) -> None:
    """Check the CT's slices."""
    if ct.first.rescale_type not in ("", "HU", "US"):
        raise Refusal(
            "units", f"The CT, row {ct.number}, is not in Hounsfield units (Rescale Type (0028,1054)): send another CT."
        )
    pieces = ct.pieces or (ct,)
    checked = [check_slices(piece, root) for piece in pieces]
    _note_volume(found, ct, checked)
    place = description(ct, root, checked, [1.0] * len(pieces))
    assert ct.grid is not None
    place["sidecar"] = ct_sidecar(ct.first, ct.grid)
    found.private["ct"] = place
