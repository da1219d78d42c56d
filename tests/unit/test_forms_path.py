"""Where a scoring form is found."""

import pytest

from calciflow.errors import StudyError
from calciflow.forms_path import find_form, form_of_job


@pytest.fixture
def places(tmp_path):
    study, repository = tmp_path / "study", tmp_path / "code"
    for root, names in ((study, ("mine",)), (repository, ("extent", "presence"))):
        (root / "config" / "forms").mkdir(parents=True)
        for name in names:
            (root / "config" / "forms" / f"{name}.yaml").write_text("title: a form\n")
    return study, repository


def test_the_study_goes_before_the_repository(places):
    study, repository = places
    assert find_form("mine", *places) == "config/forms/mine.yaml"
    assert find_form("extent", *places) == str(repository / "config/forms/extent.yaml")
    (study / "config/forms/extent.yaml").write_text("title: ours\n")
    assert find_form("extent", *places) == "config/forms/extent.yaml"
    (study / "own.yml").write_text("title: ours\n")
    assert find_form("own.yml", *places) == "own.yml"


def test_a_form_that_is_nowhere_names_those_that_are_there(places):
    for name in ("extend", "extend.yaml"):
        with pytest.raises(StudyError, match=rf"`{name}`.*extent, presence\."):
            find_form(name, *places)


def test_a_job_looks_from_the_study_and_from_its_shim(places, monkeypatch):
    study, repository = places
    monkeypatch.chdir(study)
    (repository / "scripts").mkdir()
    assert form_of_job("mine", str(repository / "scripts" / "scores.py")) == "config/forms/mine.yaml"
    assert form_of_job("presence", str(repository / "scripts" / "scores.py")).startswith(str(repository))
