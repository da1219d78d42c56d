"""``make selftest`` passes, and can fail."""

import dataclasses

import pytest

from calciflow import selftest
from calciflow.selftest_cases import TRIALS


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
def test_trial(trial):
    result = selftest.outcome(trial)
    assert selftest.passes(trial, result), result


def test_names_are_unique():
    assert len({trial.name for trial in TRIALS}) == len(TRIALS)


def test_the_table_says_how_many_pass(capsys):
    assert selftest.main() == 0
    assert f"{len(TRIALS)} of {len(TRIALS)} pass" in capsys.readouterr().out


def test_a_wrong_factor_a_missing_warning_and_a_missing_refusal_fail():
    trial = TRIALS[0]
    result = selftest.outcome(trial)
    assert not selftest.passes(dataclasses.replace(trial, expected=trial.expected * 1.00001), result)
    assert not selftest.passes(dataclasses.replace(trial, warning="tracer"), result)
    assert not selftest.passes(dataclasses.replace(trial, expected="units"), result)


def test_a_failure_makes_the_exit_code(monkeypatch, capsys):
    import calciflow.selftest_cases as cases

    monkeypatch.setattr(cases, "TRIALS", (dataclasses.replace(TRIALS[0], expected=1.0),))
    assert selftest.main() == 1
    assert "FAIL" in capsys.readouterr().out


def test_every_code_but_none_other_is_tried():
    from calciflow.suvrules.codes import CODES

    refusals = {trial.expected for trial in TRIALS if isinstance(trial.expected, str)}
    assert refusals == set(CODES)
