"""The sweep: which values run, what is compared, and what the report shows of it."""

import pandas as pd
import pytest

from calciflow.config_file import read_config
from calciflow.errors import StudyError
from calciflow.pages.sweep_views import contrast_words, interval_text, span_ticks, swept_parameters
from calciflow.sweep import SWEEP_COLUMNS, compare_runs
from calciflow.sweeps import sweep_runs
from calciflow.tables import read_table, write_table


def runs(sweep, **sections):
    return [(run.folder, run.own) for run in sweep_runs(read_config({"sweep": sweep, **sections}))]


def test_the_studys_own_value_is_among_the_values():
    assert runs({"lesions.hu_floor": [100, 200.0]}) == [
        ("lesions.hu_floor=100", False),
        ("lesions.hu_floor=130", True),
        ("lesions.hu_floor=200", False),
    ]
    assert runs({"lesions.hu_floor": [100, 130, 200]}) == runs({"lesions.hu_floor": [200, 100]})
    own = runs({"lesions.pet_threshold": ["41%", "SUV10"]}, lesions={"pet_threshold": "SUV15"})
    assert own == [
        ("lesions.pet_threshold=SUV15", True),
        ("lesions.pet_threshold=41%", False),
        ("lesions.pet_threshold=SUV10", False),
    ]
    assert runs({}) == []


def test_values_are_those_of_the_stage():
    found = {run.text: run.value for run in sweep_runs(read_config({"sweep": {"lesions.pet_fwhm_mm": [6, 7.5]}}))}
    assert found == {"none": None, "6": 6.0, "7.5": 7.5}
    sites = sweep_runs(read_config({"sweep": {"lesions.injection_sites": [["left elbow"]]}}))
    assert [run.folder for run in sites] == ["lesions.injection_sites=none", "lesions.injection_sites=left_elbow"]


@pytest.mark.parametrize(
    ("sweep", "says"),
    [
        ({"lesions.hu_flor": [100]}, ["`lesions.hu_flor`", "Is `lesions.hu_floor` meant?"]),
        ({"hu_floor": [100]}, ["`hu_floor`"]),
        ({"cohort.ci_level": [0.9]}, ["`cohort.ci_level`", "cannot be swept"]),
        ({"lesions.hu_floor": ["high"]}, ["'high'", "`lesions.hu_floor`"]),
        ({"lesions.pet_threshold": ["SUV11"]}, ["'SUV11'", "SUV10"]),
        ({"scores.form": ["../$x"]}, ["`scores.form`", "folder"]),
    ],
)
def test_faults_name_the_key(sweep, says):
    with pytest.raises(StudyError) as caught:
        sweep_runs(read_config({"sweep": sweep}))
    for text in ("config/config.yaml", "`sweep`", *says):
        assert text in str(caught.value)


PEOPLE = {
    "n_lesions": (4, 6), "n_ct_pet": (2, 3), "n_ct_only": (1, 2), "n_pet_only": (1, 1), "n_indeterminate": (0, 1),
    "n_subcutaneous": (3, 3), "n_muscle": (1, 3), "n_set_aside": (0, 0), "n_dropped": (9, 8), "volume_ml": (1.0, 3.0),
    "tlf": (2.0, 8.0), "hydroxyapatite_mg": (100.0, 300.0), "score_ct": (3, 5), "score_pet": (3, 4),
    "score_petct": (4, 6), "score_clinical": (3, 4),
}  # fmt: skip


def tables(folder, extra=0):
    folder.mkdir()
    rows = [
        {name: values[i] + (extra if name == "n_lesions" else 0) for name, values in PEOPLE.items()} for i in (0, 1)
    ]
    rows = [{"participant_id": f"sub-0{i}", "session_id": "ses-01", "muscle_involved": i == 1, **r} for i, r in
            enumerate(rows)]  # fmt: skip
    rows.append({"participant_id": "sub-09"})  # refused: not measured, not zero
    names = ["participant_id", "session_id", "muscle_involved", *PEOPLE]
    write_table(folder / "participants.tsv", rows, names)
    columns = "analysis outcome group_a group_b n estimate ci_low ci_high ci_level p_exact".split()
    primary = {"analysis": "primary", "outcome": "total_score", "group_a": "petct", "group_b": "clinical", "n": 2}
    tested = [
        {**primary, "estimate": 1.5 + extra, "ci_low": 0.5, "ci_high": 3.0, "ci_level": 0.9, "p_exact": 0.0123},
        {**primary, "analysis": "increment", "estimate": None, "p_exact": 0.0456},
        {**primary, "analysis": "detection_by_region", "estimate": 1.0},
    ]
    write_table(folder / "statistics.tsv", tested, columns)
    return folder


def swept(tmp_path):
    folders = [tables(tmp_path / "a"), tables(tmp_path / "b", extra=2)]
    told = [
        {"parameter": "lesions.hu_floor", "value": "100", "own": False},
        {"parameter": "lesions.hu_floor", "value": "130", "own": True},
    ]
    compare_runs(
        participants=[str(folder / "participants.tsv") for folder in folders],
        statistics=[str(folder / "statistics.tsv") for folder in folders],
        table=str(tmp_path / "sweep.tsv"),
        runs=told,
    )
    return read_table(tmp_path / "sweep.tsv", text_columns=("value", "own"))


def value(table, run, outcome, **where):
    rows = table[(table["value"] == run) & (table["outcome"] == outcome)]
    for name, wanted in where.items():
        rows = rows[rows[name] == wanted]
    assert len(rows) == 1
    return rows.iloc[0]


def test_quantities_of_each_run(tmp_path):
    table = swept(tmp_path)
    assert list(table.columns) == SWEEP_COLUMNS
    assert value(table, "100", "deposits")["estimate"] == 10
    assert value(table, "130", "deposits")["estimate"] == 14
    assert value(table, "100", "deposits")["n"] == 2, "the refused one is nobody's zero"
    assert value(table, "100", "volume_ml")["estimate"] == 2.0
    assert value(table, "100", "muscle involved")["estimate"] == 1
    assert value(table, "100", "total_score", group_a="clinical", kind="scores")["estimate"] == 3.5
    primary = value(table, "130", "total_score", analysis="primary")
    assert tuple(primary[["estimate", "ci_low", "ci_high"]]) == (3.5, 0.5, 3.0)
    assert "increment" not in set(table["analysis"]), "an estimate that does not exist is no row"


def test_no_p_in_a_sweep(tmp_path):
    swept(tmp_path)
    text = (tmp_path / "sweep.tsv").read_text()
    assert "0.0123" not in text
    assert not any(name.startswith("p_") for name in text.splitlines()[0].split("\t"))


def test_views(tmp_path):
    (view,) = swept_parameters(swept(tmp_path))
    assert (view.name, view.own) == ("lesions.hu_floor", "130")
    assert view.primary == "total score, PET/CT against the clinical examination"
    assert [line.name for line in view.estimates.lines] == ["100", "130 (own)"]
    first, second = view.estimates.lines
    assert first.low < first.place < first.high
    assert first.low == second.low, "the same number, the same place"
    assert second.place > first.place
    assert view.estimates.zero < first.low
    assert [line.total for line in view.deposits.lines] == ["10", "10"]
    widths = [segment.width for segment in view.deposits.lines[0].segments]
    assert widths[0] / widths[1] == pytest.approx(5 / 3, rel=0.01)
    assert len(view.scores.lines[0].marks) == 4
    assert view.table.rows[0][0].text == "estimates", "estimates first"
    assert view.table.rows[0][3].text == "3.5 (0.5 to 3)"


def test_views_without_anything():
    empty = pd.DataFrame(columns=list(SWEEP_COLUMNS))
    assert swept_parameters(empty) == []


def test_a_value_without_an_estimate_leaves_its_line_out_and_zero_scores_are_drawn(tmp_path):
    frame = swept(tmp_path)
    frame = frame[~((frame["value"] == "100") & (frame["analysis"] == "primary"))]
    (view,) = swept_parameters(frame)
    (line,) = view.estimates.lines
    assert line.name == "130 (own)"
    only_estimates = frame[frame["kind"] == "estimates"]
    (view,) = swept_parameters(only_estimates)
    assert view.deposits is None
    assert view.scores is None
    (view,) = swept_parameters(frame[frame["kind"] != "estimates"])
    assert view.estimates is None
    assert view.primary == ""


def test_an_estimate_without_an_interval_is_a_number_alone():
    assert interval_text({"estimate": 1.5, "ci_low": None, "ci_high": None}) == "1.5"
    assert interval_text({"estimate": 1.5, "ci_low": -0.5, "ci_high": 3.0}) == "1.5 (-0.5 to 3)"
    assert contrast_words({"outcome": "deposits", "group_a": None, "group_b": None}) == "deposits"


def test_ticks_span_a_single_value():
    ticks = span_ticks(2.0, 2.0)
    assert ticks[0] <= 1.0 < 2.0 < 3.0 <= ticks[-1]
