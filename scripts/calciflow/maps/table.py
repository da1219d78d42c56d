"""What the labels of other programs' maps mean here: ``labels.tsv`` beside this module.

Sources of the numbers and names: ``totalsegmentator/map_to_binary.py`` of TotalSegmentator 2.x (Wasserthal 2023, doi
10.1148/ryai.230024; ``total_v1`` for the order of version 1, in which BOA writes ``total.nii.gz``), the table of models
in the README of MOOSE 3 (Shiyam Sundar 2022, doi 10.2967/jnumed.122.264063), and ``BodyRegion``, ``BodyParts`` and
``Tissue`` of BOA (Haubold 2023, doi 10.1097/RLI.0000000000001040).
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from calciflow.labels import REGIONS, TISSUES

DATA_FILES: tuple[str, ...] = ("scripts/calciflow/maps/labels.tsv",)

AREAS: dict[str, frozenset[str]] = {
    "head": frozenset({"head", "neck"}),
    "trunk": frozenset({"neck", "chest", "abdomen", "pelvis", "shoulder", "thigh"}),
    "arm": frozenset(REGIONS[5:11]),
    "leg": frozenset({"pelvis", *REGIONS[11:]}),
    "limb": frozenset({"pelvis", *REGIONS[5:]}),
}
"""Regions that an area of a foreign map may hold. Where trunk and limb meet, each program draws its own border: there
both regions are allowed, and the built-in border stays."""

DIGITS = ({"hand", "fingers"}, {"foot", "toes"})
"""Regions that the nearest bone tells apart."""


@dataclass(frozen=True)
class Label:
    """A label of a foreign map.

    Attributes
    ----------
    name
        As the program calls it; also the name of its file in a folder of masks.
    tissue
        What it is here, or None if it says nothing of tissue.
    keeps
        Built-in tissues that are finer than this label, and stay inside it: skin in subcutaneous fat, lung in a
        thoracic cavity, the muscle compartment's own fat.
    area
        A key of `AREAS`, or one of the regions in `DIGITS` for a bone that lies in it; else None.
    side
        ``left``, ``right``, or None.
    """

    name: str
    tissue: str | None
    keeps: tuple[str, ...]
    area: str | None
    side: str | None


@cache
def label_tables() -> dict[str, dict[int, Label]]:
    """Read all tables: kind of map to label number to `Label`."""
    tables: dict[str, dict[int, Label]] = {}
    with open(Path(__file__).with_name("labels.tsv"), encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE):
            given = {key: None if value == "n/a" else value for key, value in row.items()}
            if given["tissue"] is not None and given["tissue"] not in TISSUES:
                raise ValueError(f"labels.tsv: unknown tissue {given['tissue']}")
            keeps = tuple((given["keeps"] or "").split(";")) if given["keeps"] else ()
            tables.setdefault(row["map"], {})[int(row["index"])] = Label(
                row["name"], given["tissue"], keeps, given["area"], given["side"]
            )
    return tables
