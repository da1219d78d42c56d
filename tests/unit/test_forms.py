"""Scoring forms: those that ship load, and mistakes are named with file, key and fix."""

from pathlib import Path

import pytest

from calciflow.errors import StudyError
from calciflow.forms import Row, halves, holds, load_form
from calciflow.labels import AXIAL_REGIONS, REGIONS

FORMS = Path(__file__).resolve().parents[2] / "config" / "forms"
SHIPPED = sorted(path.stem for path in FORMS.glob("*.yaml"))

GOOD = """\
name: mine
title: A form
source: project's own
regions:
  - {region: chest, sides: [midline]}
  - {region: hand, sides: [left, right], of: [hand, fingers]}
items:
  - measure: number
    grades:
      - {from: 1, points: 1}
      - {from: 5, points: 2}
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_at_least_three_forms_ship():
    assert {"presence", "extent", "activity"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_forms_load_and_name_their_source(name):
    form = load_form(FORMS / f"{name}.yaml")
    assert form.source == "project's own"
    covered = {place for row in form.rows for place in halves(row)}
    assert covered == {f"{side} {region}" for region in REGIONS for side in ("left", "right")}
    assert "possible myositis" in form.exclude_flags


def test_what_the_shipped_forms_can_total():
    """The totals that their first lines promise: 27, 108 and 100."""
    most = {}
    for name in ("presence", "extent", "activity"):
        form = load_form(FORMS / f"{name}.yaml")
        best = [item.grades[-1][1] if item.grades else 1 for item in form.items]
        most[name] = len(form.rows) * (max(best) if form.combine == "largest" else sum(best))
    assert most == {"presence": 27, "extent": 108, "activity": 100}


def test_defaults_and_rows(write):
    form = load_form(write(GOOD))
    assert form.rows == (
        Row("chest", "midline", ("chest",)),
        Row("hand", "left", ("hand", "fingers")),
        Row("hand", "right", ("hand", "fingers")),
    )
    assert form.modalities == ("ct", "pet", "petct")
    assert form.items[0].grades == ((1, 1), (5, 2))
    assert (form.combine, form.volume, form.min_imaged_fraction) == ("sum", "ct_first", 0.8)


@pytest.mark.parametrize(
    ("old", "new", "key", "fix"),
    [
        ("title: A form", "tittle: A form", "tittle", "did you mean title"),
        ("name: mine", "name: yours", "name", "write name: mine"),
        ("source: project's own\n", "", "source", "add source"),
        ("region: chest", "region: chets", r"regions\[0\].region", "did you mean chest"),
        ("[midline]", "[middle]", r"regions\[0\].sides\[0\]", "did you mean midline"),
        ("of: [hand, fingers]", "of: [hand, chest]", r"regions\[1\]", "take it out of one"),
        ("[left, right]", "[left, left]", r"regions\[1\].sides", "keep each word once"),
        ("measure: number", "measure: numbr", r"items\[0\].measure", "did you mean number"),
        ("from: 5", "from: 1", r"items\[0\].grades\[1\]", "must both rise"),
        ("from: 5", "from: five", r"items\[0\].grades\[1\].from", "correct the number"),
        ("items:", "combine: product\nitems:", "combine", "one of sum, largest"),
        ("items:", "min_imaged_fraction: 80\nitems:", "min_imaged_fraction", "correct the number"),
        ("items:", "total: mean\nitems:", "total", "one of sum"),
        (
            "items:",
            "modalities: [ct]\nitems:\n  - {measure: tlf, grades: value}",
            r"items\[0\].measure",
            "add one of pet",
        ),
        ("items:", "lesions: {compartments: [muscles]}\nitems:", "lesions.compartments", "did you mean muscle"),
        ("title: A form", "title: 7", "title", "write it as a line of text"),
        ("sides: [midline]", "sides: midline", r"regions\[0\].sides", "write a list such as"),
        ("region: chest", "region: Chest", r"regions\[0\].region", "small letters, digits and _"),
        ("region: chest", "region: total", r"regions\[0\].region", "not 'total'"),
        ("region: chest", "region: zzzz", r"regions\[0\].region", "say which regions it takes together"),
        ("of: [hand, fingers]}", "of: [hand]}\n  - {region: hand, sides: [left]}", r"regions\[2\]", "keep one of the"),
        ("  - {region: hand", "  - hand\n  - {region: hand", r"regions\[1\]", "write the keys region, sides, of"),
        ("items:", "lesions: {exclude_flags: possible myositis}\nitems:", "lesions.exclude_flags", "write [possible"),
        ("items:\n", "items:\n  - {measure: number, grades: 3}\n", r"items\[0\].grades", "write lines like"),
        ("from: 5, points: 2", "from: 5, points: 1", r"items\[0\].grades\[1\]", "must both rise"),
        ("from: 1, points: 1", "from: true, points: 1", r"items\[0\].grades\[0\].from", "correct the number"),
        ("title: A form", "title: [A", "no valid yaml", "correct that line"),
        ("title: A form", "title: A form\ntitle: B", "no valid yaml", "correct that line"),
        ("title: A form", "title: !!python/object/apply:os.system [echo]", "no valid yaml", "correct that line"),
    ],
)
def test_mistakes_name_file_key_and_fix(write, old, new, key, fix):
    assert old in GOOD
    with pytest.raises(StudyError, match=key) as error:
        load_form(write(GOOD.replace(old, new, 1)))
    assert "mine.yaml" in str(error.value)
    assert fix in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "- a\n- b\n", "just words", "regions: 3", GOOD.split("regions")[0] + "regions: 3\nitems: []\n"]
)
def test_files_that_are_no_form(write, text):
    with pytest.raises(StudyError, match=r"mine\.yaml"):
        load_form(write(text))


def test_a_form_that_is_not_there(tmp_path):
    with pytest.raises(StudyError, match=r"none\.yaml: there is no such file"):
        load_form(tmp_path / "none.yaml")


def test_a_lesion_on_the_midline_counts_on_both_sides_of_the_trunk():
    left = Row("pelvis", "left", ("pelvis",))
    assert holds(left, "pelvis", "left")
    assert not holds(left, "pelvis", "right")
    assert holds(left, "pelvis", "midline")
    assert holds(Row("pelvis", "midline", ("pelvis",)), "pelvis", "right")
    assert not holds(left, "abdomen", "left")
    assert "pelvis" in AXIAL_REGIONS


def test_regions_and_items_are_lists(write):
    head, tail = GOOD.split("items:")
    with pytest.raises(StudyError, match="key items: must be a list"):
        load_form(write(head + "items: 3\n"))
    title = GOOD.split("regions:")[0]
    with pytest.raises(StudyError, match="key regions: must be a list"):
        load_form(write(title + "regions: hand\nitems:" + tail))
