"""The SUV rules: reference objects, a real scan, properties, and headers that make no sense."""

import ast
import copy
import json
import tarfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

import calciflow.suvrules
from calciflow.errors import Refusal
from calciflow.selftest import AT_START, base, enhanced, every, through_file
from calciflow.suvrules import evaluate
from calciflow.suvrules.codes import CODES
from calciflow.suvrules.header import extract

OBJECTS = [
    *("0_0 1_0 2_0 2_1 2_2 2_3 2_4 2_5 3_0 3_1 3_2 3_3 3_4 4_0 4_1 4_2 5_0".split()),
]


@pytest.fixture(scope="session")
def objects(testdata, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dro")
    with tarfile.open(testdata / "suv_dro.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "DRO"


def read(folder, **options):
    series = [dcmread(path, **options) for path in sorted(folder.glob("*.dcm"))]
    return sorted(series, key=lambda dataset: float(dataset.ImagePositionPatient[2]))


@pytest.mark.realdata
@pytest.mark.parametrize("name", OBJECTS)
def test_reference_objects(objects, name):
    series = read(objects / f"DRO_{name}" / "PT")
    factors = np.array(evaluate(extract(series)).factors)
    stored = np.stack([dataset.pixel_array * float(dataset.RescaleSlope) for dataset in series])
    suv = stored * (factors[:, None, None] if len(factors) > 1 else factors)
    mask = np.asarray(nibabel.load(objects / f"DRO_{name}" / "mask" / "DRO_mask.nii.gz").dataobj).T > 0
    inside = suv[mask]
    found = [f"{value:.2f}" for value in (inside.min(), np.median(inside), inside.max())]
    # DRO_2_3 stores truncated integers (the data's README).
    assert found == (["0.19", "0.98", "3.98"] if name == "2_3" else ["0.20", "1.00", "4.00"])


@pytest.mark.realdata
def test_raw_scan_gives_the_published_factor_and_the_processed_voxels(testdata):
    series = read(testdata / "sts_raw_pet")
    result = evaluate(extract(series))
    assert result.factors == pytest.approx([2.42903e-4], rel=1e-5)
    assert [warning["code"] for warning in result.warnings] == ["tracer"]
    processed = read(testdata / "sts" / "STS_001" / "PET")
    assert evaluate(extract(processed)).factors == (1.0,)
    heights = np.array([float(dataset.ImagePositionPatient[2]) for dataset in series])
    compared = 0
    for dataset in processed:
        away = np.abs(heights - float(dataset.ImagePositionPatient[2]))
        assert away.min() <= 0.021  # the processed series evened out the slices' jitter
        other = series[int(away.argmin())]
        spacing = [float(value) for value in dataset.PixelSpacing]
        shift = np.subtract(dataset.ImagePositionPatient, other.ImagePositionPatient)
        column, row = (round(float(shift[axis]) / spacing[axis]) for axis in (0, 1))
        suv = dataset.pixel_array * float(dataset.RescaleSlope)
        whole = other.pixel_array * float(other.RescaleSlope) * result.factors[0]
        part = whole[row : row + suv.shape[0], column : column + suv.shape[1]]
        step = float(dataset.RescaleSlope) + float(other.RescaleSlope) * result.factors[0]
        np.testing.assert_allclose(suv, part, atol=step)
        compared += suv.size
    assert compared > 10000


@pytest.mark.realdata
def test_a_start_date_after_the_scan_is_seen(testdata):
    # STS_028: RadiopharmaceuticalStartDateTime is a day after the series.
    result = evaluate(extract(read(testdata / "sts" / "STS_028" / "PET", stop_before_pixels=True)))
    assert result.uptake_minutes == pytest.approx(132.12, abs=0.01)
    assert {warning["code"] for warning in result.warnings} == {"date", "tracer"}


def header(**values):
    return extract(every(**values)())


@settings(deadline=None, max_examples=50)
@given(weight=st.floats(2, 400), dose=st.floats(16, 990))
def test_suv_is_linear_in_weight_and_in_one_over_dose(weight, dose):
    weight, dose = round(weight, 3), round(dose, 3)
    found = evaluate(header(PatientWeight=str(weight), dose__RadionuclideTotalDose=f"{dose * 1e6:.0f}")).factors[0]
    assert found == pytest.approx(AT_START * weight / 70 * 368.08 / dose, rel=1e-9)


@settings(deadline=None, max_examples=50)
@given(weight=st.floats(2, 400), dose=st.floats(16, 990))
def test_the_sheets_values_act_as_the_headers_would(weight, dose):
    by_sheet = evaluate(header(), {"weight_kg": weight, "injected_dose_mbq": dose})
    assert by_sheet.factors[0] == pytest.approx(AT_START * weight / 70 * 368.08 / dose, rel=1e-9)
    assert by_sheet.overrides == {"weight_kg": weight, "injected_dose_mbq": dose}
    stored = evaluate(header(Units="GML"), {"weight_kg": weight, "injected_dose_mbq": dose})
    assert stored.factors[0] == pytest.approx(weight / 70 * 368.08 / dose, rel=1e-9)


def test_a_later_injection_lowers_every_kind_of_suv_alike():
    sheet = {"injection_datetime": "2025-01-01T10:30:00"}
    ratio = 2 ** (-1800 / 6586.2)
    for values in ({}, {"Units": "GML"}, {"DecayCorrection": "ADMIN"}, {"Units": "CM2ML"}):
        before, after = (evaluate(header(**values), given) for given in ({}, sheet))
        assert after.factors[0] / before.factors[0] == pytest.approx(ratio, rel=1e-9), values
        assert (before.uptake_minutes, after.uptake_minutes) == (60.0, 30.0)


def test_a_later_injection_counts_from_the_headers_in_its_own_time_zone():
    values = {
        "Units": "GML",
        "TimezoneOffsetFromUTC": "+0100",
        "dose__RadiopharmaceuticalStartDateTime": "20250101090000.00+0000",  # 10:00 at the scanner
        "dose__RadiopharmaceuticalStartTime": None,
    }
    after = evaluate(header(**values), {"injection_datetime": "2025-01-01T10:30:00"})
    assert after.factors[0] == pytest.approx(2 ** (-1800 / 6586.2), rel=1e-9)


def test_a_scan_that_starts_with_the_injection_has_its_whole_dose():
    at_once = header(
        dose__RadiopharmaceuticalStartDateTime="20250101110000.00", dose__RadiopharmaceuticalStartTime="110000.00"
    )
    assert evaluate(at_once).factors[0] == pytest.approx(70e3 / 368.08e6, rel=1e-9)


def test_a_lean_suv_with_the_sheets_weight_divides_by_the_scanners_own_mass():
    values = {"Units": "GML", "SUVType": "LBM", "PatientSex": "M"}
    assert evaluate(header(**values), {"weight_kg": 80}).factors[0] == pytest.approx(80 / 57.8)
    # Without a weight in the header the sheet's stands for what the scanner used.
    lean_80 = 1.10 * 80 - 120 * (80 / 175) ** 2
    alone = evaluate(header(PatientWeight=None, **values), {"weight_kg": 80})
    assert alone.factors[0] == pytest.approx(80 / lean_80)


def test_the_sheets_height_helps_only_where_the_header_has_none():
    values = {"Units": "GML", "SUVType": "LBM", "PatientSex": "M"}
    assert evaluate(header(PatientSize=None, **values), {"height_m": 1.75}).factors[0] == pytest.approx(70 / 57.8)
    result = evaluate(header(**values), {"height_m": 1.6})
    assert result.factors[0] == pytest.approx(70 / 57.8)
    assert [warning["code"] for warning in result.warnings] == ["override"]


@pytest.mark.parametrize(
    ("sheet", "code"),
    [
        ({"weight_kg": 0}, "weight"),
        ({"weight_kg": "heavy"}, "weight"),
        ({"weight_kg": float("nan")}, "weight"),
        ({"injected_dose_mbq": 10}, "dose"),
        ({"injected_dose_mbq": 368.08e6}, "dose"),
        ({"injection_datetime": "10:00"}, "time"),
    ],
)
def test_absurd_cells_of_the_sheet_are_refused(sheet, code):
    with pytest.raises(Refusal, match=r"scans\.tsv") as caught:
        evaluate(header(), sheet)
    assert caught.value.code == code


def test_limits_are_the_callers():
    low = header(dose__RadionuclideTotalDose="10e6")
    with pytest.raises(Refusal):
        evaluate(low)
    assert evaluate(low, dose_range_mbq=(5, 1000)).factors[0] == pytest.approx(AT_START * 36.808)
    with pytest.raises(Refusal) as caught:
        evaluate(header(), max_uptake_hours=0.9)
    assert caught.value.code == "time"


def test_the_limits_of_the_dose_belong_to_it():
    for dose in ("15e6", "1000e6"):
        evaluate(header(dose__RadionuclideTotalDose=dose))


def test_slices_that_differ_in_what_a_series_has_once_are_refused():
    for keyword, value, code in (
        ("Units", "GML", "units"),
        ("PatientWeight", "71", "weight"),
        ("DecayCorrection", "ADMIN", "decay"),
        ("CorrectedImage", ["NORM"], "no_ac_pet"),
    ):
        series = base()
        setattr(series[1], keyword, value)
        with pytest.raises(Refusal) as caught:
            evaluate(extract(series))
        assert caught.value.code == code


def test_two_different_administrations_are_refused_unless_the_sheet_settles_them():
    series = base()
    for dataset in series:
        second = copy.deepcopy(dataset.RadiopharmaceuticalInformationSequence[0])
        second.RadionuclideTotalDose = "100e6"
        dataset.RadiopharmaceuticalInformationSequence.append(second)
    values = extract(series)
    with pytest.raises(Refusal) as caught:
        evaluate(values)
    assert caught.value.code == "dose"
    assert evaluate(values, {"injected_dose_mbq": 368.08}).factors[0] == pytest.approx(AT_START)


def test_an_enhanced_objects_mapping_may_differ_from_its_rescale_slope():
    dataset = enhanced()[0]
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.RealWorldValueMappingSequence[0].RealWorldValueSlope = 2.0 * (number + 3)
    result = evaluate(extract(through_file([dataset])))
    # The stored volume holds stored value x 2 (rescale); the mapping says x 6 and x 8.
    assert result.factors == pytest.approx([3 * AT_START, 4 * AT_START], rel=1e-6)


def test_results_tell_no_dates():
    series = every(
        DecayCorrection="NONE", CorrectedImage=["ATTN"], dose__RadiopharmaceuticalStartDateTime="20250102100000"
    )()
    result = evaluate(extract(series), {"injection_datetime": "2025-01-01T10:00:00"})
    text = json.dumps([result.rule, result.inputs, result.overrides, result.warnings])
    assert "2025" not in text
    assert "1000" not in text.replace("(0054,1001)", "")


def test_every_code_raised_is_explained():
    raised = set()
    for path in Path(calciflow.suvrules.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refusal":
                first = node.args[0]
                raised |= {first.value} if isinstance(first, ast.Constant) else set()
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "positive":
                raised |= {argument.value for argument in node.args[2:4]}
    assert raised == set(CODES)


# What a header can hold where a sensible text is expected.
WORDS = (
    "0 -1 nan inf 1e308 -1e308 1e-308 abc 70,5 99999999999999 20250101 000000 240000 99991231235959 00000000 "
    "BQML GML CM2ML CNTS LBM IBW NONE ADMIN START"
).split(" ")
ABSURD = st.one_of(
    st.none(),
    st.sampled_from(WORDS),
    st.lists(st.sampled_from(["1", "x", "ATTN", "DECY"]), max_size=3),
    st.floats().map(str),
    st.text(max_size=16),
)


@st.composite
def damaged_headers(draw):
    values = extract(draw(st.sampled_from([base, enhanced]))())
    places = [key for key in values if key not in ("number", "slices", "administrations", "varying", "enhanced")]
    for _ in range(draw(st.integers(1, 5))):
        where = draw(st.sampled_from(["series", "slices", "administration"]))
        if where == "series":
            values[draw(st.sampled_from(places))] = draw(ABSURD)
        elif where == "slices":
            key = draw(st.sampled_from([*sorted(values["slices"]), "philips_suv_factor", "philips_activity_factor"]))
            new = draw(ABSURD)
            values["slices"][key] = [new if draw(st.booleans()) else old for old in values["slices"][key]]
        elif values["administrations"]:
            item = values["administrations"][0]
            item[draw(st.sampled_from(["start_datetime", "start_time", "dose", "half_life", "agent"]))] = draw(ABSURD)
    return values


SHEETS = st.fixed_dictionaries(
    {},
    optional={
        "weight_kg": st.floats() | st.none(),
        "height_m": st.floats(),
        "injected_dose_mbq": st.floats(),
        "injection_datetime": st.text(max_size=20) | st.just("2025-01-01T10:00:00"),
    },
)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(damaged_headers(), SHEETS, st.sampled_from(["warn", "refuse", "ignore"]))
def test_nothing_but_a_refusal_comes_out_of_a_damaged_header(values, sheet, tracer):
    code = None
    try:
        result = evaluate(values, sheet, tracer=tracer)
    except Refusal as refusal:
        code = refusal.code
    if code is not None:
        assert code in CODES
        return
    assert len(result.factors) in (1, values["number"])
    assert all(np.isfinite(factor) and factor > 0 for factor in result.factors)
    json.dumps([result.inputs, result.overrides, result.warnings], allow_nan=False)


def test_missing_keys_are_refused_not_stumbled_over():
    for values in ({}, {"number": 2}, {"number": 1, "slices": {}, "units": "BQML", "corrected_image": ["ATTN"]}):
        with pytest.raises(Refusal):
            evaluate(values)


def test_a_weight_in_grams_and_the_limits_of_a_height():
    # 1 to 500 kg are kilograms, from 1000 on it is grams (the SUV manual); what lies between is nobody's weight.
    assert evaluate(header(PatientWeight="1050")).factors[0] == pytest.approx(AT_START * 1.05 / 70)
    assert [w["code"] for w in evaluate(header(PatientWeight="70000")).warnings] == ["weight"]
    for text in ("999", "0.99", "501"):
        with pytest.raises(Refusal) as caught:
            evaluate(header(PatientWeight=text))
        assert caught.value.code == "weight"
    area = {"Units": "CM2ML", "SUVType": "BSA"}
    for text, legal in (("0.3", True), ("2.6", True), ("30", True), ("0.29", False), ("2.61", False), ("261", False)):
        if legal:
            assert evaluate(header(PatientSize=text, **area)).factors[0] > 0
        else:
            with pytest.raises(Refusal) as caught:
                evaluate(header(PatientSize=text, **area))
            assert caught.value.code == "body_size"


@pytest.mark.parametrize(("off", "warned"), [(1.0, False), (1.05, False), (0.95, False), (1.2, True), (0.8, True)])
def test_philips_two_factors_are_compared(off, warned):
    values = header(Units="CNTS")
    values["slices"]["philips_activity_factor"] = ["2.5"] * values["number"]
    values["slices"]["philips_suv_factor"] = [str(2.5 * AT_START * off)] * values["number"]
    result = evaluate(values)
    assert result.factors == pytest.approx((2.5 * AT_START * off,))
    assert ("philips_factors" in [w["code"] for w in result.warnings]) == warned
    # Without weight or dose there is nothing to compare with, and nothing that the factor needs.
    assert evaluate(values | {"weight": None}).factors == result.factors


def test_a_half_life_that_is_no_number_is_refused_even_if_the_nuclide_is_known():
    values = header()
    values["administrations"][0]["half_life"] = "abc"
    with pytest.raises(Refusal) as caught:
        evaluate(values)
    assert caught.value.code == "half_life"
    values["administrations"][0]["half_life"] = None
    result = evaluate(values)
    assert result.factors[0] == pytest.approx(AT_START, rel=1e-6)
    assert "half_life" in [w["code"] for w in result.warnings]


def test_the_half_life_tells_another_tracer_where_no_code_does():
    values = header(DecayCorrection="ADMIN")
    values["administrations"][0] |= {"nuclide": None, "half_life": "4062.6"}
    assert "Ga-68" in next(w["text"] for w in evaluate(values).warnings if w["code"] == "tracer")
    values["administrations"][0]["half_life"] = "6586.2"
    assert evaluate(values).warnings == []


def test_short_uptake_is_told_from_twenty_minutes_down():
    for time, told in (("104000", False), ("104001", True)):
        values = header(
            dose__RadiopharmaceuticalStartDateTime=f"20250101{time}", dose__RadiopharmaceuticalStartTime=time
        )
        assert ("uptake" in [w["code"] for w in evaluate(values).warnings]) == told


@pytest.mark.parametrize(("last", "legal"), [("220000", True), ("220001", False)])
def test_the_last_slice_lies_at_most_twice_the_longest_uptake_after_the_injection(last, legal):
    """Injected at 10:00, 6 h of uptake at most: a whole-body scan has until 22:00."""
    values = header(DecayCorrection="NONE", CorrectedImage=["ATTN"])
    values["slices"]["acquisition_time"][-1] = last
    if legal:
        found = evaluate(values).factors
        assert found[-1] == pytest.approx(found[0] * 2 ** (11 * 3600 / 6586.2))
    else:
        with pytest.raises(Refusal) as caught:
            evaluate(values)
        assert caught.value.code == "time"


def test_administrations_with_different_half_lives_are_refused():
    values = header()
    values["administrations"] = [values["administrations"][0], {**values["administrations"][0], "half_life": "6588"}]
    with pytest.raises(Refusal) as caught:
        evaluate(values, {"injected_dose_mbq": 368.08})
    assert caught.value.code == "half_life"


def test_an_enhanced_frames_own_duration_is_read():
    dataset = enhanced()[0]
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.FrameContentSequence[0].FrameAcquisitionDuration = 1000.0 * (number + 60)
    found = extract(through_file([dataset]))["slices"]["frame_duration"]
    assert [float(text) for text in found] == [1000.0 * (number + 60) for number in range(len(found))]


def test_what_the_suv_rests_on_is_told():
    result = evaluate(header())
    assert (result.inputs["PatientWeight (0010,1030)"], result.weight_kg) == (70.0, 70.0)
    assert result.inputs["Units (0054,1001)"] == "BQML"
    assert result.inputs["DecayCorrection (0054,1102)"] == "START"
    assert result.inputs["injection to decay reference (s)"] == 3600
    assert result.inputs["decay reference"].startswith("SeriesDate/Time")
    each = evaluate(header(DecayCorrection="NONE", CorrectedImage=["ATTN"]))
    assert each.inputs["injection to acquisition (s)"] == 3600
    assert each.inputs["ActualFrameDuration (0018,1242)"] == 300000


def test_an_image_corrected_to_before_the_injection_is_refused():
    with pytest.raises(Refusal, match="does not follow the injection") as caught:
        evaluate(header(SeriesTime="095959"))
    assert caught.value.code == "time"
    early = evaluate(header(SeriesTime="100000"))
    assert early.factors[0] == pytest.approx(AT_START * 2 ** (-3600 / 6586.2)), "to the injection itself"


@pytest.mark.parametrize(("milliseconds", "legal"), [("1000", True), ("999", False), (None, False)])
def test_a_frame_that_is_not_decay_corrected_lasts_a_second_or_more(milliseconds, legal):
    values = header(DecayCorrection="NONE", CorrectedImage=["ATTN"])
    values["slices"]["frame_duration"] = [milliseconds] * values["number"]
    if legal:  # half a second after its start a frame of a second has its mean
        assert evaluate(values).factors[0] == pytest.approx(AT_START * 2 ** (0.5 / 6586.2), rel=1e-6)
    else:
        with pytest.raises(Refusal, match=r"0018,1242.* is missing or absurd"):
            evaluate(values)


def test_a_slice_without_time_cannot_be_corrected_for_its_decay():
    values = header(DecayCorrection="NONE", CorrectedImage=["ATTN"])
    values["slices"]["acquisition_time"][1] = ""
    values["slices"].pop("acquisition_datetime", None)
    with pytest.raises(Refusal, match="is missing and DecayCorrection is NONE"):
        evaluate(values)


def test_a_stored_suv_whose_injection_nobody_tells_stays_and_says_so():
    values = header(Units="GML", dose__RadiopharmaceuticalStartDateTime=None, dose__RadiopharmaceuticalStartTime=None)
    result = evaluate(values, {"injection_datetime": "2025-01-01T10:30:00"})
    assert result.factors == (1.0,)
    assert "the header tells no other" in next(w["text"] for w in result.warnings if w["code"] == "override")


def test_stored_kinds_tell_what_they_rest_on():
    lean = evaluate(header(Units="GML", SUVType="LBM", PatientSex="M"))
    assert lean.inputs["Units (0054,1001)"] == "GML"
    assert lean.inputs["SUVType (0054,1006)"] == "LBM"
    assert lean.inputs["PatientWeight (0010,1030)"] == 70.0
    assert lean.inputs["PatientSize (0010,1020)"] == 1.75
    assert lean.inputs["PatientSex (0010,0040)"] == "M"
    assert "SUVType (0054,1006)" not in evaluate(header(Units="GML")).inputs
    values = header(Units="CNTS")
    values["slices"]["philips_suv_factor"] = ["0.0005"] * values["number"]
    assert evaluate(values).inputs["Philips SUV factor (7053,xx00)"] == 0.0005


def test_an_enhanced_object_says_itself_whether_it_is_decay_corrected():
    dataset = enhanced()[0]
    dataset.DecayCorrected = "NO"
    dataset.pop("DecayCorrectionDateTime", None)
    result = evaluate(extract(through_file([dataset])))
    assert result.inputs["DecayCorrection (0054,1102)"] == "NONE"
    # The frames start 65 and 125 min after the injection and last 5 min.
    middle = [2 ** ((minutes * 60) / 6586.2) for minutes in (65 + 2.49, 125 + 2.49)]
    at_injection = AT_START * 2 ** (-3600 / 6586.2)
    assert result.factors == pytest.approx([at_injection * late for late in middle], rel=1e-3)


def test_a_mapping_with_an_intercept_is_no_measure():
    dataset = enhanced()[0]
    dataset.PerFrameFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].RealWorldValueIntercept = 5.0
    with pytest.raises(Refusal, match="has an intercept") as caught:
        evaluate(extract(through_file([dataset])))
    assert caught.value.code == "scaling"


@pytest.mark.parametrize(("factor", "legal"), [("1.2", True), ("1", False), (None, False)])
def test_a_decay_factor_above_one_shows_a_correction_that_the_list_leaves_out(factor, legal):
    values = header(CorrectedImage=["ATTN"])
    values["slices"]["decay_factor"] = [factor] * values["number"]
    if legal:
        assert evaluate(values).inputs["DecayCorrection (0054,1102)"] == "START"
    else:
        with pytest.raises(Refusal, match="lacks DECY"):
            evaluate(values)


# DICOM PS3.16 CID 84; sizes of the reference person, 70 kg and 175 cm, by hand as in the self-test.
@pytest.mark.parametrize(
    ("unit", "grams"),
    [
        ("{SUVbw}g/ml", 70000),
        ("g/ml{SUVbw}", 70000),
        ("{SUVlbm}g/ml", 57800),
        ("g/ml{SUVlbm}", 57800),
        ("{SUVibw}g/ml", 72380),
        ("g/ml{SUVibw}", 72380),
        ("{SUVbsa}cm2/ml", 18481.43018),
        ("cm2/ml{SUVbsa}", 18481.43018),
    ],
)
def test_units_of_an_enhanced_object(unit, grams):
    dataset = enhanced(unit)[0]
    dataset.PatientSex = "M"
    result = evaluate(extract(through_file([dataset])))
    assert result.factors == pytest.approx((70000 / grams,), rel=1e-6)
    assert result.weight_kg == 70.0


@pytest.mark.parametrize("slope", [0.0, -2.0])
def test_a_mapping_needs_a_slope_above_nought(slope):
    dataset = enhanced()[0]
    dataset.PerFrameFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].RealWorldValueSlope = slope
    with pytest.raises(Refusal) as caught:
        evaluate(extract(through_file([dataset])))
    assert caught.value.code == "scaling"


def test_a_stored_suv_tells_the_weight_that_it_rests_on():
    assert evaluate(header(Units="GML")).weight_kg == 70.0
    assert evaluate(header(Units="GML"), {"weight_kg": 80}).weight_kg == 80.0


def test_slices_of_both_sexes_and_of_two_kinds_are_no_series():
    lean = {"Units": "GML", "SUVType": "LBM", "PatientSex": "M"}
    for keyword, value, code in (("PatientSex", "F", "body_size"), ("SUVType", "BW", "units")):
        series = every(**lean)()
        setattr(series[1], keyword, value)
        with pytest.raises(Refusal, match="differs between slices") as caught:
            evaluate(extract(series))
        assert caught.value.code == code
