"""Extraction of header values, judged by nobody yet."""

import contextlib
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from calciflow.errors import Refusal
from calciflow.selftest import base, enhanced, private, through_file
from calciflow.suvrules import evaluate
from calciflow.suvrules.header import ADMINISTRATION_TAGS, SERIES_TAGS, SLICE_TAGS, extract
from calciflow.suvrules.values import TAGS


def test_the_result_survives_json():
    header = extract(base())
    assert json.loads(json.dumps(header)) == header


def test_slices_keep_their_order():
    header = extract(list(reversed(base(4))))
    assert header["number"] == 4
    assert [float(value) for value in header["slices"]["slope"]] == [4, 3, 2, 1]


def test_identity_stays_behind():
    series = base()
    for dataset in series:
        dataset.PatientName = "SENTINEL^NAME"
        dataset.PatientID = "SENTINELID"
        dataset.InstitutionName = "SENTINELHOSPITAL"
        dataset.SeriesDescription = "SENTINELTEXT"
    text = json.dumps(extract(through_file(series)))
    assert "SENTINEL" not in text
    assert series[0].SOPInstanceUID not in text


def test_differences_between_slices_are_listed():
    series = base()
    series[1].PatientWeight = "71"
    series[2].Units = "GML"
    assert sorted(extract(series)["varying"]) == ["units", "weight"]


@pytest.mark.parametrize("block", [0x10, 0x11, 0xFF])
def test_private_blocks_are_found_by_creator(block):
    series = private("GEMS_PETD_01", 0x0009, {0x0D: "20250101110000"}, block=block)()
    assert extract(through_file(series))["ge_scan_datetime"] == "20250101110000"


def test_another_vendors_private_block_is_not_taken():
    series = private("SOMEONE ELSE", 0x0009, {0x0D: "20250101110000"}, Manufacturer="GE MEDICAL SYSTEMS")()
    assert extract(through_file(series))["ge_scan_datetime"] is None
    series = private(None, 0x7053, {0x00: "0.5"}, Manufacturer="SIEMENS")()
    assert extract(through_file(series))["slices"]["philips_suv_factor"] == [None] * 3


def test_private_value_of_unknown_type_is_read():
    # Implicit VR without a private dictionary gives UN, that is bytes.
    dataset = base(1)[0]
    dataset.add_new((0x7053, 0x0010), "LO", "Philips PET Private Group")
    dataset.add_new((0x7053, 0x1000), "UN", b"0.0005 ")
    assert extract([dataset])["slices"]["philips_suv_factor"] == ["0.0005"]


def test_enhanced_frames_follow_the_order_asked_for():
    dataset = enhanced(count=3)
    assert extract(dataset)["slices"]["acquisition_datetime"] == [f"202501011{n}0500" for n in (1, 2, 3)]
    assert extract(dataset, frames=[2, 0])["slices"]["acquisition_datetime"] == ["20250101130500", "20250101110500"]


def test_what_all_frames_share_counts_for_each_and_a_frames_own_value_wins():
    # PS3.3 C.7.6.16: a functional group stands in the shared sequence or in that of each frame
    own, shared = enhanced(count=3), enhanced(count=3)
    groups = shared[0].PerFrameFunctionalGroupsSequence
    common = Dataset()
    for keyword in ("PixelValueTransformationSequence", "RealWorldValueMappingSequence"):
        setattr(common, keyword, groups[0][keyword].value)
        for group in groups:
            delattr(group, keyword)
    shared[0].SharedFunctionalGroupsSequence = [common]
    assert extract(through_file(shared)) == extract(through_file(own))
    assert extract(shared)["slices"]["slope"] == ["2"] * 3
    special = Dataset()
    special.RescaleSlope = "5"
    groups[1].PixelValueTransformationSequence = [special]
    assert extract(shared)["slices"]["slope"] == ["2", "5", "2"]


def test_values_in_sequences_are_found_by_the_standards_names():
    dataset = enhanced(count=2)
    for number, frame in enumerate(dataset[0].PerFrameFunctionalGroupsSequence):
        factors = Dataset()
        factors.DecayFactor = 1.25 + number
        frame.PETFrameCorrectionFactorsSequence = [factors]
        frame.PixelValueTransformationSequence[0].RescaleIntercept = str(-3 - number)
    agent = Dataset()
    agent.CodeValue, agent.CodingSchemeDesignator, agent.CodeMeaning = "C-B1031", "SRT", "Fluoride F^18^"
    dataset[0].RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalCodeSequence = [agent]
    header = extract(through_file(dataset))
    assert header["slices"]["decay_factor"] == ["1.25", "2.25"]
    assert header["slices"]["intercept"] == ["-3", "-4"]
    assert header["administrations"][0]["agent_code"] == {"code": "C-B1031", "meaning": "Fluoride F^18^"}


def test_a_frame_with_two_mappings_counts_by_the_first():
    dataset = enhanced("Bq/ml", count=1)
    frame = dataset[0].PerFrameFunctionalGroupsSequence[0]
    second = enhanced("{counts}", count=1)[0].PerFrameFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    del frame.RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence
    frame.RealWorldValueMappingSequence.append(second)
    assert extract(dataset)["slices"]["real_world_unit"] == [None]


def test_empty_and_broken_data_sets_give_a_header():
    for series in ([], [Dataset()], [Dataset(), base(1)[0]]):
        header = extract(series)
        assert header["number"] == len(series)
        assert set(SERIES_TAGS) <= set(header)


def test_values_that_pydicom_cannot_convert_come_as_text():
    dataset = through_file(base(1))[0]
    element = dataset.get_item("PatientWeight")
    dataset._dict[element.tag] = element._replace(value=b"heavy")
    assert extract([dataset])["weight"] == "heavy"


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_random_deletions_and_raw_bytes_lead_to_a_factor_or_a_refusal(data):
    series = through_file(data.draw(st.sampled_from([base, enhanced]))())
    for dataset in series:
        for _ in range(data.draw(st.integers(0, 3))):
            tag = data.draw(st.sampled_from(sorted(dataset.keys())))
            element = dataset.get_item(tag)
            if data.draw(st.booleans()) or not hasattr(element, "_replace"):
                del dataset[tag]
            else:
                dataset._dict[tag] = element._replace(value=data.draw(st.binary(max_size=12)))
        if not len(dataset):
            break
    header = json.loads(json.dumps(extract(series)))
    with contextlib.suppress(Refusal):
        assert min(evaluate(header).factors) > 0


# What each key of the extracted header stands for, by the keywords of DICOM PS3.6.
KEYWORDS = {
    "start_datetime": "RadiopharmaceuticalStartDateTime", "start_time": "RadiopharmaceuticalStartTime",
    "dose": "RadionuclideTotalDose", "half_life": "RadionuclideHalfLife", "agent": "Radiopharmaceutical",
    "manufacturer": "Manufacturer", "image_type": "ImageType", "series_type": "SeriesType",
    "corrected_image": "CorrectedImage", "attenuation_method": "AttenuationCorrectionMethod", "units": "Units",
    "suv_type": "SUVType", "decay_correction": "DecayCorrection", "sex": "PatientSex", "weight": "PatientWeight",
    "size": "PatientSize", "timezone": "TimezoneOffsetFromUTC", "kernel": "ConvolutionKernel",
    "decay_corrected": "DecayCorrected", "attenuation_corrected": "AttenuationCorrected",
    "decay_correction_datetime": "DecayCorrectionDateTime", "study_date": "StudyDate", "series_date": "SeriesDate",
    "series_time": "SeriesTime", "acquisition_date": "AcquisitionDate", "acquisition_time": "AcquisitionTime",
    "acquisition_datetime": "AcquisitionDateTime", "frame_reference_time": "FrameReferenceTime",
    "frame_duration": "ActualFrameDuration", "decay_factor": "DecayFactor", "slope": "RescaleSlope",
    "intercept": "RescaleIntercept",
}  # fmt: skip


def test_every_tag_that_is_read_is_the_standards():
    tags = {**ADMINISTRATION_TAGS, **SERIES_TAGS, **SLICE_TAGS}
    assert {key: keyword_for_tag(tag) for key, tag in tags.items()} == KEYWORDS
    # The tags that messages name, too; private ones stand in no dictionary.
    for key, words in TAGS.items():
        for group, element in re.findall(r"\((\w{4}),([0-9A-F]{4})\)", words) if "Date/Time" not in words else []:
            assert words.split(" ")[0] == keyword_for_tag((int(group, 16), int(element, 16))) == KEYWORDS[key]
