"""Pieces: body and legs in two series become one volume, or are refused with what to do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dicom_scans as make
from calciflow import suvrules
from calciflow.images import Volume, read_volume
from calciflow.index import index_scan
from dicom_scans import convert_scan


def run(source: Path, out: Path, **options: Any) -> dict[str, Any]:
    index_scan(
        series=str(out / "series.tsv"),
        screening=str(out / "screening.json"),
        selection=str(out / "selection.json"),
        scan={"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None},
        sources={"source": str(source)},
        **options,
    )
    result: dict[str, Any] = json.loads((out / "screening.json").read_text())
    assert result["code"] != "internal", json.loads((out / "selection.json").read_text())["traceback"]
    return result


def volumes(out: Path) -> tuple[Volume, Volume]:
    convert_scan(
        selection=str(out / "selection.json"),
        ct=str(out / "ct.nii.gz"),
        ct_json=str(out / "ct.json"),
        pet=str(out / "pet.nii.gz"),
        pet_json=str(out / "pet.json"),
    )
    return read_volume(out / "ct.nii.gz"), read_volume(out / "pet.nii.gz")


def field(z: float) -> float:
    """Activity (Bq/ml, at the time of the body's series) or HU that the tests draw: linear along the body."""
    return 1000.0 + 10.0 * z


def piece(kind: str, number: int, low: float, count: int, increment: float = 3.0, scale: float = 1.0) -> list[Any]:
    """A series whose every slice is flat at ``field`` of its height, but for a marked corner."""
    images = []
    for k in range(count):
        value = field(low + k * increment) * scale
        shape, spacing = ((20, 16), (2.0, 1.5)) if kind == "CT" else ((10, 8), (4.0, 3.0))
        # Full 16-bit range in PET, so that rounding is below 0.01 %.
        slope = 1.0 if kind == "CT" else value / 30000.0
        stored = np.full(shape, round(value + 1024) if kind == "CT" else 30000, np.uint16 if kind == "CT" else np.int16)
        stored[0, 0] = 0
        data = make.image(kind, k, stored, number=number, origin=(-12, -20, low), spacing=spacing, increment=increment)
        if kind == "PT":
            data.RescaleSlope = f"{slope:.10g}"
        images.append(data)
    return images


BODY, LEGS = 100.0, 49.0  # the body from z = 100 mm up, the legs from 49 mm up


@pytest.mark.parametrize("overlap", [0, 4])
def test_body_and_legs_become_one_volume(overlap: int, tmp_path: Path) -> None:
    source = make.scan(
        tmp_path / "in",
        piece("CT", 3, BODY, 30),
        piece("CT", 4, LEGS, 17 + overlap),
        piece("PT", 5, BODY, 30),
        piece("PT", 6, LEGS, 17 + overlap),
    )
    result = run(source, tmp_path)
    assert result["verdict"] == "accepted", result["reason"]
    assert result["chosen"]["pet_joined"] == [4, 3]
    assert result["chosen"]["ct_joined"] == [2, 1]
    for volume in volumes(tmp_path):
        assert volume.array.shape[0] == 47
        heights = volume.world(np.array([[k, 5, 5] for k in range(47)]))[:, 2]
        np.testing.assert_allclose(heights, LEGS + 3.0 * np.arange(47), atol=1e-3)
        np.testing.assert_allclose(volume.array[:, 5, 5], [field(z) for z in heights], rtol=1e-4)


def test_the_overlap_is_a_blend_whose_weights_are_linear(tmp_path: Path) -> None:
    # The legs say 10 % more than the body: over the overlap the sum must go from one to the other in a straight line.
    overlap = 5
    source = make.scan(
        tmp_path / "in",
        piece("CT", 3, LEGS, 47),
        piece("PT", 5, BODY, 30),
        piece("PT", 6, LEGS, 17 + overlap, scale=1.1),
    )
    assert run(source, tmp_path)["verdict"] == "accepted"
    _, pet = volumes(tmp_path)
    heights = LEGS + 3.0 * np.arange(47)
    top = LEGS + 3.0 * (17 + overlap - 1)  # the legs' last slice; the body's first lies at BODY
    share_of_body = np.clip((heights - BODY) / (top - BODY), 0, 1)
    expected = (1.1 * (1 - share_of_body) + share_of_body) * [field(z) for z in heights]
    np.testing.assert_allclose(pet.array[:, 5, 5], expected, rtol=1e-4)


def test_lattices_that_do_not_meet_are_interpolated(tmp_path: Path) -> None:
    # The legs lie 1.2 mm off the body's lattice; a field that is linear along the body must come out linear.
    source = make.scan(
        tmp_path / "in", piece("CT", 3, 40.0, 50), piece("PT", 5, BODY, 30), piece("PT", 6, LEGS - 1.2, 20)
    )
    assert run(source, tmp_path)["verdict"] == "accepted"
    _, pet = volumes(tmp_path)
    heights = pet.world(np.array([[k, 5, 5] for k in range(pet.array.shape[0])]))[:, 2]
    inside = heights >= LEGS - 1.2
    np.testing.assert_allclose(pet.array[inside, 5, 5], [field(z) for z in heights[inside]], rtol=1e-4)
    assert (~inside).sum() <= 1


def test_each_piece_is_decayed_from_its_own_start(tmp_path: Path) -> None:
    # The legs begin 20 minutes later: their stored activity is less by the decay of F-18 in 20 minutes, if the
    # scanner refers each series to its own start. SUV must be one field all the same.
    late = float(np.exp(-np.log(2) * 1200 / 6586.2))
    legs = piece("PT", 6, LEGS, 17, scale=late)
    for data in legs:
        data.SeriesTime = data.AcquisitionTime = "112000"
    source = make.scan(tmp_path / "in", piece("CT", 3, LEGS, 47), piece("PT", 5, BODY, 30), legs)
    assert run(source, tmp_path)["verdict"] == "accepted"
    _, pet = volumes(tmp_path)
    header = json.loads((tmp_path / "selection.json").read_text())["suv"]
    (factor,) = suvrules.evaluate(header, {}).factors
    heights = pet.world(np.array([[k, 5, 5] for k in range(47)]))[:, 2]
    # By hand: SUV = Bq/ml x weight in g / dose left at the body's start, an hour after injection.
    left = 200e6 * np.exp(-np.log(2) * 3600 / 6586.2)
    np.testing.assert_allclose(pet.array[:, 5, 5] * factor, [field(z) * 70000.0 / left for z in heights], rtol=1e-4)


def test_the_sharper_ct_wins_in_the_overlap(tmp_path: Path) -> None:
    fine = piece("CT", 4, LEGS, 41, increment=1.5)  # to 109 mm
    for data in fine:
        data.PixelData = (np.frombuffer(data.PixelData, np.uint16) + np.uint16(7)).tobytes()
    source = make.scan(tmp_path / "in", piece("CT", 3, BODY, 30), fine, piece("PT", 5, LEGS, 47))
    result = run(source, tmp_path)
    assert result["chosen"]["ct_joined"] == [2, 1]
    ct, _ = volumes(tmp_path)
    assert ct.spacing[0] == pytest.approx(1.5)
    heights = ct.world(np.array([[k, 5, 5] for k in range(ct.array.shape[0])]))[:, 2]
    expected = [field(z) + (7 if z <= 109.01 else 0) for z in heights]
    np.testing.assert_allclose(ct.array[:, 5, 5], expected, atol=1.01)


def test_pieces_in_different_frames_are_refused_with_the_row_to_add(tmp_path: Path) -> None:
    legs = piece("PT", 6, LEGS, 20)
    for data in legs:
        data.FrameOfReferenceUID = "1.2.3.4"
    source = make.scan(tmp_path / "in", piece("CT", 3, LEGS, 47), piece("PT", 5, BODY, 30), legs)
    result = run(source, tmp_path)
    assert result["code"] == "pieces"
    assert "`acquisition`" in result["reason"]
    rows = "sub-01 ses-01 `acquisition` body `pet_series` #2; sub-01 ses-01 `acquisition` part2 `pet_series` #3."
    assert result["reason"].endswith(rows)
    for data in legs:
        data.PatientPosition = "FFS"
    turned = make.scan(tmp_path / "turned", piece("CT", 3, LEGS, 47), piece("PT", 5, BODY, 30), legs)
    assert "`acquisition` legs `pet_series` #3" in run(turned, tmp_path)["reason"]
    assert run(source, tmp_path, pet_series="#2")["verdict"] == "accepted"


def test_a_detail_view_in_another_frame_is_left_out_aloud(tmp_path: Path) -> None:
    hands = piece("PT", 6, 0.0, 5)
    for data in hands:
        data.FrameOfReferenceUID = "1.2.3.4"
    source = make.scan(tmp_path / "in", piece("CT", 3, LEGS, 47), piece("PT", 5, LEGS, 47), hands)
    result = run(source, tmp_path)
    assert result["verdict"] == "accepted"
    assert [warning["code"] for warning in result["warnings"]] == ["pieces"]


def test_pieces_that_cannot_be_joined_are_refused(tmp_path: Path) -> None:
    legs = [
        make.image("PT", k, np.full((12, 8), 100, np.int16), number=6, origin=(-12, -20, 40), spacing=(4, 3))
        for k in range(20)
    ]
    legs[3].PixelData = np.arange(96, dtype=np.int16).tobytes()
    source = make.scan(tmp_path / "in", piece("CT", 3, 40, 50), piece("PT", 5, BODY, 30), legs)
    assert run(source, tmp_path)["code"] == "pieces"


def test_another_picture_of_the_same_part_is_no_piece(tmp_path: Path) -> None:
    # A chest that lies inside the body's range, and a head that reaches one slice beyond it.
    source = make.scan(
        tmp_path / "in", piece("CT", 3, BODY, 30), piece("PT", 5, BODY, 30), piece("PT", 6, BODY + 60, 11)
    )
    result = run(source, tmp_path)
    assert result["verdict"] == "accepted", result["reason"]
    assert "pet_joined" not in result["chosen"]


def test_examinations_of_two_days_are_ambiguous(tmp_path: Path) -> None:
    prior = make.renumber(piece("PT", 5, BODY, 24), 9, StudyInstanceUID="1.2.3", FrameOfReferenceUID="1.2.4")
    for data in prior:
        data.StudyDate = "20230101"
    source = make.scan(tmp_path / "in", piece("CT", 3, BODY, 30), piece("PT", 5, BODY, 30), prior)
    result = run(source, tmp_path)
    assert result["code"] == "ambiguous"
    assert "examinations" in result["reason"]
