"""Stage ``change``: a session's lesions beside those of the person's session before."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.files import read_json, write_json
from calciflow.followup.columns import CHANGE_COLUMNS, MEASURES
from calciflow.followup.matching import Pairing, Placed, pair_lesions
from calciflow.followup.verdicts import BORROWED, OURS, Limits, joined_note, judge, missed_note, together
from calciflow.images import Volume, read_volume
from calciflow.labels import REGIONS, region_label
from calciflow.mapping import move
from calciflow.registration.scene import Blocks, coarse
from calciflow.registration.sessions import BLOCK_MM, Alignment, align_sessions
from calciflow.tables import read_table, write_table

TEXTS = ("flags", "reason", "structure", "morphology")
MOST_POINTS = 400
MOST_SLACK_MM = 8.0
"""However badly a region fits, its lesions are not looked for further away than that beyond ``match_mm``."""

SEEN = 0.5
"""Share of a region that PET must have covered for the absence of uptake there to mean anything."""

UNSURE_MM = 6.0
"""Bone's surfaces that lie further apart: the registration of that region is warned of (blocks are 4 mm)."""


@dataclass(frozen=True)
class Session:
    """What one session brings to the comparison."""

    blocks: Blocks
    grid: Volume
    tissues: NDArray[np.uint8]
    lesions: pd.DataFrame
    points: dict[int, NDArray[np.float64]]
    imaged: Mapping[str, Mapping[str, float]]
    slice_mm: float

    @staticmethod
    def read(*, ct: str, tissues: str, regions: str, lesions: str, table: str, findings: str) -> "Session":
        """Read a session; of the CT only its blocks are kept."""
        volume, labels = read_volume(ct), read_volume(tissues)
        blocks = coarse(volume, labels, read_volume(regions), BLOCK_MM)
        rows = read_table(table, text_columns=TEXTS)
        return Session(
            blocks,
            labels,
            labels.array,
            rows,
            lesion_points(read_volume(lesions)) if len(rows) else {},
            read_json(findings).get("imaged_fraction") or {},
            volume.spacing[0],
        )

    def placed(self, alignment: Alignment | None, earlier: bool) -> list[Placed]:
        """Lesions in the space of the earlier session."""
        found = []
        for row in self.lesions.to_dict("records"):
            number = int(row["lesion_id"])
            points, slack = self.points[number], 0.0
            if alignment is not None:
                pose = alignment.pose(_label(row))
                slack = min(pose.residual_mm or 0.0, MOST_SLACK_MM)
                points = points if earlier else move(pose.matrix, points)
            found.append(Placed(number, points, slack))
        return found

    def shows(self, points: NDArray[np.float64], row: Mapping[str, Any]) -> bool:
        """Whether this session imaged a place, by CT and, for uptake without calcium, by PET."""
        index = np.round(self.grid.index(points.mean(axis=0, keepdims=True))[0]).astype(int)
        if ((index < 0) | (index >= np.array(self.tissues.shape))).any():
            return False
        if not str(row["concordance"]).startswith("CT-"):
            return True
        sides = ("left", "right") if row.get("side") == "midline" else (row.get("side"),)
        seen = [(self.imaged.get(f"{side} {row.get('region')}") or {}).get("pet", 0.0) for side in sides]
        return max(seen, default=0.0) >= SEEN


def _label(row: Mapping[Any, Any]) -> int | None:
    region, side = row.get("region"), row.get("side")
    if region not in REGIONS:
        return None
    return region_label(str(region), str(side) if side in ("left", "right") else "left")


def lesion_points(labels: Volume) -> dict[int, NDArray[np.float64]]:
    """Centres of some voxels of every lesion, RAS mm, evenly drawn."""
    found = {}
    for number, box in enumerate(ndimage.find_objects(labels.array), 1):
        if box is None:
            continue
        places = np.argwhere(labels.array[box] == number) + np.array([part.start for part in box])
        if len(places) > MOST_POINTS:
            places = places[np.linspace(0, len(places) - 1, MOST_POINTS).astype(int)]
        found[number] = labels.world(places)
    return found


def compare_sessions(
    earlier: Session, later: Session, match_mm: float, limits: Limits
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of the table of changes, and what the registration says of itself."""
    alignment = align_sessions(later.blocks, earlier.blocks)
    if alignment is None:
        text = "The two sessions show nothing in common: their lesions were not compared."
        return [], {"registered": False, "residual_mm": {}, "warnings": [text]}
    residuals = {
        f"{side} {region}": pose.residual_mm
        for region in REGIONS
        for side in ("left", "right")
        if (pose := alignment.regions.get(region_label(region, side))) is not None
    }
    unsure = [name for name, value in residuals.items() if value is not None and value > UNSURE_MM]
    warnings = []
    if unsure:
        warnings.append(
            f"Sessions lie more than {UNSURE_MM:g} mm apart after registration in: {', '.join(unsure)}. Changes there "
            "rest on doubtful pairs."
        )
    before, after = earlier.placed(alignment, True), later.placed(alignment, False)
    rows = []
    for pairing in pair_lesions(before, after, match_mm):
        rows.append(_row(pairing, earlier, later, alignment, {lesion.number: lesion for lesion in after}, limits))
    own = sum(pose.own for pose in alignment.regions.values())
    told = {
        "registered": True,
        "matrix": [[round(float(v), 6) for v in line] for line in alignment.whole.matrix],
        "residual_mm": {"body": alignment.whole.residual_mm, **residuals},
        "regions_on_their_own": own,
        "limits": {
            "suv_max": list(limits.suv_max),
            "suv_mean": list(limits.suv_mean),
            "tlf": list(limits.tlf),
            "uptake_source": BORROWED,
            "volume_source": OURS,
        },
        "warnings": warnings,
    }
    return rows, told


def _rows(session: Session, numbers: Sequence[int]) -> pd.DataFrame:
    return session.lesions[session.lesions["lesion_id"].isin(numbers)]


def _row(
    pairing: Pairing,
    earlier: Session,
    later: Session,
    alignment: Alignment,
    placed: Mapping[int, Placed],
    limits: Limits,
) -> dict[str, Any]:
    old, new = _rows(earlier, pairing.earlier), _rows(later, pairing.later)
    shown = new if len(new) else old
    first = {str(k): v for k, v in shown.iloc[0].to_dict().items()}
    flags = sorted({flag for text in shown["flags"].dropna() for flag in str(text).split(";")})
    row: dict[str, Any] = {
        "lesions_before": ";".join(old["lesion_uid"]) or None,
        "lesions_after": ";".join(new["lesion_uid"]) or None,
        "flags": ";".join(flags) or None,
        "distance_mm": pairing.distance_mm,
        **{name: first.get(name) for name in ("region", "side", "compartment")},
    }
    sides = {when: together(rows) for when, rows in (("before", old), ("after", new)) if len(rows)}
    for when, values in sides.items():
        row.update({f"{name}_{when}": values[name] for name in (*MEASURES, "pet_status")})
    if len(sides) == 2:
        row["status"] = "persistent"
        row.update(judge(sides["before"], sides["after"], (earlier.slice_mm, later.slice_mm), limits))
        notes = (joined_note(pairing.earlier, pairing.later), row.get("note"))
        row["note"] = "; ".join(note for note in notes if note) or None
    elif len(new):
        seen = earlier.shows(placed[pairing.later[0]].points, first)
        row["status"], row["note"] = ("new", missed_note(new, "earlier")) if seen else ("not imaged before", None)
    else:
        back = np.linalg.inv(alignment.pose(_label(first)).matrix)
        seen = later.shows(move(back, earlier.points[pairing.earlier[0]]), first)
        row["status"], row["note"] = ("resolved", missed_note(old, "later")) if seen else ("not imaged after", None)
    return row


def follow_scan(
    *,
    ct: str,
    tissues: str,
    regions: str,
    lesions: str,
    table: str,
    findings: str,
    before_ct: str,
    before_tissues: str,
    before_regions: str,
    before_lesions: str,
    before_table: str,
    before_findings: str,
    changes: str,
    report: str,
    scan: Mapping[str, Any],
    before: str,
    match_mm: float = 8.0,
    suv_max_limits: Sequence[float] = (0.76, 1.32),
    suv_mean_limits: Sequence[float] = (0.88, 1.14),
    tlf_limits: Sequence[float] = (0.63, 1.71),
) -> None:
    """Compare a scan with the one before: reads both, writes ``changes`` (a table) and ``report`` (JSON).

    Parameters
    ----------
    before
        ``session_id`` of the session before.
    match_mm
        Lesions whose outlines lie further apart after registration are not the same.
    suv_max_limits, suv_mean_limits, tlf_limits
        Ratios that repeating the scan alone gives.
    """
    earlier = Session.read(
        ct=before_ct,
        tissues=before_tissues,
        regions=before_regions,
        lesions=before_lesions,
        table=before_table,
        findings=before_findings,
    )
    later = Session.read(ct=ct, tissues=tissues, regions=regions, lesions=lesions, table=table, findings=findings)
    limits = Limits(*((float(low), float(high)) for low, high in (suv_max_limits, suv_mean_limits, tlf_limits)))
    rows, told = compare_sessions(earlier, later, match_mm, limits)
    who = {
        "participant_id": scan["participant_id"],
        "acquisition": scan.get("acquisition"),
        "session_before": before,
        "session_after": scan["session_id"],
    }
    write_table(changes, [{**who, "change_id": i, **row} for i, row in enumerate(rows, 1)], CHANGE_COLUMNS)
    write_json(report, told)
    counts = Counter(row["status"] for row in rows)
    print(", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "no lesions")
    print(f"whole body: {told['residual_mm'].get('body')} mm; regions on their own: {told.get('regions_on_their_own')}")
