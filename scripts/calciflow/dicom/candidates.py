"""Which series can be candidates at all, and which one a cell of the sheet names."""

import re
from fnmatch import fnmatchcase

from calciflow.dicom.geometry import MINIMUM_SLICES
from calciflow.dicom.join import chains, join
from calciflow.dicom.series import Group, describe
from calciflow.errors import Refusal

PROJECTIONS = ("MIP", "PROJECTION IMAGE", "REPROJECTION", "MAX_IP", "MINIP")
CAPTURES = ("SCREEN SAVE", "FUSION", "FUSED", "LOCALIZER", "SCOUT", "TOPOGRAM")
SIEMENS_NO_VOLUME = re.compile(r"CT_SOM\d+ (TOP|MON|EVAL|PRED.*)")
"""Siemens' Image Type, value 4: topogram, bolus monitoring, evaluation, predicted scan."""


def unusable(item: Group) -> tuple[str, str] | None:
    """Why a group can be no candidate at all: code of the refusal it would lead to, and the reason."""
    first = item.first
    if not (item.is_ct or item.is_pet):
        return "", f"no CT or PET image: {describe(item)}"
    words = set(first.image_type)
    if words & set(PROJECTIONS) or "REPROJECTION" in first.series_type:
        return "projection", "a projection, not slices"
    if words & set(CAPTURES) or any(SIEMENS_NO_VOLUME.fullmatch(w) for w in words):
        return "capture", "a scout, monitoring or captured image"
    if item.is_pet and "ATTN" not in first.corrected:
        return "no_ac_pet", "not attenuation corrected: Corrected Image (0028,0051) lacks ATTN"
    if item.is_pet and (item.part == "gated" or "GATED" in first.series_type):
        return "no_ac_pet", "gated"
    if item.part == "dynamic":
        return "no_ac_pet", "one of several frames in time"
    if item.grid is None and len(item.headers) < MINIMUM_SLICES:
        return "geometry", f"{len(item.headers)} image(s) are no volume"
    return None


def _matches(item: Group, wanted: str) -> bool:
    """Whether a description pattern or a UID of the sheet means this group."""
    first = item.first
    if wanted == first.series_uid:
        return True
    return bool(first.description) and fnmatchcase(first.description.casefold(), wanted.casefold())


def forced(groups: list[Group], wanted: str, kind: str) -> Group:
    """Find the series that a cell of the sheet names.

    A number is a Series Number (0020,0011), or, with ``#`` before it, a row of ``_series.tsv``; a number that is no
    Series Number there is taken for a row too.

    Raises
    ------
    Refusal
        ``not_found`` (also for a series that cannot be used; both list those that can), ``ambiguous``.
    """
    cell = f"{kind.lower()}_series"
    of_kind = [g for g in groups if (g.is_ct if kind == "CT" else g.is_pet)]
    bare = wanted.strip()
    row = bare[1:] if bare.startswith("#") else bare
    matching: list[Group] = []
    if row.isdecimal():
        if row == bare:
            matching = [g for g in of_kind if g.first.series_number == int(row)]
        if not matching:
            matching = [g for g in of_kind if g.number == int(row)]
    else:
        matching = [g for g in of_kind if _matches(g, bare)]
    if not matching:
        raise Refusal("not_found", f"`{cell}` names no {kind} series of this source; {_instead(of_kind)}.")
    usable = [g for g in matching if unusable(g) is None]
    if not usable:
        _, reason = unusable(matching[0]) or ("", "")
        raise Refusal(
            "not_found",
            f"The series that `{cell}` names, {listed(matching[:1])}, cannot be used ({reason}); {_instead(of_kind)}.",
        )
    if len(usable) > 1:
        runs = [run for run in chains([g for g in usable if g.fault is None]) if len(run) == len(usable)]
        if len(runs) == 1:
            return join(runs[0])
        raise Refusal(
            "ambiguous",
            f"`{cell}` fits several {kind} series, {listed(usable)}: name one, as #{usable[0].number}.",
        )
    return usable[0]


MOST_LISTED = 12
"""Candidates that a sentence lists; a table holds the others."""


def listed(groups: list[Group]) -> str:
    """Candidates for a sentence, as a cell of the sheet may name them, with what tells them apart."""
    shown = []
    for item in groups[:MOST_LISTED]:
        first = item.first
        words = [f"series {first.series_number}"] if first.series_number is not None else []
        words.append(f"{item.extent:.0f} mm long" if item.grid else f"{len(item.headers)} images")
        if item.grid:
            words.append(f"{item.grid.increment:g} mm slices")
        shown.append(f"#{item.number} ({', '.join(words)})")
    more = len(groups) - len(shown)
    return ", ".join(shown) + (f" and {more} more in _series.tsv" if more > 0 else "")


def _instead(of_kind: list[Group]) -> str:
    usable = [g for g in of_kind if unusable(g) is None and g.fault is None]
    if not usable:
        return "none of this source can be used: _series.tsv says why"
    return f"those that can be used are {listed(usable)}"


def piece_names(parts: list[Group]) -> list[str]:
    """Labels for the pieces of one session, the longest first: body and legs where that is clear, else numbers."""
    names = []
    for index, item in enumerate(parts):
        turned = item.first.patient_position[:2] == "FF" != parts[0].first.patient_position[:2]
        names.append("body" if index == 0 else "legs" if turned and len(parts) == 2 else f"part{index + 1}")
    return names


def rows_to_write(parts: list[Group], who: str) -> str:
    """The rows of scans.tsv that make acquisitions of pieces, for a sentence."""
    rows = [
        f"{who + ' ' if who else ''}`acquisition` {name} `pet_series` #{item.number}"
        for name, item in zip(piece_names(parts), parts, strict=True)
    ]
    return f"replace the row of scans.tsv by these, with the same `source`: {'; '.join(rows)}"


def rows_of(groups: list[Group]) -> str:
    """Numbers of groups, for a sentence."""
    return ", ".join(str(g.number) for g in groups)
