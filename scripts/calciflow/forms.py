"""Scoring forms: regions, what is counted in them, and the grades; read from yaml, checked word by word."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from calciflow.errors import StudyError
from calciflow.labels import AXIAL_REGIONS, COMPARTMENTS, CONCORDANCES, REGIONS, SIDES

MODALITIES = ("ct", "pet", "petct")
"""Lesions with a part on CT, with a part on PET, and all of them."""

MEASURES = {
    "presence": MODALITIES,
    "number": MODALITIES,
    "volume_ml": MODALITIES,
    "hydroxyapatite_mg": ("ct", "petct"),
    "hu_max": ("ct", "petct"),
    "suv_max": ("pet", "petct"),
    "suv_peak": ("pet", "petct"),
    "tlf": ("pet", "petct"),
}
"""What a form can count, and the modalities that can see it: an item adds nothing where its modality is blind."""

VOLUMES = ("ct_first", "larger")
COMBINATIONS = ("sum", "largest")
_WORD = re.compile(r"[a-z][a-z0-9_]*")
_KEYS = (
    "name title source description modalities lesions volume min_imaged_fraction regions items combine total"
).split()


@dataclass(frozen=True)
class Item:
    """One thing counted in a region.

    Attributes
    ----------
    measure
        A key of ``MEASURES``.
    grades
        (value, points) in rising order: the points of the last value that is reached, 0 below the first.
        Empty: the value itself is the score.
    modalities
        Where the item counts.
    """

    measure: str
    grades: tuple[tuple[float, float], ...]
    modalities: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One line of the form: its own region and side, and the regions of the map that it takes together."""

    region: str
    side: str
    of: tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """A scoring form.

    Attributes
    ----------
    compartments
        Compartments whose lesions count.
    concordances
        Classes whose lesions count: ``CT+PET+`` alone counts what both modalities show.
    exclude_flags
        Lesions with one of these flags don't count.
    min_volume_ml
        Lesions smaller than this don't count (ml).
    volume
        Of a lesion with a CT and a PET part: ``ct_first`` takes the CT volume, ``larger`` the larger of the two.
    min_imaged_fraction
        A row of which any region was imaged to a smaller part is n/a.
    combine
        How the points of several items make a region's score: their ``sum`` or the ``largest``.
    """

    name: str
    title: str
    source: str
    description: str
    modalities: tuple[str, ...]
    compartments: tuple[str, ...]
    concordances: tuple[str, ...]
    exclude_flags: tuple[str, ...]
    min_volume_ml: float
    volume: str
    min_imaged_fraction: float
    rows: tuple[Row, ...]
    items: tuple[Item, ...]
    combine: str


class _Reader:
    """Checks one file; every error names the file, the key and the fix."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, key: str, problem: str, fix: str) -> StudyError:
        return StudyError(f"scoring form {self.path.name}, key {key}: {problem}. Fix: {fix}.")

    def keys(self, content: Any, key: str, known: Sequence[str], needed: Sequence[str]) -> Mapping[str, Any]:
        if not isinstance(content, Mapping):
            raise self.fail(key, "is no mapping of keys to values", f"write the keys {', '.join(known)} under it")
        for name in content:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, n=1)
                raise self.fail(
                    f"{key}.{name}" if key != "(whole file)" else str(name),
                    "is not known",
                    f"did you mean {near[0]}" if near else f"known are {', '.join(known)}",
                )
        for name in needed:
            if content.get(name) in (None, "", []):
                raise self.fail(f"{key}.{name}" if key != "(whole file)" else name, "is missing", f"add {name}: ...")
        return content

    def text(self, content: Any, key: str) -> str:
        if not isinstance(content, str) or not content.strip():
            raise self.fail(key, f"must be text, not {content!r}", "write it as a line of text")
        return " ".join(content.split())

    def number(self, content: Any, key: str, low: float, high: float = float("inf")) -> float:
        if isinstance(content, bool) or not isinstance(content, int | float) or not low <= content <= high:
            between = f"from {low:g} on" if high == float("inf") else f"from {low:g} to {high:g}"
            raise self.fail(key, f"must be a number {between}, not {content!r}", "correct the number")
        return float(content)

    def choice(self, content: Any, key: str, known: Sequence[str]) -> str:
        if content not in known:
            near = difflib.get_close_matches(str(content), known, n=1)
            raise self.fail(
                key, f"{content!r} is not known", f"did you mean {near[0]}" if near else f"one of {', '.join(known)}"
            )
        return str(content)

    def choices(self, content: Any, key: str, known: Sequence[str]) -> tuple[str, ...]:
        if not isinstance(content, list) or not content:
            raise self.fail(key, f"must be a list, not {content!r}", f"write a list such as [{', '.join(known[:2])}]")
        words = [self.choice(word, f"{key}[{i}]", known) for i, word in enumerate(content)]
        if len(set(words)) < len(words):
            raise self.fail(key, "names a word twice", "keep each word once")
        return tuple(words)


def _rows(read: _Reader, content: Any) -> tuple[Row, ...]:
    if not isinstance(content, list):
        raise read.fail("regions", "must be a list", "write lines like - {region: hand, sides: [left, right]}")
    rows: list[Row] = []
    taken: dict[tuple[str, str], str] = {}
    for i, entry in enumerate(content):
        key = f"regions[{i}]"
        entry = read.keys(entry, key, ("region", "sides", "of"), ("region", "sides"))
        region = read.text(entry["region"], f"{key}.region")
        if not _WORD.fullmatch(region) or region == "total":
            raise read.fail(f"{key}.region", f"{region!r} is no name", "small letters, digits and _, and not 'total'")
        if "of" not in entry and region not in REGIONS:
            near = difflib.get_close_matches(region, REGIONS, n=1)
            known = f"did you mean {near[0]}? Or " if near else ""
            raise read.fail(
                f"{key}.region",
                f"{region!r} is no region of the map",
                f"{known}say which regions it takes together: of: [...] (known: {', '.join(REGIONS)})",
            )
        of = read.choices(entry["of"], f"{key}.of", REGIONS) if "of" in entry else (region,)
        for side in read.choices(entry["sides"], f"{key}.sides", SIDES):
            if any((row.region, row.side) == (region, side) for row in rows):
                raise read.fail(key, f"{side} {region} is there twice", "keep one of the lines")
            for member in of:
                for half in ("left", "right") if side == "midline" else (side,):
                    other = taken.setdefault((member, half), f"{side} {region}")
                    if other != f"{side} {region}":
                        raise read.fail(
                            key,
                            f"{half} {member} is counted twice, in {other!r} and in '{side} {region}'",
                            "take it out of one of them (midline means both halves together)",
                        )
            rows.append(Row(region, side, of))
    return tuple(rows)


def _items(read: _Reader, content: Any, modalities: tuple[str, ...]) -> tuple[Item, ...]:
    if not isinstance(content, list):
        raise read.fail("items", "must be a list", "write lines like - {measure: number, grades: value}")
    items = []
    for i, entry in enumerate(content):
        key = f"items[{i}]"
        entry = read.keys(entry, key, ("measure", "grades", "modalities"), ("measure", "grades"))
        measure = read.choice(entry["measure"], f"{key}.measure", tuple(MEASURES))
        able = tuple(m for m in modalities if m in MEASURES[measure])
        if not able:
            raise read.fail(
                f"{key}.measure",
                f"none of the form's modalities sees {measure}",
                f"add one of {', '.join(MEASURES[measure])} to modalities",
            )
        seen = read.choices(entry["modalities"], f"{key}.modalities", able) if "modalities" in entry else able
        grades: list[tuple[float, float]] = []
        if entry["grades"] != "value":
            if not isinstance(entry["grades"], list):
                raise read.fail(
                    f"{key}.grades", "is neither a list nor the word value", "write lines like - {from: 1, points: 1}"
                )
            for j, grade in enumerate(entry["grades"]):
                place = f"{key}.grades[{j}]"
                grade = read.keys(grade, place, ("from", "points"), ("from", "points"))
                pair = (read.number(grade["from"], f"{place}.from", 0), read.number(grade["points"], place, 0))
                if grades and (pair[0] <= grades[-1][0] or pair[1] <= grades[-1][1]):
                    raise read.fail(place, "does not rise", "sort the lines: from and points must both rise")
                grades.append(pair)
        items.append(Item(measure, tuple(grades), seen))
    return tuple(items)


def load_form(path: str | Path) -> Form:
    """Read and check a scoring form.

    Raises
    ------
    StudyError
        Names the file, the key and the fix.
    """
    path = Path(path)
    read = _Reader(path)
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyError(f"scoring form {path.name}: there is no such file. Fix: name one that exists.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise StudyError(f"scoring form {path.name}: is no valid yaml: {problem}. Fix: correct that line.") from None
    whole = read.keys(content, "(whole file)", _KEYS, ("name", "title", "source", "regions", "items"))
    name = read.text(whole["name"], "name")
    if name != path.stem:
        raise read.fail("name", f"{name!r} is not the file's name", f"write name: {path.stem}")
    modalities = read.choices(whole.get("modalities", list(MODALITIES)), "modalities", MODALITIES)
    lesions = read.keys(
        whole.get("lesions", {}),
        "lesions",
        ("compartments", "concordances", "exclude_flags", "min_volume_ml"),
        needed=(),
    )
    flags = lesions.get("exclude_flags", [])
    if not isinstance(flags, list):
        raise read.fail("lesions.exclude_flags", "must be a list", "write [possible myositis] or []")
    read.choice(whole.get("total", "sum"), "total", ("sum",))
    return Form(
        name=name,
        title=read.text(whole["title"], "title"),
        source=read.text(whole["source"], "source"),
        description=read.text(whole["description"], "description") if "description" in whole else "",
        modalities=modalities,
        compartments=read.choices(
            lesions.get("compartments", list(COMPARTMENTS)), "lesions.compartments", COMPARTMENTS
        ),
        concordances=read.choices(
            lesions.get("concordances", list(CONCORDANCES)), "lesions.concordances", CONCORDANCES
        ),
        exclude_flags=tuple(read.text(flag, "lesions.exclude_flags") for flag in flags),
        min_volume_ml=read.number(lesions.get("min_volume_ml", 0), "lesions.min_volume_ml", 0),
        volume=read.choice(whole.get("volume", "ct_first"), "volume", VOLUMES),
        min_imaged_fraction=read.number(whole.get("min_imaged_fraction", 0.8), "min_imaged_fraction", 0, 1),
        rows=_rows(read, whole["regions"]),
        items=_items(read, whole["items"], modalities),
        combine=read.choice(whole.get("combine", "sum"), "combine", COMBINATIONS),
    )


def halves(row: Row) -> tuple[str, ...]:
    """Names of the map's regions that a row takes together, as ``imaged_fraction`` names them (``left hand``)."""
    return tuple(
        f"{half} {member}"
        for member in row.of
        for half in (("left", "right") if row.side == "midline" else (row.side,))
    )


def holds(row: Row, region: str, side: str) -> bool:
    """Whether a lesion of this region and side counts in the row.

    A trunk lesion on the midline touches both halves: it counts on both sides of a form that divides the trunk.
    """
    if region not in row.of:
        return False
    return row.side in ("midline", side) or (side == "midline" and region in AXIAL_REGIONS)
