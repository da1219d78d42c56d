"""What the stages say about one scan, in words: checks, warnings, facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from calciflow.pages.palette import MODALITY_WORDS, words
from calciflow.pages.tables import Cell, Column, Table, missing, number

GATE_WORDS = {
    "kept": "a correction was found and kept",
    "not needed": "PET and CT already lay on each other",
    "rejected": "a correction was tried and rejected: the header's alignment is used",
    "untestable": "could not be tested: the header's alignment is used",
}

STAGE_WORDS = {
    "screening": "Series",
    "suv": "SUV",
    "registration": "Registration",
    "anatomy": "Anatomy",
    "findings": "Lesions",
    "review": "Review",
    "change": "Change",
}

WELL_IMAGED = 0.95
"""Fraction of a region in the field of view from which it is called whole: the rest is interpolation at edges."""


@dataclass(frozen=True)
class Check:
    """One thing that was checked. ``level`` is ``good``, ``look`` (look at it) or ``plain`` (no judgement)."""

    name: str
    verdict: str
    detail: str
    level: str


def warning_text(warning: Any) -> str:
    """Give a warning's sentence, whether it came as text or with a code."""
    if isinstance(warning, Mapping):
        text, code = str(warning.get("text", "")), str(warning.get("code", ""))
        return text or words(code)
    return str(warning)


def warnings_of(told: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """All warnings of a scan as (stage, sentence), stages in the order of the workflow, each sentence once."""
    found: list[tuple[str, str]] = []
    for stage, name in STAGE_WORDS.items():
        for warning in told.get(stage, {}).get("warnings") or []:
            entry = (name, warning_text(warning))
            if entry[1] not in [text for _, text in found]:
                found.append(entry)
    return found


def residuals(registration: Mapping[str, Any]) -> dict[str, float]:
    """Residual misalignment in mm by body part, absent ones left out."""
    given = registration.get("residual_mm")
    if isinstance(given, int | float):
        return {"body": float(given)}
    return {str(part): float(value) for part, value in (given or {}).items() if not missing(value)}


def _registration_check(registration: Mapping[str, Any]) -> Check:
    gate = registration.get("gate") or {}
    verdict = str(gate.get("verdict", "not stated"))
    left = residuals(registration)
    parts = []
    if not missing(registration.get("shift_mm")):
        shift = registration["shift_mm"]
        size = sum(float(v) ** 2 for v in shift) ** 0.5 if isinstance(shift, Sequence) else float(shift)
        parts.append(f"shift {number(size, 2)} mm")
    if not missing(registration.get("rotation_deg")):
        turn = registration["rotation_deg"]
        turns = [abs(float(v)) for v in turn] if isinstance(turn, Sequence) else [abs(float(turn))]
        parts.append(f"rotation {number(max(turns, default=0.0), 2)}°")
    worst = max(left, key=lambda part: left[part]) if left else ""
    if left:
        parts.append(f"largest residual {number(left[worst], 2)} mm ({words(worst)})")
    limbs = registration.get("limbs") or {}
    corrected = [words(name) for name, limb in limbs.items() if limb.get("verdict") == "kept"]
    if corrected:
        parts.append(f"corrected on their own: {', '.join(corrected)}")
    apart = registration.get("misregistered") or []
    if apart:
        parts.append(f"misregistered: {', '.join(words(name) for name in apart)}")
    tolerance = registration.get("tolerance_mm")
    beyond = bool(apart) or (bool(left) and not missing(tolerance) and left[worst] > float(str(tolerance)))
    doubtful = verdict in ("rejected", "untestable")
    if doubtful and gate.get("reason"):
        parts.append(str(gate["reason"]))
    level = "look" if doubtful or beyond else "good"
    return Check("Registration", GATE_WORDS.get(verdict, verdict), ", ".join(parts), level)


def checks(told: Mapping[str, Mapping[str, Any]], lesions: pd.DataFrame) -> list[Check]:
    """The checks at the head of the page."""
    screening, suv = told["screening"], told["suv"]
    warned = len(warnings_of(told))
    found = [
        Check(
            "Screening",
            str(screening.get("verdict", "not stated")),
            f"{warned} warning{'' if warned == 1 else 's'} in all stages" if warned else "no warning in any stage",
            "look" if warned else "good",
        )
    ]
    detail = []
    if not missing(suv.get("uptake_minutes")):
        detail.append(f"scan {number(suv['uptake_minutes'])} min after injection")
    if not missing(suv.get("whole_body_mean_suv")):
        detail.append(f"mean of the body {number(suv['whole_body_mean_suv'])} g/ml")
    if suv.get("overrides"):
        detail.append(f"{len(suv['overrides'])} value(s) from the sheet, not the header")
    found.append(
        Check("SUV", str(suv.get("rule", "not stated")), ", ".join(detail), "look" if suv.get("warnings") else "good")
    )
    found.append(_registration_check(told["registration"]))
    coverage = told["registration"].get("pet_coverage")
    if not missing(coverage) and isinstance(coverage, int | float):
        share = f"{number(100 * float(coverage))} % of the body on CT is in the PET"
        found.append(Check("Coverage", share, "", "good" if coverage >= WELL_IMAGED else "look"))
    flagged = int(lesions["flags"].notna().sum())
    found.append(
        Check("Lesions", f"{len(lesions)} found", f"{flagged} with flags" if flagged else "none flagged", "plain")
    )
    return found


def _facts(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in content.items():
        name = f"{prefix}{words(str(key))}"
        if isinstance(value, Mapping):
            pairs.extend(_facts(value, f"{name}: "))
        elif isinstance(value, bool):
            pairs.append((name, "yes" if value else "no"))
        elif isinstance(value, int | float):
            pairs.append((name, number(value, 5)))
        elif isinstance(value, Sequence) and not isinstance(value, str):
            if len(value) > 12:
                numbers = [float(v) for v in value if isinstance(v, int | float)]
                if numbers:
                    pairs.append((name, f"{len(value)} values, {number(min(numbers), 5)} to {number(max(numbers), 5)}"))
                continue
            parts = [number(v, 5) if isinstance(v, int | float) else warning_text(v) for v in value]
            pairs.append((name, ", ".join(parts)))
        elif value is not None:
            pairs.append((name, str(value)))
    return pairs


def facts(told: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Everything else that the stages wrote down, as titled lists of (name, value)."""
    screening, suv, registration = told["screening"], told["suv"], told["registration"]
    skip = {
        "warnings",
        "imaged_fraction",
        "dropped",
        "regions",
        "joints",
        "uncertain_bone",
        "participant_id",
        "session_id",
    }

    def rest(content: Mapping[str, Any]) -> list[tuple[str, str]]:
        return _facts({key: value for key, value in content.items() if key not in skip})

    chosen = {key: screening[key] for key in ("chosen", "size") if key in screening}
    groups = [
        ("Chosen series and sizes", _facts(chosen)),
        ("SUV", rest(suv)),
        ("Registration", rest(registration)),
        ("Anatomy", rest(told.get("anatomy", {}))),
        ("Lesion search", rest(told["findings"])),
    ]
    return [(title, pairs) for title, pairs in groups if pairs]


def imaged_regions(
    fractions: Mapping[str, Mapping[str, Any]],
) -> tuple[list[tuple[str, str, str, bool]], list[str]]:
    """Regions with the percentage in view of CT and of PET, and whether both saw (nearly) all of it.

    Returns
    -------
    The regions of which something was seen, and the names of the others.
    """
    found, unseen = [], []
    for region, seen in fractions.items():
        values = [seen.get(modality) for modality in ("ct", "pet")]
        known = [None if v is None or missing(v) else float(v) for v in values]
        if not any(known):
            unseen.append(words(region))
            continue
        shown = ["n/a" if v is None else f"{round(100 * v)} %" for v in known]
        whole = all(v is not None and v >= WELL_IMAGED for v in known)
        found.append((words(region), shown[0], shown[1], whole))
    return found, unseen


def score_table(scores: pd.DataFrame) -> Table:
    """Scores of one scan with a row a region and a column a modality, ``total`` last."""
    if scores.empty:
        return Table([], [])
    modalities = [m for m in MODALITY_WORDS if m in set(scores["modality"])]
    modalities += sorted(set(scores["modality"]) - set(modalities))
    columns = [Column("region", "Region", "", False), Column("side", "Side", "", False)]
    columns += [Column(m, MODALITY_WORDS.get(m, m), "", True) for m in modalities]
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in scores.to_dict("records"):
        side = "" if missing(row["side"]) else str(row["side"])
        rows.setdefault((str(row["region"]), side), {})[str(row["modality"])] = row["score"]
    ordered = sorted(rows, key=lambda place: place[0] == "total")
    cells = []
    for region, side in ordered:
        line = [Cell(words(region), region), Cell(words(side), side)]
        for modality in modalities:
            text = number(rows[region, side].get(modality))
            line.append(Cell(text, "" if text == "n/a" else text))
        cells.append(line)
    return Table(columns, cells)
