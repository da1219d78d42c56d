"""What the report shows of the cohort: the flow of scans, key numbers, people, pictures."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from calciflow.labels import COMPARTMENTS, CONCORDANCES
from calciflow.lesion_table import flag_words
from calciflow.pages.drawing import data_uri
from calciflow.pages.palette import words
from calciflow.pages.tables import missing, number, p_text

MIP_BYTES = 7_000_000
"""All projections together (a third more in the page, which is to stay below 15 MB)."""

MIP_HEIGHTS = ((12, 460), (40, 300))
"""Height of the tallest projection, pixels, for up to so many scans; all share one scale."""
MIP_HEIGHT_MANY = 190

_ENTITIES = re.compile(r"sub-[A-Za-z0-9]+_ses-[A-Za-z0-9]+(?:_acq-[A-Za-z0-9]+)?")


@dataclass(frozen=True)
class Flow:
    """What became of the scans."""

    enrolled: int
    people: int
    excluded: list[tuple[str, str]]
    refused: list[tuple[str, str, str]]
    unfinished: list[str]
    analysed: int


@dataclass(frozen=True)
class Person:
    """A scan's picture, with the page it leads to."""

    name: str
    group: str
    image: str
    width: int
    height: int
    link: str


def prefix_of(path: str | Path) -> str:
    """Give the BIDS prefix (sub, ses, acq) that a result file's name begins with; its stem if it has none."""
    found = _ENTITIES.match(Path(path).name)
    return found.group(0) if found else Path(path).stem


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts sub-9 before sub-10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def scan_name(row: Mapping[str, Any]) -> str:
    """Name a scan by its participant, session and, if it has one, acquisition."""
    parts = [row.get(key) for key in ("participant_id", "session_id", "acquisition")]
    return " ".join(str(part) for part in parts if not missing(part))


def text_of(row: Mapping[str, Any], key: str) -> str:
    """Give a cell as text, empty where it is absent."""
    return "" if missing(row.get(key)) else str(row[key])


def prefix_of_row(row: Mapping[str, Any]) -> str:
    """Give the BIDS prefix of a row of ``screening.tsv``."""
    acquisition = row.get("acquisition")
    tail = "" if missing(acquisition) else f"_acq-{acquisition}"
    return f"{row['participant_id']}_{row['session_id']}{tail}"


def flow_of(screening: pd.DataFrame, unfinished: Sequence[str]) -> Flow:
    """Count scans from the sheet to the analysis, with the reasons of those that were left out."""
    rows = [{str(k): v for k, v in row.items()} for row in screening.to_dict("records")]
    excluded = [(scan_name(r), text_of(r, "reason")) for r in rows if r["verdict"] == "excluded"]
    refused = [(scan_name(r), text_of(r, "code"), text_of(r, "reason")) for r in rows if r["verdict"] == "refused"]
    accepted = [r for r in rows if r["verdict"] == "accepted"]
    left = [scan_name(r) for r in accepted if prefix_of_row(r) in set(unfinished)]
    people = len({r["participant_id"] for r in rows})
    return Flow(len(rows), people, excluded, refused, left, len(accepted) - len(left))


def split_flagged(lesions: pd.DataFrame, flags: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """Leave out lesions with one of these flags, as the cohort's numbers do; and say how many they are."""
    unwanted = {flag.lower().replace("_", " ") for flag in flags}
    keep = pd.Series([not (flag_words(own) & unwanted) for own in lesions["flags"]], index=lesions.index, dtype=bool)
    return lesions[keep], int((~keep).sum())


def class_counts(lesions: pd.DataFrame) -> list[tuple[str, list[int]]]:
    """Number of lesions by class (rows) and compartment (columns, in the fixed order)."""
    pairs = lesions.groupby(["concordance", "compartment"]).size() if len(lesions) else pd.Series(dtype=int)
    return [(kind, [int(pairs.get((kind, c), 0)) for c in COMPARTMENTS]) for kind in CONCORDANCES]


def key_numbers(
    flow: Flow, lesions: pd.DataFrame, comparison: pd.DataFrame, statistics: pd.DataFrame
) -> list[tuple[str, str, str]]:
    """The numbers at the head of the report: (name, number, small print)."""
    scans = f"{flow.enrolled} enrolled, {len(flow.excluded)} excluded, {len(flow.refused)} refused"
    found = [("Scans analysed", str(flow.analysed), scans)]
    if flow.analysed == 0:
        return found
    with_deposits = lesions["participant_id"].nunique()
    found.append(("Deposits", str(len(lesions)), f"in {with_deposits} {'person' if with_deposits == 1 else 'people'}"))
    volume = float(pd.to_numeric(lesions["ct_volume_ml"], errors="coerce").sum())
    mass = float(pd.to_numeric(lesions["hydroxyapatite_mg"], errors="coerce").sum())
    found.append(("Calcified volume", f"{number(volume)} ml", f"{number(mass)} mg hydroxyapatite" if mass else ""))
    if len(lesions):
        active = int(lesions["concordance"].str.endswith("PET+").sum())
        open_ = int((lesions["pet_status"] == "indeterminate").sum())
        small = f"{active} of {len(lesions)} deposits" + (f"; {open_} cannot be told" if open_ else "")
        found.append(("With uptake", f"{round(100 * active / len(lesions))} %", small))
    rows = statistics[statistics["analysis"] == "primary"]
    if len(rows) and not missing(rows.iloc[0]["estimate"]):
        row = rows.iloc[0]
        small = (
            f"exact {p_text(row['p_exact'])}, n = {number(row['n'])}; smallest possible {p_text(row['p_attainable'])}"
        )
        own = comparison[comparison["modality"] == str(row["group_a"])]
        if str(row["group_b"]) == "clinical" and len(own):
            means = [float(own[name].mean()) for name in ("imaging_score", "clinical_score")]
            found.append(("Mean score, imaging / clinical", f"{number(means[0])} / {number(means[1])}", small))
        else:
            found.append(("Primary difference", number(row["estimate"]), small))
    return found


def pictures(mips: Sequence[str], links: Mapping[str, str], groups: Mapping[str, str]) -> list[Person]:
    """All projections on one scale, by group and name; made smaller together where they would be too heavy.

    Parameters
    ----------
    mips
        Paths of ``P_mip.png``.
    links
        Relative address of each scan's page, by prefix.
    groups
        Group by participant.
    """
    weight = sum(Path(path).stat().st_size for path in mips)
    shrink = min(1.0, (MIP_BYTES / weight) ** 0.5) if weight else 1.0
    loaded = []
    for path in mips:
        content = Path(path).read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            size = image.size
            if shrink < 1:
                small = image.convert("RGB").resize(
                    (max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))), Image.Resampling.LANCZOS
                )
                buffer = io.BytesIO()
                small.quantize(64, dither=Image.Dither.NONE).save(buffer, "PNG", compress_level=9)
                content = buffer.getvalue()
        prefix = prefix_of(path)
        loaded.append((groups.get(prefix.split("_")[0], ""), prefix, content, size))
    tallest = max((size[1] for *_, size in loaded), default=1)
    height = next((pixels for most, pixels in MIP_HEIGHTS if len(loaded) <= most), MIP_HEIGHT_MANY)
    zoom = min(1.0, height / tallest)
    return [
        Person(
            prefix.replace("_", " ").replace("acq-", ""),
            group,
            data_uri(content, "image/png"),
            round(size[0] * zoom),
            round(size[1] * zoom),
            links.get(prefix, ""),
        )
        for group, prefix, content, size in sorted(loaded, key=lambda item: (item[0], natural(item[1])))
    ]


def limitations(flow: Flow, participants: pd.DataFrame, comparison: pd.DataFrame) -> list[str]:
    """What a reader must know about this cohort before its numbers: who is missing, and what cannot be compared."""
    found = []
    if flow.unfinished:
        found.append(
            f"Incomplete: {len(flow.unfinished)} accepted scan(s) had not finished and are not in these numbers: "
            f"{', '.join(flow.unfinished)}."
        )
    if flow.analysed == 0:
        found.append("No scan was analysed: there is nothing to summarise.")
    elif flow.analysed == 1:
        found.append("One scan was analysed: its numbers are a description of one person, without statistics.")
    if comparison.empty and flow.analysed:
        found.append("No clinical scores were given (or none fits the scoring form): imaging is compared with nothing.")
    groups = sorted(set(participants["group"].dropna())) if "group" in participants else []
    if flow.analysed and len(groups) == 1:
        found.append(f"All people belong to one group ({words(str(groups[0]))}): groups are not compared.")
    return found
