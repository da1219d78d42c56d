"""What a reader changed, on the pages."""

import pandas as pd

from calciflow.pages.tables import Table, table

VIEW = (
    "participant_id session_id acquisition lesion_id lesion_uid action value machine_value reader edit_reason outcome "
    "note"
).split()
EDIT_TEXTS = ("action", "value", "machine_value", "reader", "edit_reason", "outcome", "note")
"""Columns of the record of edits that stay text."""


def reviewed(lesions: pd.DataFrame) -> pd.DataFrame:
    """Lesions with an empty cell ``review`` where no reader was: a page without edits shows no such column."""
    if "review" not in lesions:
        return lesions
    return lesions.assign(review=lesions["review"].where(lesions["review"] != "machine"))


def review_table(record: pd.DataFrame, *, one_scan: bool) -> Table:
    """Make the table of edits.

    Parameters
    ----------
    one_scan
        Whether all edits are of one scan: the columns that name it are left out.
    """
    keys = VIEW[3:] if one_scan else VIEW
    return table(record, keys, drop_empty=("acquisition", "lesion_id", "value", "machine_value", "note"))
