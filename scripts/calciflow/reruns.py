"""What a change runs again: the table in ``config/README.md`` and the tests that hold it true come from here.

No stage imports this module. The rules themselves say what they use (``params`` and ``input``); this is the promise
that the user reads, and ``tests/workflow/test_reruns.py`` changes every key and compares.
"""

from collections.abc import Iterable

FOLLOWERS: dict[str, tuple[str, ...]] = {
    "index": ("screen",),
    "screen": ("cohort",),
    "convert": ("suv", "tissues", "change"),
    "suv": ("register", "lesions", "qc"),
    "segment": ("tissues",),
    "tissues": ("register", "lesions", "compartments", "qc", "change"),
    "register": ("lesions",),
    "lesions": ("compartments", "review", "change"),
    "compartments": ("review",),
    "review": ("scores", "qc", "cohort", "change"),
    "scores": ("qc", "cohort"),
    "qc": ("report",),
    "cohort": ("report",),
    "change": ("course",),
    "course": ("report",),
    "sweep": ("report",),
    "report": ("audit",),
    "dataset": ("audit",),
    "audit": (),
}
"""Rules that read what a rule makes, in the order of the way of the data. `change` and `course` have work only where a
person has two sessions. What `index` finds anew but the same stops at
`screen` and the cohort: `convert` and `suv` compare the content."""

OF_SECTION: dict[str, tuple[str, ...]] = {
    "suv": ("index", "suv"),
    "register": ("register",),
    "segment": ("segment",),
    "tissues": ("tissues",),
    "lesions": ("lesions", "review"),
    "compartments": ("compartments", "review"),
    "scores": ("scores",),
    "cohort": ("cohort",),
    "change": ("change",),
    "report": ("report",),
    "audit": ("report", "audit"),
}
"""Rules that use the keys of a section; the report tells every key, so it always follows."""

OF_KEY: dict[str, tuple[str, ...]] = {
    "participants": ("cohort", "course"),
    "cohort.exclude_flags": ("cohort", "course"),
    "scans": ("report",),
    "clinical_scores": ("cohort",),
    "allow_incomplete": ("report",),
    "keep_images": ("report",),
    "sweep": ("sweep",),
}
"""Rules that use a key outside the sections. A sheet at another path with the same rows is the same sheet; where scans
are unfinished, `allow_incomplete` also makes the cohort of the others. A sweep runs the stages that a new value takes
part in, in a folder of its own."""

UNUSED_UNLESS: dict[str, str] = {
    "segment": "`tissues.engine` is `totalsegmentator`",
    "tissues.labelmaps": "`tissues.engine` is `labelmap`",
}
"""Sections and keys that only the report reads, unless so."""

OF_COLUMN: dict[str, dict[str, tuple[str, ...]]] = {
    "scans": {
        **dict.fromkeys(("source", "ct_source", "pet_source"), ("index", "convert")),
        **dict.fromkeys(("ct_series", "pet_series"), ("index", "convert")),
        **dict.fromkeys(("weight_kg", "height_m", "injected_dose_mbq", "injection_datetime"), ("index", "suv")),
        "labelmap": ("tissues",),
        "exclude": ("screen", "audit"),
    },
    "participants": {"group": ("cohort", "course")},
    "clinical_scores": {"region": ("cohort",), "side": ("cohort",), "score": ("cohort",), "reader": ("cohort",)},
}
"""Rules that a changed cell runs again; rules of scans for that scan alone. Cells that name the person, the session or
the piece make another scan of the row: its own jobs, `screen`, and the cohort."""


READS_IMAGES = ("suv", "segment", "tissues", "register", "lesions", "compartments", "qc", "change")
"""Rules that read a scan's CT, PET or SUV volume. Where ``keep_images`` is off these are gone, so each of them, and a
sweep, starts at the conversion; what is made from the conversion is then out of date too."""


def first_rules(key: str) -> tuple[str, ...]:
    """Rules that use a dotted key of the config."""
    return OF_KEY[key] if key in OF_KEY else OF_SECTION[key.split(".")[0]]


def idle(key: str) -> bool:
    """Whether a key is of no use unless another one says so."""
    return key in UNUSED_UNLESS or key.split(".")[0] in UNUSED_UNLESS


def with_followers(rules: Iterable[str]) -> tuple[str, ...]:
    """The rules and all that follow, in the way of the data."""
    found, waiting = set(), list(rules)
    while waiting:
        rule = waiting.pop()
        if rule not in found:
            found.add(rule)
            waiting += FOLLOWERS[rule]
    return tuple(rule for rule in FOLLOWERS if rule in found)


def without_images(rules: Iterable[str]) -> tuple[str, ...]:
    """The rules and all that follow, where ``keep_images`` is off."""
    found = with_followers(rules)
    return with_followers([*rules, "convert"]) if {"sweep", *READS_IMAGES} & set(found) else found


def rerun_table(keys: Iterable[str]) -> str:
    """Give the markdown table: what changes, and which rules run again."""
    groups: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for key in keys:
        note = UNUSED_UNLESS.get(key) or UNUSED_UNLESS.get(key.split(".")[0]) or ""
        groups.setdefault((with_followers(first_rules(key)), note), []).append(f"`{key}`")
    rows = [
        (", ".join(names), _list(rules) + (f" (only the report, unless {note})" if note else ""))
        for (rules, note), names in groups.items()
    ]
    for sheet, columns in OF_COLUMN.items():
        by_rules: dict[tuple[str, ...], list[str]] = {}
        for column, rules in columns.items():
            by_rules.setdefault(with_followers(rules), []).append(f"`{column}`")
        for rules, names in by_rules.items():
            scan = " (that scan's)" if sheet == "scans" else ""
            rows.append((f"`{sheet}.tsv`: {', '.join(names)}", _list(rules) + scan))
    rows += [
        ("a row added to `scans.tsv`", f"every rule for that scan; {_list(with_followers(['screen']))}"),
        ("a row taken out of `scans.tsv`", _list(with_followers(["screen"]))),
        ("a scoring form", _list(with_followers(["scores"]))),
        ("a foreign map's file", f"{_list(with_followers(['tissues']))} (that scan's)"),
        (
            f"with `keep_images: false`: whatever runs {' '.join(f'`{rule}`' for rule in READS_IMAGES)} or a sweep of "
            "a scan again; and `keep_images` set to true later",
            f"{_list(with_followers(['convert']))} (that scan's)",
        ),
        ("a correction in `edits/`", f"{_list(with_followers(['review']))} (that scan's)"),
        ("code, a library's or Python's version", "the rules whose scripts import it, and what follows"),
        ("time stamps of code, sheets or sources; comments; docstrings; a default written out", "nothing"),
        ("files added to a source", "nothing, before `./calciflow refresh`; then `index` and what it changes"),
        (
            "`results/` moved without `.snakemake`",
            "everything, after a warning: what was known of the results lies in `.snakemake`",
        ),
    ]
    lines = ["| what changes | what runs again |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {what} | {rules} |" for what, rules in rows)]) + "\n"


def _list(rules: Iterable[str]) -> str:
    return " ".join(f"`{rule}`" for rule in rules)
