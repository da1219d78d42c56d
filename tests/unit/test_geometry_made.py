"""Made scans of every usual kind lie where SimpleITK's GDCM reader and dcm2niix put them, with the same values."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

import converters as others
import dicom_scans as make
from calciflow.index import index_scan

both = pytest.mark.parametrize("converter", others.CONVERTERS)


def _turned(x: float, y: float, z: float) -> tuple[float, ...]:
    """Image orientation after turns about the three axes, degrees."""
    a, b, c = np.radians([x, y, z])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    matrix = about_z @ about_y @ about_x
    return (*matrix[:, 0], *matrix[:, 1])


@both
@pytest.mark.parametrize("kind", ["ct", "pet"])
@pytest.mark.parametrize("angles", [(7, -4, 0), (0, 0, 12), (-11, 9, 170), (20, 0, 90)], ids=str)
def test_oblique(angles: tuple[float, ...], kind: str, converter: str, tmp_path: Path) -> None:
    make.write(tmp_path / "in", getattr(make, kind)(7, orientation=_turned(*angles)))
    others.assert_same_as(converter, tmp_path / "in", tmp_path / "theirs")


@both
@pytest.mark.parametrize("position", make.ORIENTATIONS)
def test_patient_positions(position: str, converter: str, tmp_path: Path) -> None:
    # Feet first, prone and decubitus; DICOM's positions are the patient's, so the word itself must not matter.
    def turn(data: Dataset) -> None:
        data.PatientPosition = position

    orientation = make.ORIENTATIONS[position]
    make.scan(
        tmp_path / "in",
        *(make.change(getattr(make, kind)(10, orientation=orientation), turn) for kind in ("ct", "pet")),
    )
    for number, kind in enumerate(("ct", "pet")):
        ours = others.through_stages(tmp_path / "in", tmp_path / "ours", kind)
        theirs = others.CONVERTERS[converter](tmp_path / "in" / f"s{number}", tmp_path / "theirs" / kind)
        others.assert_agree(ours, theirs)


@both
def test_files_and_numbers_in_no_order(converter: str, tmp_path: Path) -> None:
    series = make.ct(9)
    if converter == "SimpleITK":  # dcm2niix goes by Instance Number, which is a vendor's note
        for data, number in zip(series, np.random.default_rng(5).permutation(9), strict=True):
            data.InstanceNumber = int(number) + 1
    make.write(tmp_path / "in", [series[k] for k in np.random.default_rng(6).permutation(9)])
    others.assert_same_as(converter, tmp_path / "in", tmp_path / "theirs")


def test_duplicates_count_once(tmp_path: Path) -> None:
    series = make.ct(9)
    make.write(tmp_path / "once", series)
    again = make.renumber(series[3:6], 3)
    for data in again:
        data.SeriesInstanceUID = series[0].SeriesInstanceUID
    make.write(tmp_path / "in" / "ct", [*again, *series])
    make.write(tmp_path / "in" / "pet", make.pet())
    ours = others.through_stages(tmp_path / "in", tmp_path / "ours", "ct")
    others.assert_agree(ours, others.by_simpleitk(tmp_path / "once", tmp_path))


def test_jitter_is_kept_and_recorded(tmp_path: Path) -> None:
    gaps = [3.27, 3.27, 3.19, 3.27, 3.29, 3.27, 3.27, 3.27, 3.19]
    places = np.cumsum([100.0, *gaps])
    series = make.pet(10, increment=3.27)
    for data, z in zip(series, places, strict=True):
        data.ImagePositionPatient[2] = float(np.round(z, 2))
    make.write(tmp_path / "in", series)
    ours = others.through_stages(tmp_path / "in", tmp_path / "ours", "pet", require_ct=False)
    others.assert_agree(ours, others.by_simpleitk(tmp_path / "in", tmp_path))
    sidecar = json.loads((tmp_path / "ours" / "x.json").read_text())
    regular = places[0] + np.arange(10) * (places[-1] - places[0]) / 9
    assert sidecar["SliceJitter"] == pytest.approx(np.abs(places - regular).max(), abs=1e-3)
    assert sidecar["SliceIncrement"] == pytest.approx(np.mean(gaps), abs=1e-3)


@pytest.mark.parametrize("kind", ["CT", "PET"])
def test_one_missing_slice_is_refused_by_its_position(kind: str, tmp_path: Path) -> None:
    series = {"CT": make.ct(), "PET": make.pet()}
    del series[kind][4]
    source = make.scan(tmp_path / "in", *series.values())
    index_scan(
        series=str(tmp_path / "series.tsv"),
        screening=str(tmp_path / "screening.json"),
        selection=str(tmp_path / "selection.json"),
        scan={"participant_id": "sub-01", "session_id": "ses-01"},
        sources={"source": str(source)},
    )
    screening = json.loads((tmp_path / "screening.json").read_text())
    assert screening["code"] == "missing_slice"
    assert "between z = 109.00 and 115.00 mm" in screening["reason"]  # 100 + 3 * 3 and 100 + 5 * 3


def _compress(option: str) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        program = Path(sys.executable).with_name("gdcmconv")
        if not program.exists():
            pytest.skip("gdcmconv, part of python-gdcm, is not on this machine")
        packed = path.with_suffix(".packed")
        subprocess.run([str(program), option, str(path), str(packed)], check=True, capture_output=True)
        packed.replace(path)

    return run


SYNTAXES: dict[str, str | Callable[[Path], None]] = {
    "implicit": ImplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "JPEG lossless": _compress("--jpeg"),
    "JPEG-LS": _compress("--jpegls"),
    "JPEG 2000": _compress("--j2k"),
    "RLE": _compress("--rle"),
}
NOT_DCM2NIIX = {"deflated", "JPEG-LS"}


@both
@pytest.mark.parametrize("words", ["16 unsigned", "16 signed", "12 unsigned", "12 signed", "12 signed, bare"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_syntaxes_and_words(syntax: str, words: str, converter: str, tmp_path: Path) -> None:
    if converter == "dcm2niix" and syntax in NOT_DCM2NIIX:
        pytest.skip(f"Debian's dcm2niix does not read {syntax}")
    if converter == "dcm2niix" and words.startswith("12 signed"):
        pytest.skip("dcm2niix cuts 12-bit values off without their sign")
    bare = words.endswith("bare")  # the four bits above the sign are zero
    bits, kind = int(words[:2]), words[3:].removesuffix(", bare")
    random = np.random.default_rng(8)
    high = 1 << (bits if kind == "unsigned" else bits - 1)
    low, high = (0, min(high, 30000)) if kind == "unsigned" else (-min(high, 1024), min(high, 20000))
    series = []
    for k in range(5):
        stored = random.integers(low, high, (20, 16)).astype(np.uint16 if kind == "unsigned" else np.int16)
        data = make.image("CT", k, stored)
        data.BitsStored, data.HighBit = bits, bits - 1
        data.RescaleIntercept = -1024 if kind == "unsigned" else 0
        if bare:
            data.PixelData = (stored.view(np.uint16) & 0xFFF).astype("<u2").tobytes()
        how = SYNTAXES[syntax]
        if isinstance(how, str):
            if how == ExplicitVRBigEndian:
                data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
            data.file_meta.TransferSyntaxUID = how
        series.append(data)
    paths = make.write(tmp_path / "in", series)
    if not isinstance(how, str):
        for path in paths:
            how(path)
    others.assert_same_as(converter, tmp_path / "in", tmp_path / "theirs")


@both
def test_padding_below_air(converter: str, tmp_path: Path) -> None:
    # GE: signed words, -2000 outside the field of view. Both others keep -2000; here it is air.
    series = []
    for k in range(5):
        stored = np.random.default_rng(k).integers(-1000, 2000, (20, 16)).astype(np.int16)
        stored[:, :3] = -2000
        data = make.image("CT", k, stored)
        data.RescaleIntercept = 0
        data.add_new(0x00280120, "SS", -2000)
        series.append(data)
    make.write(tmp_path / "in", series)
    ours = others.one_series(tmp_path / "in")
    assert np.count_nonzero(ours.array == -1024) == 5 * 20 * 3
    others.assert_agree(ours, others.CONVERTERS[converter](tmp_path / "in", tmp_path / "theirs"))


@pytest.mark.parametrize("digits", [3, 4, 6])
def test_directions_written_with_few_digits_move_no_slice(digits: int, tmp_path: Path) -> None:
    # 400 mm of oblique slices, positions to 0.01 mm: a normal taken from three-digit cosines is 0.2 mm off at the end,
    # an increment taken from the first gap 0.5 mm. Each slice must lie where its own header says.
    orientation = _turned(3, -2, 5)
    series = []
    for k in range(200):
        data = make.image("CT", k, np.full((12, 10), 1024 + k, np.uint16), orientation=orientation, increment=2.0)
        data.ImagePositionPatient = [round(float(v), 2) for v in data.ImagePositionPatient]
        data.ImageOrientationPatient = [round(float(v), digits) for v in data.ImageOrientationPatient]
        series.append(data)
    make.write(tmp_path, series)
    ours = others.one_series(tmp_path)
    corners = ours.world(np.argwhere(np.ones((200, 2, 2), bool)) * [1, 11, 9])
    values = ours.array[:, ::11, ::9].ravel()
    for k, data in enumerate(series):
        first = np.array(data.ImagePositionPatient) * [-1, -1, 1]
        assert np.linalg.norm(corners[values == k] - first, axis=1).min() < 0.015, k
