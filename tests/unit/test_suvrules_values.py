"""Header texts as numbers: what is missing, wrong, and small but right."""

import pytest

from calciflow.errors import Refusal
from calciflow.suvrules.values import compact, number, numbers_per_slice, per_slice, positive, words


@pytest.mark.parametrize(("given", "found"), [("0.5", 0.5), (1e-7, 1e-7), (" 70 ", 70.0), ("7e1", 70.0)])
def test_any_number_above_zero_is_taken(given, found):
    # PatientWeight, doses in other units and Philips' factors go far below 1
    assert positive(given, "dose", "missing", "wrong", "give it") == found


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (None, "missing"),
        ("", "missing"),
        ([], "missing"),
        ("0", "missing"),
        (-0.5, "wrong"),
        ("seventy", "wrong"),
        ("7_0", "wrong"),
        ("nan", "wrong"),
        ("inf", "wrong"),
        (True, "wrong"),
        (["70", "80"], "wrong"),
    ],
)
def test_what_is_missing_and_what_is_wrong_are_told_apart(given, code):
    with pytest.raises(Refusal) as refusal:
        positive(given, "dose", "missing", "wrong", "give it")
    assert refusal.value.code == code
    assert "RadionuclideTotalDose (0018,1074)" in str(refusal.value)


def test_a_missing_value_is_no_number():
    assert number("") is None


def test_values_of_slices_are_as_many_as_the_slices():
    header = {"number": 3, "slices": {"slope": ["1.5", "two"]}}
    assert per_slice(header, "slope") == ["1.5", "two", None]
    assert numbers_per_slice(header, "slope") == [1.5, None, None]
    assert per_slice(header, "intercept") == [None, None, None]
    assert per_slice({}, "slope") == []


def test_only_what_is_the_same_in_all_slices_becomes_one_number():
    assert compact([60.0, 60.0]) == 60.0
    assert compact([60.0, 61.0]) == [60.0, 61.0]
    assert compact([]) == []


def test_words_of_a_missing_value_are_none_and_not_the_word_none():
    assert words(None) == []
    assert words(" attn ") == ["ATTN"]
    assert words(["decy", " ", "SCAT"]) == ["DECY", "SCAT"]
