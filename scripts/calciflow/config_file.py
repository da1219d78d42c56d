"""A study's config: checked against the settings, and the files that are generated from them.

``python -m calciflow.config_file REPOSITORY`` writes ``config/config.yaml`` (the demo study's), ``config/schema.json``
and the tables inside ``config/README.md``.
"""

import difflib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from calciflow.edits.sheet import ACTIONS, EDIT_COLUMNS
from calciflow.errors import StudyError
from calciflow.files import write_text
from calciflow.reruns import rerun_table
from calciflow.settings import Config
from calciflow.sheets import CLINICAL_COLUMNS, PARTICIPANT_COLUMNS, SCAN_COLUMNS

DEMO = {"clinical_scores": "config/clinical_scores.tsv"}
"""What the demo study's config says beside the defaults."""


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.default, BaseModel)


def read_config(content: Mapping[str, Any], name: str = "config/config.yaml") -> Config:
    """Check a config and fill in the defaults.

    Raises
    ------
    StudyError
        With one line for each unknown key (and the nearest known one) and each bad value.
    """
    # A section whose keys are all commented out is read as None.
    given = {
        key: {} if value is None and key in Config.model_fields and _is_section(Config.model_fields[key]) else value
        for key, value in content.items()
    }
    try:
        return Config.model_validate(given)
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        raise StudyError(f"{name}:\n" + "\n".join(f"  {line}" for line in lines)) from None


def _explain(item: Mapping[str, Any]) -> str:
    place = [str(part) for part in item["loc"]]
    dotted = ".".join(place)
    if item["type"] == "extra_forbidden":
        known = _keys(place[:-1])
        near = difflib.get_close_matches(place[-1], known, 1, cutoff=0.5)
        elsewhere = [path for path in all_keys() if path.split(".")[-1] == place[-1]]
        if elsewhere:
            meant = f"It belongs into its section: `{elsewhere[0]}`."
        elif near:
            meant = f"Is `{'.'.join([*place[:-1], near[0]])}` meant?"
        else:
            meant = f"Known here: {', '.join(known) or 'no key'}."
        return f"unknown key `{dotted}`. {meant}"
    return f"key `{dotted}`: {item['input']!r} won't do. {item['msg']}."


def _keys(place: list[str]) -> list[str]:
    if not place:
        return list(Config.model_fields)
    field = Config.model_fields.get(place[0])
    return list(type(field.default).model_fields) if field is not None and _is_section(field) else []


def all_keys() -> list[str]:
    """Every key, dotted, in the order of the config."""
    keys = []
    for name, field in Config.model_fields.items():
        if _is_section(field):
            keys += [f"{name}.{key}" for key in type(field.default).model_fields]
        else:
            keys.append(name)
    return keys


def _unit(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra.get("unit", "-")) if isinstance(extra, dict) else "-"


def _default(value: Any) -> str:
    if isinstance(value, tuple):
        value = list(value)
    return json.dumps(value, ensure_ascii=False)


def _wrapped(text: str, width: int, lead: str) -> list[str]:
    lines, line = [], lead
    for word in text.split():
        if len(line) + len(word) + 1 > width and line != lead:
            lines.append(line)
            line = lead
        line += word if line == lead else f" {word}"
    return [*lines, line]


def commented_yaml(overrides: Mapping[str, Any]) -> str:
    """Give the config with every key commented out at its default, but for ``overrides``."""
    lines = [
        "# A study's config: only what differs from the defaults. Every key is here, commented out, at its default.",
        "# Written from scripts/calciflow/settings.py by `make config`; config/README.md explains each key.",
    ]

    def entry(name: str, field: FieldInfo, indent: str, given: Mapping[str, Any]) -> None:
        unit = _unit(field)
        lines.append("")
        tail = "" if unit == "-" else f" [{unit}]"
        lines.extend(_wrapped(f"{field.description}{tail}", 118, f"{indent}# "))
        if name in given:
            lines.append(f"{indent}{name}: {_default(given[name])}")
        else:
            lines.append(f"{indent}# {name}: {_default(field.default)}")

    for name, field in Config.model_fields.items():
        if not _is_section(field):
            entry(name, field, "", overrides)
            continue
        section = type(field.default)
        lines += ["", f"{name}: # {(section.__doc__ or '').strip().splitlines()[0]}"]
        for key, inner in section.model_fields.items():
            entry(key, inner, "  ", overrides.get(name, {}))
    return "\n".join(lines) + "\n"


def key_table() -> str:
    """Give the markdown table of all keys."""
    lines = ["| key | default | unit | what it does |", "| --- | --- | --- | --- |"]
    for name, field in Config.model_fields.items():
        fields = type(field.default).model_fields if _is_section(field) else {"": field}
        for key, inner in fields.items():
            dotted = f"{name}.{key}" if key else name
            text = str(inner.description).replace("|", "\\|")
            lines.append(f"| `{dotted}` | `{_default(inner.default)}` | {_unit(inner)} | {text} |")
    return "\n".join(lines) + "\n"


def column_table(columns: Mapping[str, str], what: str = "column") -> str:
    """Give the markdown table of a sheet's columns, or of other words."""
    lines = [f"| {what} | what it means |", "| --- | --- |"]
    lines += [f"| `{name}` | {text} |".replace("\n", " ") for name, text in columns.items()]
    return "\n".join(lines) + "\n"


def code_table() -> str:
    """Give the markdown table of verdict codes."""
    from calciflow.codes import CODES

    lines = ["| code | meaning | remedy |", "| --- | --- | --- |"]
    lines += [f"| `{code}` | {meaning} | {remedy} |" for code, (meaning, remedy) in CODES.items()]
    return "\n".join(lines) + "\n"


def output_tables() -> dict[str, str]:
    """Give the markdown tables of all result tables' columns, by marker."""
    from calciflow.columns import CAUSES, FLAGS, REGION_EXTENTS, TABLES

    words = {
        "flags": column_table(FLAGS, "flag"),
        "causes": column_table(CAUSES, "cause"),
        "regions": column_table(REGION_EXTENTS, "region"),
    }
    return {**{f"table:{name}": column_table(columns) for name, columns in TABLES.items()}, **words}


def generated(repository: Path) -> dict[Path, str]:
    """Give every generated file with its content; parts of ``config/README.md`` lie between markers."""
    schema = Config.model_json_schema()
    files = {
        repository / "config" / "config.yaml": commented_yaml(DEMO),
        repository / "config" / "schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
    }
    manual = repository / "config" / "README.md"
    text = manual.read_text(encoding="utf-8")
    from calciflow.resources import table as resource_table

    parts = {
        "keys": key_table(),
        "resources": resource_table(),
        "participants": column_table(PARTICIPANT_COLUMNS),
        "scans": column_table(SCAN_COLUMNS),
        "clinical_scores": column_table(CLINICAL_COLUMNS),
        "edits": column_table(EDIT_COLUMNS),
        "actions": column_table(ACTIONS, "action"),
        "codes": code_table(),
        "reruns": rerun_table(all_keys()),
        **output_tables(),
    }
    for marker, table in parts.items():
        begin, end = f"<!-- begin {marker} -->\n", f"<!-- end {marker} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise StudyError(f"config/README.md: the markers of `{marker}` are missing or doubled")
        before, rest = text.split(begin)
        text = before + begin + table + end + rest.split(end, 1)[1]
    files[manual] = text
    return files


if __name__ == "__main__":
    for path, content in generated(Path(sys.argv[1])).items():
        write_text(path, content)
        print(f"wrote {path}")
