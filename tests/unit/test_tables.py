"""Tables: BIDS missing values, numbers that stay numbers, nothing that a spreadsheet would run."""

import numpy as np
import pandas as pd
import pytest

from calciflow.tables import cell, neutral, read_table, write_table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "n/a"),
        (float("nan"), "n/a"),
        (np.inf, "n/a"),
        ("", "n/a"),
        (0.0, "0"),
        (-0.0, "0"),
        (1 / 3, "0.333333"),
        (1234567.0, "1.23457e+06"),
        (np.int16(-3), "-3"),
        (True, "true"),
        ("CT+PET-", "CT+PET-"),
        (["a", "b"], "a;b"),
        ([], "n/a"),
    ],
)
def test_cells(value, text):
    assert cell(value) == text


@pytest.mark.parametrize("word", ["=1+1", "+cmd|' /C calc'!A0", "@SUM(A1)", "-2+3", "\t=1"])
def test_formulas_are_disarmed(word):
    assert neutral(word).startswith("'")


@pytest.mark.parametrize("word", ["-3.5", "+7", "1e-3", "left", "-1e5"])
def test_numbers_and_words_stay(word):
    assert neutral(word) == word


def test_structure_cannot_come_from_a_cell():
    assert neutral("a\tb\nc\u2028d\x00e") == "a b c d e"


def test_round_trip(tmp_path):
    path = tmp_path / "t.tsv"
    rows = [
        {"participant_id": "sub-01", "x": 1.5, "s": 'a "quote'},
        {"participant_id": "sub-02", "x": None, "s": "001"},
    ]
    write_table(path, rows, ["participant_id", "x", "s"])
    assert path.read_text() == 'participant_id\tx\ts\nsub-01\t1.5\ta "quote\nsub-02\tn/a\t001\n'
    table = read_table(path, text_columns=["s"])
    assert table["x"].tolist()[0] == 1.5
    assert np.isnan(table["x"].tolist()[1])
    assert table["s"].tolist() == ['a "quote', "001"]


def test_a_table_without_rows_is_a_table(tmp_path):
    path = tmp_path / "t.tsv"
    write_table(path, [], ["a", "b"])
    assert path.read_text() == "a\tb\n"
    assert read_table(path).columns.tolist() == ["a", "b"]


def test_a_column_without_a_place_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="extra"):
        write_table(tmp_path / "t.tsv", pd.DataFrame({"a": [1], "extra": [2]}), ["a"])
