"""Verdict codes: every refusal in the code has one that is documented, and the documented ones are used."""

import ast
from pathlib import Path

import pytest

from calciflow import codes
from calciflow.dicom.codes import CODES

LIBRARY = Path(codes.__file__).parent
BY_THE_WORKFLOW = {"excluded", "internal"}  # verdicts that no refusal stands behind


def refusals() -> dict[str, list[str]]:
    """Code of each ``Refusal("code", ...)`` in the library, and where it stands."""
    found: dict[str, list[str]] = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "Refusal"
                and node.args
            ):
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    found.setdefault(str(first.value), []).append(f"{path.name}:{node.lineno}")
    return found


def test_every_refusal_has_a_documented_code() -> None:
    unknown = {code: places for code, places in refusals().items() if code not in codes.CODES}
    assert not unknown


def test_every_documented_code_is_used() -> None:
    assert set(CODES) <= set(refusals()) | BY_THE_WORKFLOW


@pytest.mark.parametrize("code", sorted(CODES))
def test_meaning_and_remedy_are_sentences(code: str) -> None:
    assert code == code.lower().strip()
    for text in CODES[code]:
        assert text[0].isupper()
        assert text.endswith(".")
        assert "|" not in text, "it stands in a Markdown table"
