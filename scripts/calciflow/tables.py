"""Tab-separated tables as BIDS wants them: ``n/a`` for what is missing, no spreadsheet formulas.

pandas is loaded by those who read tables: half of the jobs only write some, and it takes 0.3 s.
"""

import io
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calciflow.files import write_text

if TYPE_CHECKING:
    import pandas as pd

MISSING = "n/a"
_FORMULA = re.compile(r"^[=+\-@\t\r]")
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
# The fixed words of concordance begin with letters; only free text is ever changed.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


def neutral(text: str) -> str:
    """Take from a string what a table or a spreadsheet would read as structure or as a formula."""
    text = _CONTROL.sub(" ", text).strip()
    if _FORMULA.match(text) and not _NUMBER.match(text):
        return "'" + text
    return text


def _is_na(value: Any) -> bool:
    pandas = sys.modules.get("pandas")  # only who has loaded it can hold its NA
    return pandas is not None and value is pandas.NA


def cell(value: Any) -> str:
    """Turn a value into a cell: floats with six significant digits, missing values as ``n/a``."""
    if value is None or _is_na(value):
        return MISSING
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        number = float(value)
        if not np.isfinite(number):
            return MISSING
        return "0" if number == 0 else f"{number:.6g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return neutral(";".join(str(item) for item in value)) or MISSING
    return neutral(str(value)) or MISSING


def write_table(path: str | Path, rows: "Iterable[Mapping[str, Any]] | pd.DataFrame", columns: Sequence[str]) -> None:
    """Write rows with exactly these columns, in this order.

    Raises
    ------
    ValueError
        If a row has a column that is not in ``columns`` (it would be lost silently).
    """
    records: Any = rows.to_dict("records") if hasattr(rows, "to_dict") else rows
    lines = ["\t".join(columns)]
    for row in records:
        extra = set(row) - set(columns)
        if extra:
            raise ValueError(f"{Path(path).name}: columns without a place: {sorted(extra)}")
        lines.append("\t".join(cell(row.get(column)) for column in columns))
    write_text(path, "\n".join(lines) + "\n")


def read_table(path: str | Path, text_columns: Sequence[str] = ()) -> "pd.DataFrame":
    """Read a table; ``n/a`` and empty cells become missing, numbers become numbers.

    ``text_columns`` stay strings whatever they look like. A column of strings keeps dtype ``object``.
    """
    import pandas as pd

    text = Path(path).read_text(encoding="utf-8-sig")
    ids = ("participant_id", "session_id", "acquisition", "lesion_uid", "region", "side", "modality")
    return pd.read_csv(
        io.StringIO(text),
        sep="\t",
        na_values=[MISSING, ""],
        keep_default_na=False,
        dtype=dict.fromkeys((*ids, *text_columns), object),
        quoting=3,  # BIDS tables have no quotes; a stray one must not swallow lines
    )
