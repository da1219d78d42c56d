"""What a scan's header and sheet give the rules: bounds, remedies, and which of both was used."""

import pytest

from calciflow.errors import Refusal
from calciflow.selftest import AT_START, enhanced, every
from calciflow.suvrules import evaluate
from calciflow.suvrules.header import extract
from calciflow.suvrules.values import TAGS

LEAN = {"Units": "GML", "SUVType": "LBM", "PatientSex": "M"}


def header(**values):
    return extract(every(**values)())


def mapped(slopes, rescale="2", unit="Bq/ml"):
    """An enhanced object whose frames have these real world value slopes; None for no mapping's slope."""
    dataset = enhanced(unit, count=len(slopes))
    for frame, slope in zip(dataset[0].PerFrameFunctionalGroupsSequence, slopes, strict=True):
        frame.PixelValueTransformationSequence[0].RescaleSlope = rescale
        if slope is None:
            del frame.RealWorldValueMappingSequence[0].RealWorldValueSlope
        else:
            frame.RealWorldValueMappingSequence[0].RealWorldValueSlope = slope
    return extract(dataset)


@pytest.mark.parametrize("weight", ["1", "500"])
def test_the_bounds_of_a_weight_are_legal(weight):
    assert evaluate(header(PatientWeight=weight)).inputs[TAGS["weight"]] == float(weight)
    assert evaluate(header(), {"weight_kg": float(weight)}).overrides == {"weight_kg": float(weight)}


@pytest.mark.parametrize("weight", ["0.9", "501", "-70"])
def test_a_wrong_weight_says_what_to_do_where_the_sheet_helps_and_where_it_does_not(weight):
    with pytest.raises(Refusal, match=r"give weight_kg in scans\.tsv"):
        evaluate(header(PatientWeight=weight))
    # a lean SUV rests on the weight that the scanner used: the sheet's own cannot stand for it
    with pytest.raises(Refusal, match="take it out"):
        evaluate(header(PatientWeight=weight, **LEAN), {"weight_kg": 80})


def test_the_report_of_inputs_names_the_height_that_was_used():
    by_header = evaluate(header(**LEAN))
    assert by_header.inputs[TAGS["size"]] == 1.75
    by_sheet = evaluate(header(PatientSize=None, **LEAN), {"height_m": 1.75})
    assert TAGS["size"] not in by_sheet.inputs
    assert by_sheet.overrides == {"height_m": 1.75}


@pytest.mark.parametrize("height", ["0.3", "2.6", "260"])
def test_the_bounds_of_a_height_are_legal(height):
    # Du Bois' body surface knows no height for which it fails
    assert evaluate(header(PatientSize=height, Units="CM2ML", SUVType="BSA")).factors[0] > 0


@pytest.mark.parametrize("height", ["0.29", "2.61", "400"])
def test_a_height_out_of_bounds_is_refused(height):
    with pytest.raises(Refusal, match=r"give height_m in scans\.tsv"):
        evaluate(header(PatientSize=height, Units="CM2ML", SUVType="BSA"))


def test_a_known_half_life_needs_no_nuclides_code():
    assert evaluate(header(dose__RadionuclideCodeSequence=None)).factors[0] == pytest.approx(AT_START)
    with pytest.raises(Refusal, match="no PET nuclide"):
        evaluate(header(dose__RadionuclideCodeSequence=None, dose__RadionuclideHalfLife="5000"))


def test_a_doubt_about_the_injections_date_is_told_once():
    late = header(
        dose__RadiopharmaceuticalStartDateTime="20250102100000.00", dose__RadiopharmaceuticalStartTime="100000.00"
    )
    assert [warning["code"] for warning in evaluate(late).warnings].count("date") == 1


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_a_real_world_slope_acts_on_stored_values_whatever_its_size(slope):
    # the stored volume holds stored value x 0.5: the mapping's slope stands for it
    found = evaluate(mapped([slope, slope], rescale="0.5")).factors
    assert found[0] == pytest.approx(evaluate(mapped([0.5, 0.5], rescale="0.5")).factors[0] * slope / 0.5)


def test_slopes_that_differ_between_frames_give_each_its_factor():
    same = evaluate(mapped([2.0, 2.0, 2.0])).factors
    found = evaluate(mapped([2.0, 4.0, None])).factors
    assert found == pytest.approx([same[0], 2 * same[0], same[0]])
    # a mapping without a slope leaves what the rescale slope made of the value
    assert evaluate(mapped([None, None])).factors[0] == pytest.approx(same[0])
    # nor does the next frame's slope stand in for it
    assert evaluate(mapped([None, 4.0])).factors == pytest.approx([same[0], 2 * same[0]])
    already = evaluate(mapped([2.0, 4.0], unit="{SUVbw}g/ml")).factors
    assert already == pytest.approx([1.0, 2.0])


@pytest.mark.parametrize(("slope", "rescale"), [(0.0, "2"), (-1.0, "2"), (2.0, "-2")])
def test_a_slope_that_is_not_above_zero_is_refused(slope, rescale):
    with pytest.raises(Refusal) as caught:
        evaluate(mapped([slope, 2.0], rescale=rescale))
    assert caught.value.code == "scaling"


def test_an_enhanced_object_with_units_of_its_own_needs_no_mapping():
    dataset = enhanced()
    dataset[0].Units = "BQML"
    for frame in dataset[0].PerFrameFunctionalGroupsSequence:
        del frame.RealWorldValueMappingSequence
    assert evaluate(extract(dataset)).factors == pytest.approx(evaluate(extract(enhanced())).factors)


@pytest.mark.parametrize(
    ("units", "named"), [("PROPCPS", "PROPCPS"), ("WATTS", "missing or unknown"), (None, "missing")]
)
def test_units_that_are_no_concentration_are_named_or_called_unknown(units, named):
    with pytest.raises(Refusal, match=named) as caught:
        evaluate(header(Units=units))
    assert caught.value.code == "units"


def codes(result):
    return [warning["code"] for warning in result.warnings]


def test_without_a_word_on_corrections_the_method_is_trusted_and_said_so():
    trusted = evaluate(header(CorrectedImage=None, AttenuationCorrectionMethod="measured,AC CT"))
    assert "corrections" in codes(trusted)
    assert "corrections" not in codes(evaluate(header(AttenuationCorrectionMethod="measured,AC CT")))


@pytest.mark.parametrize(
    "values",
    [
        {"CorrectedImage": None, "AttenuationCorrectionMethod": None},
        {"CorrectedImage": None, "AttenuationCorrectionMethod": "NONE"},
        # a list of corrections that lacks attenuation is believed before the method
        {"CorrectedImage": ["DECY", "SCAT"], "AttenuationCorrectionMethod": "measured,AC CT"},
        {"CorrectedImage": None, "AttenuationCorrectionMethod": "measured,AC CT", "AttenuationCorrected": "NO"},
    ],
)
def test_what_is_not_attenuation_corrected_is_refused(values):
    with pytest.raises(Refusal) as caught:
        evaluate(header(**values))
    assert caught.value.code == "no_ac_pet"


def test_an_unbelievable_uptake_time_refuses_what_rests_on_it_alone():
    early = {"dose__RadiopharmaceuticalStartDateTime": "20250101020000.00"}
    early["dose__RadiopharmaceuticalStartTime"] = "020000.00"
    with pytest.raises(Refusal) as caught:
        evaluate(header(**early))
    assert caught.value.code == "time"
    # a stored SUV rests on no time: it is measured, and the time is not believed
    stored = evaluate(header(Units="GML", SUVType="BW", **early))
    assert "uptake" in codes(stored)
    assert stored.uptake_minutes is None
    believed = evaluate(header(Units="GML", SUVType="BW"))
    assert believed.uptake_minutes == pytest.approx(evaluate(header()).uptake_minutes)


def test_uptake_up_to_the_limit_is_believed():
    # base(): the scan starts at 11:00
    at = {"dose__RadiopharmaceuticalStartDateTime": "20250101070000.00"}
    at["dose__RadiopharmaceuticalStartTime"] = "070000.00"
    assert evaluate(header(**at), max_uptake_hours=4.0).uptake_minutes == 240.0
    with pytest.raises(Refusal, match="more than 3\\.9 h"):
        evaluate(header(**at), max_uptake_hours=3.9)


def test_one_factor_stays_one_where_all_frames_share_a_slope():
    assert evaluate(mapped([4.0, 4.0], unit="{SUVbw}g/ml")).factors == (2.0,)
    assert len(evaluate(mapped([2.0, 4.0], unit="{SUVbw}g/ml")).factors) == 2


def test_a_mapping_without_a_rescale_slope_acts_on_the_stored_value_itself():
    dataset = enhanced(count=2)
    for frame in dataset[0].PerFrameFunctionalGroupsSequence:
        del frame.PixelValueTransformationSequence
    # base: real world slope 2 on values that a rescale slope of 2 made
    assert evaluate(extract(dataset)).factors == pytest.approx([2 * f for f in evaluate(extract(enhanced())).factors])


def counts(suv, activity):
    values = header(Units="CNTS")
    values["slices"]["philips_suv_factor"] = [str(one) for one in suv]
    values["slices"]["philips_activity_factor"] = [str(one) for one in activity]
    return values


def test_the_sheets_weight_scales_philips_factor():
    values = header(Units="CNTS")
    values["slices"]["philips_suv_factor"] = ["0.0005"] * values["number"]
    assert evaluate(values, {"weight_kg": 140}).factors == pytest.approx((0.001,))


def test_the_worst_slice_of_philips_two_factors_counts_whichever_way_it_is_off():
    number = header(Units="CNTS")["number"]
    right = 2.5 * AT_START
    for off in (0.5, 2.0):
        suv = [right * off] + [right * 1.02] * (number - 1)
        found = [w["text"] for w in evaluate(counts(suv, [2.5] * number)).warnings if w["code"] == "philips_factors"]
        assert len(found) == 1
        assert f"is {off:.3g} times" in found[0]


def test_a_dose_in_mbq_is_noted_but_in_an_enhanced_object_whose_standard_says_so():
    assert "dose_unit" in codes(evaluate(header(dose__RadionuclideTotalDose="368.08")))
    assert "dose_unit" not in codes(evaluate(extract(enhanced())))


def test_units_and_kind_of_suv_must_go_together():
    for units, kind in (("GML", "BSA"), ("CM2ML", "LBM"), ("GML", "XYZ"), ("CM2ML", "XYZ")):
        with pytest.raises(Refusal, match="do not go together"):
            evaluate(header(Units=units, SUVType=kind, PatientSex="M"))
