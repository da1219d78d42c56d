"""Nuclide and agent: which they are, which half-life goes with them, and whether it is 18F-fluoride."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

HALF_LIVES: dict[str, float] = {
    "C-11": 1221.8,
    "N-13": 597.9,
    "O-15": 122.2,
    "F-18": 6586.2,
    "Cu-62": 580.4,
    "Cu-64": 45723.0,
    "Ga-66": 34164.0,
    "Ga-68": 4062.6,
    "Rb-82": 76.4,
    "Y-86": 53064.0,
    "Zr-89": 282276.0,
    "I-124": 360806.0,
    "Y-90": 230688.0,
    "Lu-177": 574344.0,
}
"""Half-lives in s (NNDC NuDat 3; F-18: 109.77 min, the value scanners write)."""
AGREEMENT = 0.015
"""Relative: scanners write values up to 1 % apart (Ga-68: 4057.7 and 4080; F-18: 6586.2 and 6588), while the nearest
two nuclides of the table (N-13, Cu-62) are 3 % apart."""

# Code values of DICOM CID 4020 (SRT and SNOMED CT). C-131A1 is Ga-66, yet headers use it for Ga-68.
_NUCLIDE_CODES = {
    "C-111A1": ["F-18"],
    "77004003": ["F-18"],
    "C-105A1": ["C-11"],
    "40565002": ["C-11"],
    "C-107A1": ["N-13"],
    "21576001": ["N-13"],
    "C-B1038": ["O-15"],
    "80751004": ["O-15"],
    "C-131A3": ["Ga-68"],
    "35337001": ["Ga-68"],
    "C-131A1": ["Ga-66", "Ga-68"],
    "79477007": ["Ga-66"],
}
_NAMES = {
    "C": r"C(?:ARBON)?",
    "N": r"N(?:ITROGEN)?",
    "O": r"O(?:XYGEN)?",
    "F": r"F(?:LUORINE|LUOR|LUORO)?",
    "Cu": r"C(?:U|OPPER)",
    "Ga": r"GA(?:LLIUM)?",
    "Rb": r"R(?:B|UBIDIUM)",
    "Y": r"Y(?:TTRIUM)?",
    "Zr": r"Z(?:R|IRCONIUM)",
    "I": r"I(?:ODINE)?",
    "Lu": r"L(?:U|UTETIUM)",
}
# Sodium fluoride F-18 in DICOM CID 4021, SNOMED CT and SRT.
_FLUORIDE_CODES = {"129501009", "C-B1032"}
_FLUORIDE = re.compile(
    r"(?<![A-Z])(18-?F-?)?NA-?(18-?)?F(?![A-Z])|FLUORIDE|FLUORID(?![A-Z])|FLUORURE?|FLUORURO|FLUORETO"
)
_OTHER_AGENTS = {
    "FDG": re.compile(r"FDG|DEOXYGLUCOSE|DESOXYGLUCOSE|DEOXYGLUKOSE"),
    "PSMA": re.compile(r"PSMA|PIFLUFOLASTAT"),
    "a somatostatin analogue": re.compile(r"DOTA(TATE|TOC|NOC)|EDOTREOTIDE"),
    "FAPI": re.compile(r"FAPI"),
    "choline": re.compile(r"CHOLINE?"),
}


def nuclide_candidates(nuclide: Mapping[str, Any] | None) -> list[str]:
    """Nuclides that a RadionuclideCodeSequence item may mean; the meaning (``^18^Fluorine``) goes before the code."""
    nuclide = nuclide or {}
    meaning = re.sub(r"[^A-Z0-9]", "", str(nuclide.get("meaning") or "").upper())
    for name in HALF_LIVES:
        element, mass = name.split("-")
        if re.fullmatch(rf"(?:{mass}M?{_NAMES[element]}|{_NAMES[element]}{mass})(?:ISOTOPE)?", meaning):
            return [name]
    return _NUCLIDE_CODES.get(str(nuclide.get("code") or "").strip(), [])


def agrees(half_life: float, name: str) -> bool:
    """Whether a half-life in s is that of a nuclide."""
    return abs(half_life / HALF_LIVES[name] - 1) <= AGREEMENT


def nuclide_of(half_life: float) -> str | None:
    """The nuclide with this half-life in s, if the table holds one."""
    return next((name for name in HALF_LIVES if agrees(half_life, name)), None)


def tracer_doubt(administrations: Sequence[Mapping[str, Any]], half_life: float | None) -> str | None:
    """Say why the tracer is not known to be 18F-fluoride; None if it is.

    The sentence holds no text of the header, which may be free text: only words from this module.
    """
    nuclides = {name for item in administrations for name in nuclide_candidates(item.get("nuclide"))}
    if not nuclides and half_life is not None:
        found = nuclide_of(half_life)
        nuclides = {found} if found else set()
    if nuclides and "F-18" not in nuclides:
        return f"the nuclide is {' or '.join(sorted(nuclides))}, not F-18"
    agents = []
    for item in administrations:
        agents.append(str(item.get("agent") or ""))
        code = item.get("agent_code") or {}
        agents.append(str(code.get("meaning") or ""))
        if str(code.get("code") or "").strip() in _FLUORIDE_CODES:
            agents.append("FLUORIDE")
    # One text that says FDG beats another that says fluoride: contradictions are doubt.
    for text in (re.sub(r"[^A-Z0-9]+", "-", agent.upper()) for agent in agents):
        for name, pattern in _OTHER_AGENTS.items():
            if pattern.search(text):
                return f"the agent is {name}, not fluoride"
    texts = [re.sub(r"[^A-Z0-9]+", "-", agent.upper()) for agent in agents if agent.strip()]
    if not texts:
        return "the header names no agent"
    if not any(_FLUORIDE.search(text) for text in texts):
        return "the agent is not fluoride by any name known here"
    if not nuclides:
        return "the header names no nuclide"
    return None
