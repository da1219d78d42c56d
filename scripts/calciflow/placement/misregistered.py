"""Lesions where PET and CT do not lie on each other: what can still be said of them, and what cannot."""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import pandas as pd

FLAG = "misregistered"


def mark_misregistered(rows: Sequence[MutableMapping[str, Any]], registration: Mapping[str, Any]) -> int:
    """Flag the lesions of misregistered regions, in place, and take back what their concordance cannot carry.

    Uptake that lies beside its deposit reads as no uptake of the deposit: "negative" there becomes "indeterminate".
    A pair that was found stays a pair, and uptake alone stays listed; both carry the flag.

    Parameters
    ----------
    registration
        Sidecar of ``register``: ``misregistered`` lists sides and regions ("left hand").

    Returns
    -------
    int
        Number of lesions flagged.
    """
    regions = set(registration.get("misregistered") or ())
    count = 0
    for row in rows:
        sides = ("left", "right") if row.get("side") == "midline" else (row.get("side"),)
        if not any(f"{side} {row.get('region')}" in regions for side in sides):
            continue
        given = row.get("flags")
        flags = [] if given is None or pd.isna(given) else str(given).split(";")
        row["flags"] = ";".join(sorted({*flags, FLAG}))
        if row.get("pet_status") == "negative":
            row["pet_status"] = "indeterminate"
        count += 1
    return count
