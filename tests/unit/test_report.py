"""The cohort's report: its numbers, its words, its manners with few people, many people and hostile strings."""

import base64
import importlib.util
import io
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from calciflow.analyses import figures
from calciflow.forms import load_form
from calciflow.pages import palette
from calciflow.pages.agreement_chart import difference_plot
from calciflow.pages.charts import burden_plot, group_of, heat_map, log_ticks, nice_ticks, paired_plot, spread_plot
from calciflow.pages.cohort_views import flow_of, natural, pictures, prefix_of
from calciflow.pages.methods import settings_text, shown_parameters, write_methods
from calciflow.pages.readings import ANALYSES, read_row
from calciflow.report import write_report
from calciflow.settings import Config
from calciflow.tables import read_table

ROOT = Path(__file__).resolve().parents[2]
_SPEC = importlib.util.spec_from_file_location("page_inputs", Path(__file__).parent.parent / "page_inputs.py")
assert _SPEC is not None
assert _SPEC.loader is not None
inputs = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(inputs)


def written(folder: Path, **choices: Any) -> tuple[str, dict[str, Any]]:
    keywords: dict[str, Any] = inputs.cohort_files(folder, **choices)
    write_report(**keywords)
    return Path(keywords["page"]).read_text(encoding="utf-8"), keywords


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    return written(tmp_path_factory.mktemp("six"))


def rewritten(keywords: dict[str, Any], folder: Path, **changes: Any) -> str:
    """The report of the same cohort with other settings."""
    page = folder / "report.html"
    write_report(**(keywords | changes | {"page": str(page)}))
    return page.read_text(encoding="utf-8")


def statistic(**cells: Any) -> dict[str, Any]:
    row = {
        "analysis": "primary",
        "outcome": "total_score",
        "group_a": "petct",
        "group_b": "clinical",
        "n": 6,
        "estimate": 3.5,
        "ci_low": 1.0,
        "ci_high": 7.0,
        "ci_level": 0.96875,
        "effect_size": 1.0,
        "statistic": 21.0,
        "p_exact": 0.03125,
        "p_asymptotic": 0.02643,
        "p_attainable": 0.03125,
        "p_adjusted": math.nan,
        "method": "",
        "note": None,
    }
    return row | cells


class TestReadings:
    def test_the_papers_six_people(self) -> None:
        # Differences 1 1 2 2 7 7: exact 0.03125, the smallest that six pairs can give; asymptotic 0.02643.
        reading = read_row(statistic())
        assert reading.text == (
            "In total score, PET/CT is typically 3.5 higher than the clinical examination (96.9 % interval 1 to 7; "
            "n = 6). Exact p = 0.03125; asymptotic p = 0.02643; the smallest exact p that n and ties allow is 0.03125."
        )
        assert reading.caution == ""

    def test_three_against_three_cannot_reach_the_limit(self) -> None:
        row = statistic(
            analysis="groups", outcome="n_lesions", group_a="DM", group_b="SSc", p_exact=0.1, p_attainable=0.1
        )
        reading = read_row(row)
        assert "cannot reach 0.05" in reading.caution
        assert "n = 6" in reading.caution
        assert "0.100" in reading.caution

    def test_nothing_is_read_into_nothing(self) -> None:
        for empty in ({"n": 0, "estimate": math.nan}, {"estimate": math.nan}, {"n": 0}):
            reading = read_row(statistic(**empty))
            assert reading.text.startswith("Nothing to estimate (n = ")
            assert "p =" not in reading.text

    def test_lower_is_not_higher(self) -> None:
        assert "typically 2 lower than" in read_row(statistic(estimate=-2.0)).text
        assert "No typical difference" in read_row(statistic(estimate=0.0)).text

    def test_one_person_is_not_typical(self) -> None:
        row = statistic(analysis="score_comparison", n=1, estimate=-2.0, ci_low=math.nan, ci_high=math.nan)
        text = read_row(row).text
        assert "In the one person who has both, total score by PET/CT is 2 lower than by the clinical" in text
        assert "as high as by" in read_row(row | {"estimate": 0.0}).text
        summary = row | {"analysis": "lesion_summary", "outcome": "suv_max", "group_a": "muscle", "group_b": None}
        for reading in (text, read_row(summary).text):
            assert "typical" not in reading

    def test_points_have_their_interval_in_points(self) -> None:
        row = statistic(analysis="groups", outcome="muscle_involved", group_a="DM", group_b="SSc", n=20)
        row |= {"estimate": 0.6, "ci_low": 0.1705, "ci_high": 0.809, "ci_level": 0.95}
        assert "60 percentage points higher than SSc (95 % interval 17.1 to 80.9; n = 20)" in read_row(row).text
        assert "interval" not in read_row(row | {"ci_low": math.nan, "ci_high": math.nan}).text
        share = row | {"analysis": "increment", "outcome": "share_of_lesions"}
        assert "60 % of the deposits are on PET only (95 % interval 17.1 to 80.9; n = 20)" in read_row(share).text

    def test_a_ratio_of_a_model_is_not_read_as_a_difference(self) -> None:
        row = statistic(analysis="lesion_model", outcome="suv_max", group_a="muscle", group_b="subcutaneous")
        row |= {"estimate": 0.7, "ci_low": 0.5, "ci_high": 0.98, "ci_level": 0.95, "n": 24}
        reading = read_row(row)
        assert "SUVmax (g/ml) of muscle deposits is 0.7 times that of subcutaneous ones" in reading.text
        assert "higher" not in reading.text
        slope = read_row(row | {"outcome": "suv_mean", "group_a": "hu_mean", "group_b": None})
        assert slope.title == "SUVmean (g/ml) by mean HU"
        assert "Where the mean HU doubles, SUVmean (g/ml) is 0.7 times as high at the same volume" in slope.text

    def test_each_analysis_of_the_cohort_has_a_heading(self) -> None:
        code = "".join(path.read_text() for path in (ROOT / "scripts/calciflow/analyses").glob("*_rows.py"))
        code += (ROOT / "scripts/calciflow/analyses/rows.py").read_text()
        used = {name for name in re.findall(r'"([a-z_]+)"', code) if name in ANALYSES}
        assert used == set(ANALYSES)
        described = re.findall(r'(?:describe|paired|two_groups|_detection|_kappa)\(\s*"([a-z_]+)"', code)
        assert len(set(described)) > 8
        assert set(described) <= set(ANALYSES)

    def test_increment_has_no_p(self) -> None:
        row = statistic(
            analysis="increment", group_b="ct", p_exact=math.nan, p_asymptotic=math.nan, p_attainable=math.nan
        )
        assert " p " not in read_row(row).text

    @given(
        analysis=st.sampled_from([*ANALYSES, "something_new"]),
        outcome=st.sampled_from(
            ["total_score", "muscle_involved", "kappa_hand", "icc_agreement", "suv_max", "a_new_one"]
        ),
        group_b=st.sampled_from(["clinical", "ct", None]),
        n=st.integers(0, 300),
        estimate=st.floats(-50, 50) | st.just(math.nan),
        interval=st.booleans(),
        exact=st.floats(0, 1) | st.just(math.nan),
        asymptotic=st.floats(0, 1) | st.just(math.nan),
        attainable=st.floats(0.0001, 1),
    )
    @settings(max_examples=300, deadline=None)
    def test_every_reading_is_honest(
        self,
        analysis: str,
        outcome: str,
        group_b: str | None,
        n: int,
        estimate: float,
        interval: bool,
        exact: float,
        asymptotic: float,
        attainable: float,
    ) -> None:
        row = statistic(analysis=analysis, outcome=outcome, group_b=group_b, n=n, estimate=estimate)
        row |= {"p_exact": exact, "p_asymptotic": asymptotic, "p_attainable": attainable}
        if not interval:
            row |= {"ci_low": math.nan, "ci_high": math.nan, "ci_level": math.nan}
        reading = read_row(row)
        said = f"{reading.text} {reading.caution}"
        assert f"n = {n}" in reading.text
        assert "nan" not in said.lower()
        assert not re.search(r"signific|prove|establish|confirm|superior", said, re.IGNORECASE)
        if re.search(r"\bp [=<]", reading.text):
            assert "the smallest exact p that n and ties allow" in reading.text
        if attainable > 0.05 and n and not math.isnan(estimate):
            assert "cannot reach 0.05" in reading.caution
        if not interval:
            assert "interval" not in reading.text


class TestFlow:
    def test_everyone_is_somewhere(self) -> None:
        screening = pd.DataFrame(
            [
                {"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None, "verdict": "accepted"},
                {"participant_id": "sub-02", "session_id": "ses-01", "acquisition": "legs", "verdict": "accepted"},
                {
                    "participant_id": "sub-02",
                    "session_id": "ses-02",
                    "acquisition": None,
                    "verdict": "refused",
                    "code": "no_pet",
                    "reason": "why",
                },
                {
                    "participant_id": "sub-03",
                    "session_id": "ses-01",
                    "acquisition": None,
                    "verdict": "excluded",
                    "reason": "moved",
                },
            ]
        )
        flow = flow_of(screening, ["sub-02_ses-01_acq-legs"])
        assert (flow.enrolled, flow.people, flow.analysed) == (4, 3, 1)
        assert flow.unfinished == ["sub-02 ses-01 legs"]
        assert flow.refused == [("sub-02 ses-02", "no_pet", "why")]
        assert flow.excluded == [("sub-03 ses-01", "moved")]
        assert flow.enrolled == len(flow.excluded) + len(flow.refused) + len(flow.unfinished) + flow.analysed

    def test_prefix(self) -> None:
        assert prefix_of("results/sub-01/ses-02/sub-01_ses-02_acq-legs_qc.html") == "sub-01_ses-02_acq-legs"
        assert prefix_of("a/sub-01_ses-02_mip.png") == "sub-01_ses-02"
        assert prefix_of("sub-01_ses-02_desc-candidates_lesions.json") == "sub-01_ses-02"

    def test_people_in_the_order_of_numbers(self) -> None:
        assert sorted(["sub-10", "sub-9", "sub-100"], key=natural) == ["sub-9", "sub-10", "sub-100"]


class TestCharts:
    def test_ticks(self) -> None:
        assert nice_ticks(0) == [0.0, 1.0]
        assert nice_ticks(23) == [0, 5, 10, 15, 20, 25]
        assert nice_ticks(0.07)[-1] >= 0.07
        assert log_ticks(0.7, 13) == [0.5, 1, 2, 5, 10, 20]

    def test_pairs_lie_where_their_scores_are(self) -> None:
        rows = [("sub-01", 10.0, 5.0), ("sub-02", 20.0, 20.0)]
        comparison = pd.DataFrame(
            [
                {
                    "participant_id": p,
                    "session_id": "ses-01",
                    "modality": "petct",
                    "imaging_score": a,
                    "clinical_score": b,
                }
                for p, a, b in rows
            ]
        )
        plot = paired_plot(comparison, {"sub-01": "DM", "sub-02": "SSc"})
        assert plot is not None
        zero, top = plot.ticks[0].place, plot.ticks[-1].place
        scale = (zero - top) / float(plot.ticks[-1].text)
        for pair, (_, imaging, clinical) in zip(plot.pairs, rows, strict=True):
            assert pair.left.y == pytest.approx(zero - clinical * scale, abs=0.11)
            assert pair.right.y == pytest.approx(zero - imaging * scale, abs=0.11)
        assert plot.mean_words == ("12.5", "15")
        assert plot.pairs[0].left.shape != plot.pairs[1].left.shape
        assert paired_plot(comparison.iloc[:0], {}) is None

    def test_differences_lie_where_bland_and_altman_put_them(self) -> None:
        scores = {"sub-01": (12.0, 10.0), "sub-02": (20.0, 14.0), "sub-03": (8.0, 9.0)}  # differences 2 6 -1
        comparison = pd.DataFrame(
            [
                {
                    "participant_id": p,
                    "session_id": "ses-01",
                    "modality": "petct",
                    "imaging_score": a,
                    "clinical_score": b,
                }
                for p, (a, b) in scores.items()
            ]
        )
        plot = difference_plot(comparison, {"sub-01": "DM", "sub-02": "SSc"})
        assert plot is not None
        values = [(float(tick.text), tick.place) for tick in plot.y_ticks]
        (low, bottom), (high, top) = values[0], values[-1]
        bias, spread = 7 / 3, 1.96 * math.sqrt(((2 - 7 / 3) ** 2 + (6 - 7 / 3) ** 2 + (-1 - 7 / 3) ** 2) / 2)
        wanted = [bias, bias - spread, bias + spread]
        assert low <= wanted[1]
        assert wanted[2] <= high
        for level, value in zip(plot.levels, wanted, strict=True):
            assert level.y == pytest.approx(bottom + (value - low) * (top - bottom) / (high - low), abs=0.11)
        for mark, value in zip(plot.marks, (2, 6, -1), strict=True):
            assert mark.y == pytest.approx(bottom + (value - low) * (top - bottom) / (high - low), abs=0.11)
        assert len({mark.shape for mark in plot.marks}) == 3
        assert difference_plot(comparison.iloc[:1], {}) is None
        alike = difference_plot(comparison.assign(imaging_score=comparison["clinical_score"]), {})
        assert alike is not None
        assert [level.text for level in alike.levels] == ["mean 0"]

    def test_bars_add_up(self) -> None:
        lesions = pd.DataFrame(
            {
                "participant_id": ["sub-01"] * 3 + ["sub-02"],
                "compartment": ["muscle", "muscle", "skin", "skin"],
                "ct_volume_ml": [1.0, 2.0, math.nan, 3.0],
            }
        )
        people = [("sub-01", "DM"), ("sub-02", "SSc"), ("sub-03", "SSc")]
        counts, volumes = burden_plot(lesions, people), burden_plot(lesions, people, "ct_volume_ml")
        assert counts is not None
        assert volumes is not None
        assert [line.total for line in counts.lines] == ["3", "1", "0"]
        assert [line.total for line in volumes.lines] == ["3", "3", "0"]
        first, second = counts.lines[0].segments
        assert (first.title, second.title) == ("sub-01 DM: 1 skin", "sub-01 DM: 2 muscle")
        assert second.width == pytest.approx(2 * first.width, abs=0.2)
        assert second.x == pytest.approx(first.x + first.width, abs=0.2)

    def test_many_people_become_groups(self) -> None:
        people = [(f"sub-{i:03d}", "DM" if i % 2 else "SSc") for i in range(100)]
        lesions = pd.DataFrame({"participant_id": [p for p, _ in people], "compartment": "muscle"})
        plot = burden_plot(lesions, people)
        assert plot is not None
        assert [(line.name, line.total) for line in plot.lines] == [("SSc", "1"), ("DM", "1")]
        assert "100 people" in plot.note

    def test_spread_is_logarithmic(self) -> None:
        lesions = pd.DataFrame([inputs.lesion_row(1, suv_max=value) for value in (1.0, 10.0, 100.0)])
        plot = spread_plot(lesions, [("sub-01", "")], "suv_max")
        assert plot is not None
        x = [mark.x for mark in plot.lines[0].marks]
        assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)
        assert spread_plot(lesions.assign(suv_max=math.nan), [("sub-01", "")], "suv_max") is None

    def test_heat_map_counts_only_who_was_seen(self) -> None:
        scores = pd.DataFrame(
            [
                {"modality": m, "region": r, "side": s, "score": v}
                for m, r, s, v in (
                    ("ct", "hand", "left", 2.0),
                    ("ct", "hand", "left", 0.0),
                    ("ct", "hand", "left", math.nan),
                    ("ct", "head", "midline", math.nan),
                    ("ct", "neck", "midline", 0.0),
                    ("ct", "total", None, 2.0),
                )
            ]
        )
        heat = heat_map(scores)
        assert heat is not None
        assert heat.rows[0][0] == "left hand"
        assert (heat.rows[0][1][0].text, heat.rows[0][1][0].detail) == ("1 / 2", "1")
        assert (heat.unseen, heat.spared) == (["head"], ["neck"])
        assert len(heat.rows) == 1
        assert heat_map(scores.iloc[:0]) is None

    def test_nothing_to_draw_is_no_figure(self) -> None:
        columns = ["participant_id", "session_id", "modality", "imaging_score", "clinical_score"]
        alone = pd.DataFrame([("sub-01", "ses-01", "petct", 3.0, math.nan)], columns=columns)
        assert paired_plot(alone, {}) is None, "nobody has both scores"
        assert paired_plot(alone.iloc[:0], {}) is None
        lesions = pd.DataFrame({"participant_id": ["sub-01"], "compartment": ["muscle"], "ct_volume_ml": [math.nan]})
        assert burden_plot(lesions, [("sub-01", "DM")], "ct_volume_ml") is None
        assert burden_plot(lesions, []) is None
        assert spread_plot(lesions, [("sub-01", "DM")], "ct_volume_ml") is None
        assert spread_plot(lesions, [("sub-01", "DM")], "suv_max") is None

    def test_a_sheet_without_groups_has_none(self) -> None:
        assert group_of(pd.DataFrame({"participant_id": ["sub-01"]})) == {}
        people = pd.DataFrame({"participant_id": ["sub-01", "sub-02"], "group": ["DM", None]})
        assert group_of(people) == {"sub-01": "DM", "sub-02": ""}

    def test_pages_and_figures_share_their_colours(self) -> None:
        shared = {name: colour.upper() for name, colour in figures.COMPARTMENT_COLOURS.items()}
        assert shared == palette.COMPARTMENT_COLOURS


class TestMethods:
    def test_say_the_parameters_of_this_run(self) -> None:
        parameters = Config().model_dump(mode="json")
        parameters["suv"]["max_uptake_hours"] = 4.25
        text = " ".join(write_methods(parameters, 6, 6).paragraphs)
        assert "4.25 h" in text
        assert "total score, PET/CT against the clinical examination" in text
        assert "possible myositis" in text

    def test_every_setting_that_is_used_is_said(self) -> None:
        # Values that nothing else has, so that each is found in the text only if its own setting is said.
        for section in ("lesions", "compartments", "register", "tissues"):
            content = Config().model_dump(mode="json")[section] | {"a_new_setting_mm": 1.0}
            numbers = [key for key, value in content.items() if isinstance(value, float)]
            marked = content | {key: 7001.0 + place for place, key in enumerate(numbers)}
            marked |= {"pet_threshold": "absolute"} if section == "lesions" else {}
            marked |= {"mode": "limbs"} if section == "register" else {}
            text = settings_text(section, marked)
            for place, key in enumerate(numbers):
                assert str(7001 + place) in text, key

    def test_only_what_was_done_is_described_and_cited(self) -> None:
        parameters = Config().model_dump(mode="json")
        parameters["cohort"]["kappa_weights"] = "linear"
        bare = write_methods(parameters, 1, 1)
        full = write_methods(
            parameters, 40, 20, set(ANALYSES) | {"change"}, load_form(ROOT / "config/forms/extent.yaml")
        )
        said = (
            ("Mann-Whitney", "Mann HB"),
            ("kappa with linear weights", "Cohen J"),
            ("limits of agreement", "Bland JM"),
            ("intraclass correlation", "Shrout PE"),
            ("sign-flip", "Hartigan JA"),
            ("Spearman's", "Spearman C"),
            ("mixed models", "Laird NM"),
            ("0.76 to 1.32 times", "Lin C"),
        )
        for words, author in said:
            assert words in full.paragraphs[4]
            assert any(text.startswith(author) for text in full.references)
            assert words not in bare.paragraphs[4]
            assert not any(text.startswith(author) for text in bare.references)
        assert "Extent of calcinosis, grade 0 to 4 a region; source: project's own" in full.paragraphs[3]
        assert "The grade is the larger of two" in full.paragraphs[3]
        assert "{}" not in " ".join(full.paragraphs)
        assert "PERCIST" in full.paragraphs[2]
        numbers = {int(n) for n in re.findall(r"\[(\d+)\]", " ".join(full.paragraphs))}
        assert numbers == set(range(1, len(full.references) + 1))

    def test_every_setting_is_shown(self) -> None:
        parameters = Config().model_dump(mode="json")
        shown = {section: dict(pairs) for section, pairs in shown_parameters(parameters)}
        for section, content in parameters.items():
            if isinstance(content, dict) and content:
                assert set(shown[section]) == set(content)

    def test_settings_that_another_setting_turns_off_are_not_said(self) -> None:
        lesions = {"pet_threshold": "blood_pool", "suv_absolute": 4.125}
        assert "4.125" not in settings_text("lesions", lesions)
        assert "4.125" in settings_text("lesions", lesions | {"pet_threshold": "absolute"})
        assert settings_text("register", {"mode": "rigid", "limb_shift_mm": 31.5}).count("31.5") == 0
        assert "31.5" in settings_text("register", {"mode": "limbs", "limb_shift_mm": 31.5})
        assert settings_text("x", {"none": None, "empty": [], "flag": True, "word": "all"}) == "flag on; word all"

    def test_what_the_config_does_not_hold_is_not_claimed(self) -> None:
        text = " ".join(write_methods({}, 1, 1).paragraphs)
        assert "1 PET/CT scan of 1 person was analysed" in text
        assert "outside the plausible range" not in text
        assert "named beforehand" not in text
        assert "set aside" not in text

    def test_paths_of_sheets_stay_out(self) -> None:
        shown = str(shown_parameters({"participants": "/home/someone/Hospital/p.tsv", "clinical_scores": None}))
        assert "Hospital" not in shown
        assert "given" in shown

    def test_references_are_numbered_in_order(self) -> None:
        methods = write_methods(Config().model_dump(mode="json"), 1, 1)
        numbers = [int(n) for n in re.findall(r"\[(\d+)\]", " ".join(methods.paragraphs))]
        assert list(dict.fromkeys(numbers)) == list(range(1, len(methods.references) + 1))


class TestPage:
    def test_numbers_are_those_of_the_tables(self, six: tuple[str, dict[str, Any]]) -> None:
        page, keywords = six
        lesions = read_table(keywords["lesions"], text_columns=("flags",))
        counted = lesions[lesions["flags"].isna()]
        assert f"<dt>Deposits</dt><dd>{len(counted)}<small>" in page
        for kind in ("CT+PET+", "CT+PET-", "CT-PET+"):
            n = int(((counted["concordance"] == kind) & (counted["compartment"] == "subcutaneous")).sum())
            assert n > 0
        row = re.search(r"</span>subcutaneous</th>(.*?)</tr>", page)
        assert row is not None
        cells = [int(value) for value in re.findall(r'<td class="num">(?:<b>)?(\d+)', row.group(1))]
        wanted = counted[counted["compartment"] == "subcutaneous"].groupby("concordance").size()
        assert cells == [wanted["CT+PET+"], wanted["CT+PET-"], wanted["CT-PET+"], wanted.sum()]
        assert page.count("possible myositis") >= 1

    def test_says_who_was_left_out(self, six: tuple[str, dict[str, Any]]) -> None:
        page, _ = six
        assert "no_weight" in page
        assert "Series 4 has no body weight (0010,1030)" in page
        assert "<b>8</b><span>in the sheet" in page

    def test_links_lead_to_files(self, six: tuple[str, dict[str, Any]]) -> None:
        page, keywords = six
        folder = Path(keywords["page"]).parent
        links = {
            link.split("#")[0] for link in re.findall(r'href="([^"]+)"', page) if not link.startswith(("#", "data:"))
        }
        assert len(links) >= 6 + 6 + 4
        for link in links:
            assert (folder / link).is_file(), link

    def test_all_rows_stand_in_the_table(self, six: tuple[str, dict[str, Any]]) -> None:
        page, _ = six
        body = page.split('id="lesion-table"')[1].split("</table>")[0]
        assert body.count("<tr>") == 1 + 48

    def test_asks_nothing_of_anyone(self, six: tuple[str, dict[str, Any]]) -> None:
        page, _ = six
        assert not re.findall(r'(?:src|action)="(?!data:)[^"]*"', page)
        assert not re.findall(r'href="(?:https?:)?//', page)
        assert "@import" not in page

    def test_same_input_same_bytes(self, six: tuple[str, dict[str, Any]]) -> None:
        page, keywords = six
        again = Path(keywords["page"]).with_name("again.html")
        write_report(**(keywords | {"page": str(again)}))
        assert again.read_text(encoding="utf-8") == page

    def test_no_date(self, six: tuple[str, dict[str, Any]]) -> None:
        visible = re.sub(r"data:[^\"]+", "", six[0])
        assert not re.findall(r"\b20[2-9]\d-\d\d-\d\d", visible)

    def test_strings_from_outside_stay_text(self, tmp_path: Path) -> None:
        page, _ = written(tmp_path, people=2, hostile="<img src=x onerror=alert(1)>\"'</script>{{ 7 * 7 }}")
        assert "<img src=x" not in page
        assert "&lt;img src=x" in page
        assert "{{ 7 * 7 }}" in page
        assert page.count("</script>") == 1

    @pytest.mark.parametrize(
        ("choices", "texts"),
        [
            ({"people": 0}, ["No scan was analysed", "There is nobody to show", "No deposit was found"]),
            (
                {"people": 1, "clinical": False},
                ["One scan was analysed", "No clinical scores were given", "groups are not compared"],
            ),
            (
                {"people": 3, "lesions_each": 0, "refused": False},
                ["No deposit was found", "No scan was excluded or refused"],
            ),
        ],
    )
    def test_little_is_said_to_be_little(self, tmp_path: Path, choices: dict[str, Any], texts: list[str]) -> None:
        page, _ = written(tmp_path, **choices)
        for text in texts:
            assert text in page
        assert "nan" not in re.sub(r"<[^>]+>|data:[^\"]+", " ", page).split()

    def test_incomplete_cohort_says_so(self, six: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
        keywords = six[1] | {name: six[1][name][:5] for name in ("mips", "pages", "findings")}
        page = rewritten(keywords, tmp_path, unfinished=["sub-06_ses-01"])
        assert "1 accepted scan(s) had not finished" in page
        assert "sub-06 ses-01" in page
        assert "<b>5</b><span>analysed</span>" in page

    def test_rows_are_capped_and_said(self, six: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
        own = six[1]["parameters"] | {"report": {"title": "Capped", "max_lesion_rows": 5}}
        page = rewritten(six[1], tmp_path, parameters=own)
        assert "<h1>Capped</h1>" in page
        assert "The first 5 of 48 rows" in page
        assert page.split('id="lesion-table"')[1].split("</table>")[0].count("<tr>") == 1 + 5

    def test_single_paths_are_lists_of_one(self, six: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
        page = rewritten(six[1], tmp_path, **{name: six[1][name][0] for name in ("mips", "pages", "findings")})
        assert page.count('alt="Projections of PET and CT of sub-01 ses-01') == 1

    def test_warnings_name_their_scans_once(self, six: tuple[str, dict[str, Any]]) -> None:
        page, _ = six
        assert page.count("The PET ends above the knees.") == 1
        assert "6 scans: sub-01 ses-01, sub-02 ses-01" in page

    def test_many_people_do_not_push_the_results_away(self, tmp_path: Path) -> None:
        assert 'class="people many" tabindex="0"' in written(tmp_path / "many", people=25, lesions_each=1)[0]
        assert '<div class="people">' in written(tmp_path / "few", people=2, lesions_each=1)[0]

    @pytest.mark.slow
    def test_three_hundred_scans(self, tmp_path: Path) -> None:
        page, _ = written(tmp_path, people=300, lesions_each=20)
        assert len(page.encode()) < 15e6
        assert "The first 2000 of 6000 rows" in page


def test_heavy_pictures_shrink_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []
    for rank in range(4):
        path = tmp_path / f"sub-{rank:02d}_ses-01_mip.png"
        Image.effect_noise((300, 600), 80).save(path)
        paths.append(str(path))
    weight = sum(Path(path).stat().st_size for path in paths)
    monkeypatch.setattr("calciflow.pages.cohort_views.MIP_BYTES", weight // 4)
    people = pictures(paths, {}, {})
    assert sum(len(person.image) for person in people) < weight // 2
    assert {(person.width, person.height) for person in people} == {(230, 460)}
    with Image.open(io.BytesIO(base64.b64decode(people[0].image.split(",")[1]))) as image:
        assert image.size == (150, 300)
