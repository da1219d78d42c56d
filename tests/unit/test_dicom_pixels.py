"""Pixels: every usual way to store them gives the same values."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

import dicom_scans as make
from calciflow.dicom.headers import quiet, read_listing
from calciflow.dicom.pixels import (
    Undecodable,
    activity,
    hounsfield,
    open_slice,
    padding,
    rescale,
    stored_values,
)
from calciflow.dicom.volume import values
from calciflow.errors import Refusal
from calciflow.images import Volume

TRUTH = np.random.default_rng(3).integers(0, 4096, (20, 16), dtype=np.uint16)


def one(stored: np.ndarray = TRUTH, **tags: object) -> Dataset:
    data = make.image("CT", 0, stored)
    for tag, value in tags.items():
        setattr(data, tag, value)
    return data


def through_file(data: Dataset, syntax: str | None = None) -> Dataset:
    """Write and read again, as the stage reads."""
    if syntax == ExplicitVRBigEndian:
        data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
    if syntax is not None:
        data.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return open_slice(buffer.getvalue())


@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda uid: uid.name,
)
def test_uncompressed_syntaxes(syntax: str) -> None:
    data = through_file(one(), syntax)
    assert np.array_equal(stored_values(data), TRUTH)
    assert np.array_equal(values(data, None, pet=False), TRUTH.astype(int) - 1024)


def test_rle() -> None:
    data = one()
    data.compress(RLELossless, generate_instance_uid=False)
    assert np.array_equal(stored_values(through_file(data)), TRUTH)


@pytest.mark.parametrize("option", ["--jpeg", "--jpegls", "--j2k", "--rle"])
@pytest.mark.parametrize("kind", ["unsigned", "signed", "12 bit signed"])
def test_lossless_compression_by_another_program(option: str, kind: str, tmp_path: Path) -> None:
    # GDCM's own command line encodes; the stage decodes.
    program = Path(sys.executable).with_name("gdcmconv")
    if not program.exists() and shutil.which("gdcmconv") is None:
        pytest.skip("gdcmconv, part of python-gdcm, is not on this machine")
    stored = TRUTH if kind == "unsigned" else (TRUTH.astype(np.int16) - 2048)
    data = one(stored)
    if kind == "12 bit signed":
        data.BitsStored, data.HighBit = 12, 11
    data.save_as(tmp_path / "raw.dcm", enforce_file_format=True)
    subprocess.run(
        [str(program), option, str(tmp_path / "raw.dcm"), str(tmp_path / "packed.dcm")], check=True, capture_output=True
    )
    with quiet():
        packed = open_slice((tmp_path / "packed.dcm").read_bytes())
        assert packed.file_meta.TransferSyntaxUID.is_compressed
        assert np.array_equal(stored_values(packed), stored)


def test_lossy_compression_is_refused() -> None:
    data = one()
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
    data.LossyImageCompression = "01"
    with pytest.raises(Refusal, match="loss") as caught:
        stored_values(data)
    assert caught.value.code == "transfer_syntax"


def test_unknown_syntax_is_refused() -> None:
    data = one()
    data.file_meta.TransferSyntaxUID = "1.2.3.4.5"
    with pytest.raises(Refusal) as caught:
        stored_values(data)
    assert caught.value.code == "transfer_syntax"


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_overlay_bits_and_sign(bits: int) -> None:
    # Old scanners keep an overlay in the bits above the pixel's; they are no part of its value.
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    stored = np.random.default_rng(1).integers(low, high, (20, 16)).astype(np.int16)
    words = stored.view(np.uint16) & ((1 << bits) - 1)
    if bits < 16:
        words |= np.uint16(1 << 15)
    data = one(words.view(np.int16))
    data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits - 1, 1
    assert np.array_equal(stored_values(through_file(data)), stored)


def test_eight_and_thirty_two_bits() -> None:
    for kind in (np.uint8, np.uint32):
        stored = (TRUTH % 200).astype(kind)
        data = one(stored)
        data.BitsAllocated = data.BitsStored = stored.itemsize * 8
        data.HighBit = data.BitsStored - 1
        assert np.array_equal(stored_values(through_file(data)), stored)


@pytest.mark.parametrize("pad", [63536, -2000])
def test_padding_becomes_air(pad: int) -> None:
    # GE: signed pixels, padding -2000, which an unsigned element gives as 63536.
    stored = np.full((20, 16), 1040, np.int16)
    stored[:3] = -2000
    data = one(stored)
    data.add_new(0x00280120, "US" if pad > 0 else "SS", pad)
    result = values(through_file(data), None, pet=False)
    assert np.all(result[:3] == -1024)
    assert np.all(result[3:] == 16)


def test_padding_of_positive_value_becomes_air() -> None:
    stored = np.full((20, 16), 1040, np.uint16)
    stored[0] = 4095
    data = one(stored)
    data.add_new(0x00280120, "US", 4095)
    result = values(through_file(data), None, pet=False)
    assert np.all(result[0] == -1024)
    assert np.all(result[1:] == 16)


@pytest.mark.parametrize(
    ("slope", "intercept", "stored", "expected"),
    [
        (1, -1024, [0, 1024, 4095], [-1024, 0, 3071]),
        (1, -1024, [0, 40000, 65535], [-1024, 32767, 32767]),
        (1, -8192, [0, 8192, 60000], [-1024, 0, 32767]),
        (0.5, -1000, [0, 2001, 3], [-1000, 0, -998]),
        (1, 0, [0, 65535, 33000], [0, 32767, 32767]),
        (2.0, -1024, [0, 512, 10], [-1024, 0, -1004]),
    ],
)
def test_hounsfield_units(slope: float, intercept: float, stored: list[int], expected: list[int]) -> None:
    result = hounsfield(np.array([stored], np.uint16), slope, intercept, None)
    assert result.dtype == np.int16
    assert result.tolist() == [expected]


def test_activity_by_the_slice_s_own_slope() -> None:
    result = activity(np.array([[0, -3, 32767]], np.int16), 1.7141, None)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [[0, -5.1423, 56165.9147]], rtol=1e-6)


def test_padding_range() -> None:
    data = one()
    data.add_new(0x00280120, "US", 0)
    data.add_new(0x00280121, "US", 10)
    assert padding(data) == (0, 10)
    stored = np.array([[0, 5, 10, 11]], np.uint16)
    assert hounsfield(stored, 1, 0, (0, 10)).tolist() == [[-1024, -1024, -1024, 11]]


@pytest.mark.parametrize(
    "tags",
    [
        {"PixelData": b"12"},
        {"PixelData": b""},
        {"BitsAllocated": 12},
        {"BitsStored": 20},
        {"HighBit": 3, "BitsStored": 12},
        {"Rows": 0},
        {"SamplesPerPixel": 3},
    ],
)
def test_broken_pixels_are_named_not_decoded(tags: dict[str, object]) -> None:
    with pytest.raises(Undecodable):
        stored_values(one(**tags))


def test_float_pixels_are_not_taken_for_integers() -> None:
    data = one()
    del data.PixelData
    data.add_new(0x7FE00008, "OF", np.zeros((20, 16), np.float32).tobytes())
    with pytest.raises(Undecodable, match="floating"):
        stored_values(data)


@pytest.mark.parametrize("tag", ["RescaleSlope", "RescaleIntercept"])
def test_missing_rescale(tag: str) -> None:
    data = one()
    delattr(data, tag)
    with pytest.raises(Refusal) as caught:
        rescale(data)
    assert caught.value.code == "scaling"


# --- real data ----------------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_real_images_in_nine_syntaxes_are_the_same(testdata: Path) -> None:
    import nibabel as nib

    first = None
    for number in range(1, 10):
        with quiet():
            data = open_slice((testdata / "edge" / "transfer_syntax" / "In" / f"{number}.dcm").read_bytes())
            stored = stored_values(data)
        first = stored if first is None else first
        assert np.array_equal(stored, first), number
    # The reference, converted by dcm2niix: 36 tiles of 64 x 64 became slices; the same values all the same.
    reference = np.asarray(nib.load(testdata / "edge" / "transfer_syntax" / "Ref" / "1.nii").dataobj)
    assert first is not None
    tiles = first.reshape(6, 64, 6, 64).transpose(0, 2, 1, 3).reshape(36, 64, 64)[: reference.shape[2]]
    for k in range(reference.shape[2]):
        assert np.array_equal(np.sort(tiles[k].ravel()), np.sort(reference[:, :, k].ravel()))


@pytest.mark.realdata
@pytest.mark.parametrize(
    "name",
    [
        "ge/anatomical/001",
        "ge/anatomical/001_implicit",
        "generic/anatomical/001",
        "generic/anatomical/001_implicit",
        "generic/anatomical/002_non_isotropic",
        "generic/compressed/001",
        "generic/compressed_j2k/001",
        "generic/compressed_jpeg/001",
        "generic/compressed_jpegls/001",
        "generic/compressed_rle/001",
    ],
)
def test_real_series_lie_where_another_converter_puts_them(testdata: Path, name: str) -> None:
    import nibabel as nib

    from calciflow.dicom.series import _measure, group

    folder = testdata / "edge" / "dicom2nifti" / name
    (item,) = group([("source", read_listing(folder).headers)])
    _measure(item)  # sagittal MR: a grid, though no scan that a study may use
    assert item.grid is not None
    array = np.zeros(item.grid.shape, np.int32)
    view = item.grid.slices_of(array)
    for index, slot in enumerate(item.grid.slots):
        with quiet():
            view[index] = stored_values(open_slice((folder / item.headers[slot[0]].entry.path).read_bytes()))
    reference = nib.load(folder.with_name(f"{folder.name}_ground_truth.nii.gz"))
    theirs = np.asarray(reference.dataobj)
    places = np.argwhere(np.ones(theirs.shape, bool))[:: 97 if theirs.size > 10**5 else 1]
    points = nib.affines.apply_affine(reference.affine, places)
    ours = Volume(array, item.grid.affine)
    found = np.rint(ours.index(points)).astype(int)
    assert np.abs(ours.world(found) - points).max() < 0.01
    assert array.shape[::-1] == theirs.shape or sorted(array.shape) == sorted(theirs.shape)
    if name != "generic/anatomical/002_non_isotropic":  # whose pixels were replaced after its reference was made
        assert np.array_equal(array[tuple(found.T)], theirs[tuple(places.T)])


@pytest.mark.realdata
def test_real_j2k_ct_has_the_reference_s_values(testdata: Path) -> None:
    headers = read_listing(testdata / "ct_reference" / "example_ct_dicom").headers
    assert len(headers) == 20
    for header in headers[:3]:
        with quiet():
            data = open_slice((testdata / "ct_reference" / "example_ct_dicom" / header.entry.path).read_bytes())
            result = values(data, None, pet=False)
        assert result.shape == (512, 512)
        assert result.min() == -1024
        assert 0.2 < np.mean(result < -900) < 0.9  # air around a body
