"""The identity audit: results and logs are searched for what identifies the people in the sources.

``index`` keeps names, numbers, dates of birth, institutions, UIDs and names of files and folders in private; here every
file under ``results/`` and ``logs/`` is cut into words, and the words are looked up. What the program itself says
(its own vocabulary) and the labels of the sheets name nobody, whatever a header holds.
"""

import gzip
import os
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from calciflow.errors import StudyError
from calciflow.files import read_json, write_json, write_text

Phrase = tuple[str, ...]

WORD = re.compile(r"\d+(?:\.\d+)+|\d+(?=t\d)|[^\W_]+")
"""A decimal number or UID is one word; everything else is cut at what is no letter or digit, and before the T of a
date with time."""

LETTERS, DIGITS, PARTS = 4, 6, 4
"""What is too short to be told from chance is not looked for: words under 4 characters, numbers under 6 digits
(tables hold numbers of every kind), UIDs of less than 4 parts."""

BY_UUID = "2.25."
"""How UIDs begin that were drawn at random: all of them have this stem, and no measurement has."""

IMAGE_HEAD = 4096
"""Bytes of an image that can say something; after them there are voxels."""

EMBEDDED = re.compile(rb"data:[a-z/+.-]+;base64,[A-Za-z0-9+/=]+")

PEOPLE = ("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ResponsiblePerson")


@dataclass(frozen=True)
class Leak:
    """An identifier where it must not be.

    Attributes
    ----------
    file
        Relative to the study.
    what
        The attribute, or ``path``.
    scan
        Whose it is.
    value
        The identifier; for the private list only.
    """

    file: str
    what: str
    scan: str
    value: str


def words(text: str) -> list[str]:
    """Cut a text into words without case and accents."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return WORD.findall(plain.casefold())


def _weighs(phrase: Phrase) -> bool:
    """Whether a phrase is long enough to be no chance."""
    if len(phrase) == 1 and re.fullmatch(r"[\d.]+", phrase[0]):
        parts = phrase[0].count(".") + 1
        return parts >= PARTS or phrase[0].startswith(BY_UUID) or (parts == 1 and len(phrase[0]) >= DIGITS)
    longest = max((len(word) for word in phrase if not word.isdigit()), default=0)
    return longest >= LETTERS or sum(len(word) for word in phrase) >= 8


def phrases(what: str, value: str) -> set[Phrase]:
    """What to look for: the value itself; each part of a name; a date as people write it."""
    cut = tuple(words(value))
    found = {cut}
    if what.endswith("BirthDate") and re.fullmatch(r"\d{8}", value):
        year, month, day = value[:4], value[4:6], value[6:]
        return {cut, (year, month, day), (day, month, year), (month, day, year), (f"{day}.{month}.{year}",)}
    if what.endswith(("BirthDate", "UID")) or what.startswith("UID"):
        return {phrase for phrase in found if phrase and _weighs(phrase)}
    if what in PEOPLE or (what.endswith("Name") and "^" in value):
        found |= {(word,) for word in cut if not word.isdigit()}
        found |= {pair for one, two in pairwise(cut) for pair in ((one, two), (two, one))}
    if what == "path":
        # A name of a file says something by its words; numbers and endings alone are anybody's.
        stem = tuple(words(re.sub(r"\.(dcm|ima|gz|nii|zip|tar|tgz|json)$", "", value, flags=re.IGNORECASE)))
        found = {stem} if any(len(w) >= LETTERS and not w.isdigit() for w in stem) or "." in value else set()
    return {phrase for phrase in found if phrase and _weighs(phrase)}


class Search:
    """Phrases to look for, by their first word.

    Parameters
    ----------
    wanted
        Phrase to (attribute, scan, value).
    stems
        Stems of UIDs to the same: whatever follows them is a UID of the source.
    """

    def __init__(
        self, wanted: Mapping[Phrase, tuple[str, str, str]], stems: Mapping[str, tuple[str, str, str]]
    ) -> None:
        self._stems = stems
        self._first: dict[str, list[Phrase]] = {}
        for phrase in wanted:
            self._first.setdefault(phrase[0], []).append(phrase)
        self._wanted = wanted

    def found(self, text: str) -> set[tuple[str, str, str]]:
        """Attribute, scan and value of everything that the text holds."""
        return {self._wanted[phrase] for phrase in self.found_phrases(text)} | self._found_stems(text)

    def found_phrases(self, text: str) -> set[Phrase]:
        """The phrases that the text holds."""
        cut = words(text)
        out: set[Phrase] = set()
        if self._first.keys().isdisjoint(cut):
            return out
        for place, word in enumerate(cut):
            for phrase in self._first.get(word, ()):
                if tuple(cut[place : place + len(phrase)]) == phrase:
                    out.add(phrase)
        return out

    def _found_stems(self, text: str) -> set[tuple[str, str, str]]:
        out = set()
        for uid in set(re.findall(r"\d+(?:\.\d+){2,}", text)) if self._stems else ():
            parts = uid.split(".")
            if uid.startswith(BY_UUID) and len(parts[2]) > 20 and BY_UUID[:-1] in self._stems:
                out.add(self._stems[BY_UUID[:-1]])
            for count in range(PARTS, len(parts)):
                stem = ".".join(parts[:count])
                if stem in self._stems:
                    out.add(self._stems[stem])
        return out


def search_for(files: Iterable[Mapping[str, Any]], own: Iterable[str], labels: Iterable[str]) -> Search:
    """Build the search from the private lists of all scans.

    Parameters
    ----------
    files
        Contents of the private ``_selection.json``; of use are ``scan`` and ``identifiers``.
    own
        Texts of the program: a phrase that it says itself is no identifier.
    labels
        Words that the user chose to stand in results: labels, groups, and the config's ``audit.ignore``.
    """
    wanted: dict[Phrase, tuple[str, str, str]] = {}
    stems: dict[str, tuple[str, str, str]] = {}
    for content in files:
        scan = "_".join(str(part) for part in content["scan"].values() if part)
        for item in content["identifiers"]:
            note = (item["what"], scan, item["value"])
            if item["what"] == "UIDStem":
                if item["value"].count(".") + 1 >= PARTS or f"{item['value']}." == BY_UUID:
                    stems.setdefault(item["value"], note)
                continue
            for phrase in phrases(item["what"], item["value"]):
                wanted.setdefault(phrase, note)
    known: set[Phrase] = set()
    search = Search(wanted, {})
    for text in own:
        known |= search.found_phrases(text)
    for label in labels:
        known |= search.found_phrases(label) | {tuple(words(label))}
    return Search({phrase: note for phrase, note in wanted.items() if phrase not in known}, stems)


def text_of(path: Path) -> str:
    """Everything in a file that can say something, as text."""
    if path.name.endswith(".gz"):
        image = ".nii" in path.name
        try:
            with gzip.open(path) as stream:
                content = stream.read(IMAGE_HEAD if image else -1)
        except (OSError, EOFError, zlib.error):  # cut off: its bytes are looked at as they are
            content = path.read_bytes()
    else:
        content = path.read_bytes()
    if path.suffix == ".png":
        content = b"\n".join(_png_texts(content))
    elif path.suffix in (".html", ".svg"):
        content = EMBEDDED.sub(b"", content)
    return content.decode("utf-8", "replace")


def _png_texts(content: bytes) -> Iterator[bytes]:
    """Chunks of a PNG but for the pixels."""
    at = 8
    while at + 8 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] != b"IDAT":
            yield content[at + 8 : at + 8 + size]
        at += size + 12


def find_leaks(study: Path, folders: Sequence[str], search: Search) -> tuple[list[Leak], int]:
    """Look into every file of some folders of a study, and at its name.

    Returns
    -------
    leaks
        One for each file and attribute, sorted.
    count
        Files looked at.
    """
    leaks: set[Leak] = set()
    count = 0
    for folder in folders:
        for path in sorted((study / folder).rglob("*")):
            name = path.relative_to(study).as_posix()
            found = search.found(name)
            if path.is_file():
                # What a killed job left half-written is searched too, but is no file of the results.
                count += not path.name.startswith(".partial-")
                found |= search.found(text_of(path))
            leaks |= {Leak(name, *note) for note in found}
    return sorted(leaks, key=lambda leak: (leak.file, leak.what, leak.scan, leak.value)), count


def own_texts(library: Path) -> Iterator[str]:
    """What the program itself says: its code, templates and tables."""
    for path in sorted(library.rglob("*")):
        if path.suffix in (".py", ".html", ".js", ".css", ".tsv"):
            yield path.read_text(encoding="utf-8")


def audit_study(
    *,
    identifiers: Sequence[str],
    told: str | None,
    private: str,
    labels: Sequence[str],
    ignore: Sequence[str] = (),
    study: str = ".",
) -> None:
    """Search results and logs of a study (the stage ``audit``).

    Parameters
    ----------
    identifiers
        The private ``_selection.json`` files that ``index`` wrote, with the lists.
    told
        Output: whose identifiers were looked for. Written only if nothing was found; None: not written.
    private
        What was found, with the identifiers themselves: beside the results, not in them.
    labels, ignore
        Words of the sheets and of the config that may stand in results.

    Raises
    ------
    StudyError
        If an identifier was found: names files and attributes, not the values.
    """
    search = search_for((read_json(path) for path in identifiers), own_texts(Path(__file__).parent), [*labels, *ignore])
    root = Path(study)
    leaks, count = find_leaks(root, ("results", "logs"), search)
    if leaks:
        before = os.umask(0o077)
        try:
            write_text(private, "".join(f"{leak.file}\t{leak.scan}\t{leak.what}\t{leak.value}\n" for leak in leaks))
        finally:
            os.umask(before)
        shown = [f"  {leak.file} holds {leak.what} of {leak.scan}" for leak in leaks[:20]]
        more = f"\n  and {len(leaks) - 20} more" if len(leaks) > 20 else ""
        raise StudyError(
            f"{len(leaks)} identifier(s) of the sources stand in results or logs:\n"
            + "\n".join(shown)
            + f"{more}\nDo not pass the results on. {private} says which words; what is none of anybody's "
            "(a word of everyday language) goes into `audit.ignore` of the config; else report it as a bug."
        )
    print(f"{count} files searched for the identifiers of {len(identifiers)} scans: none found")
    if told is not None:  # without the number of files: logs of earlier runs would change it
        write_json(told, {"scans": len(identifiers), "identifiers_found": 0})
