"""Geometry: where voxels lie, against the standard's arithmetic and against SimpleITK."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import dicom_scans as make
from calciflow.dicom.geometry import build_grid, canonical
from calciflow.dicom.headers import read_listing
from calciflow.dicom.series import group
from calciflow.dicom.volume import fill
from calciflow.errors import Refusal
from calciflow.images import Volume

LPS = np.array([-1.0, -1.0, 1.0])


def volume_of(folder: Path) -> Volume:
    """The one series in a folder, as stage convert makes it."""
    (item,) = group([("source", read_listing(folder).headers)])
    assert item.grid is not None, item.fault
    files = [
        {"path": h.entry.path, "member": h.entry.member, "frame": h.frame, "ordinal": 1}
        for h in (item.headers[slot[0]] for slot in item.grid.slots)
    ]
    return fill(str(folder), files, item.grid, pet=item.is_pet)


def assert_as_simpleitk(folder: Path, volume: Volume, tolerance: float = 0.01) -> None:
    """Every voxel of SimpleITK's image lies in ours at the same place with the same value."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    values = sitk.GetArrayFromImage(image)
    z, y, x = (part.ravel() for part in np.indices(values.shape))
    matrix = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    points = (np.stack([x, y, z], 1) @ matrix.T + np.array(image.GetOrigin())) * LPS
    found = volume.index(points)
    places = np.rint(found).astype(int)
    assert np.abs(volume.world(places) - points).max() < tolerance
    ours = volume.array[tuple(places.T)]
    hit = np.zeros(volume.array.shape, bool)
    hit[tuple(places.T)] = True
    assert hit.all()
    assert volume.array.size == values.size
    if volume.array.dtype == np.int16:
        assert np.array_equal(ours, np.maximum(values.ravel(), -1024))
    else:
        np.testing.assert_allclose(ours, values.ravel(), rtol=1e-6)


@pytest.mark.parametrize("position", make.ORIENTATIONS)
@pytest.mark.parametrize("kind", ["ct", "pet"])
def test_every_patient_position_agrees_with_simpleitk(position: str, kind: str, tmp_path: Path) -> None:
    orientation = make.ORIENTATIONS[position]
    make.write(tmp_path, getattr(make, kind)(7, orientation=orientation))
    volume = volume_of(tmp_path)
    assert_as_simpleitk(tmp_path, volume)
    assert np.all(np.diag(volume.affine)[:3] > 0), "canonical axes grow to the right, the front and the head"


def test_oblique_slices_agree_with_simpleitk(tmp_path: Path) -> None:
    a, b = np.radians(7.0), np.radians(-4.0)
    row = np.array([np.cos(a), np.sin(a), 0])
    column = np.array([-np.sin(a) * np.cos(b), np.cos(a) * np.cos(b), np.sin(b)])
    make.write(tmp_path, make.ct(7, orientation=(*row, *column)))
    volume = volume_of(tmp_path)
    assert_as_simpleitk(tmp_path, volume)
    lengths = np.linalg.norm(volume.affine[:3, :3], axis=0)
    np.testing.assert_allclose(lengths, [1.5, 2.0, 3.0], rtol=1e-6)


def test_descending_slices(tmp_path: Path) -> None:
    make.write(tmp_path, make.ct(7, increment=-2.5))
    volume = volume_of(tmp_path)
    assert_as_simpleitk(tmp_path, volume)
    assert volume.affine[2, 3] == pytest.approx(100 - 6 * 2.5)


def test_position_of_a_known_voxel() -> None:
    # By hand, PS3.3 C.7.6.2.1.1: pixel (row 4, column 2) of slice 3 of a supine head-first series lies at
    # x = -12 + 2 * 1.5, y = -20 + 4 * 2, z = 100 + 3 * 3 (LPS), so at (9, 12, 109) in RAS.
    grid = build_grid([(-12, -20, 100 + 3 * k) for k in range(10)], make.AXIAL, (2.0, 1.5), 20, 16)
    marked = np.zeros(grid.shape, np.int16)
    grid.slices_of(marked)[3, 4, 2] = 1
    place = np.argwhere(marked)
    np.testing.assert_allclose(Volume(marked, grid.affine).world(place), [[9.0, 12.0, 109.0]])


def _line(z: list[float]) -> list[tuple[float, float, float]]:
    return [(0.0, 0.0, value) for value in z]


def test_jitter_is_kept_and_measured() -> None:
    # The gaps of a real GE series at its bed borders.
    gaps = [3.27, 3.27, 3.19, 3.27, 3.29, 3.27, 3.27]
    grid = build_grid(_line(list(np.cumsum([0.0, *gaps]))), make.AXIAL, (4.0, 4.0), 9, 9)
    assert grid.increment == pytest.approx(np.mean(gaps))
    assert 0.02 < grid.jitter < 0.1


@pytest.mark.parametrize(
    ("z", "code", "words"),
    [
        ([0, 3, 6, 12, 15, 18], "missing_slice", "between z = 6.00 and 12.00 mm"),
        ([0, 3, 6, 18, 21, 24, 27], "missing_slice", "3 slice"),
        ([0, 1.1, 5.3, 12.7, 14], "geometry", "varies between 1.10 and 7.40"),
        ([0, 3, 6, 9, 14, 19, 24], "geometry", "varies"),
        ([0, 0, 0], "geometry", "no volume"),
    ],
)
def test_gaps_are_refused(z: list[float], code: str, words: str) -> None:
    with pytest.raises(Refusal, match=words) as caught:
        build_grid(_line(z), make.AXIAL, (4.0, 4.0), 9, 9)
    assert caught.value.code == code


def test_duplicates_share_a_slot() -> None:
    grid = build_grid(_line([0, 3, 3.001, 6, 9]), make.AXIAL, (4.0, 4.0), 9, 9)
    assert grid.slots == ((0,), (1, 2), (3,), (4,))


@pytest.mark.parametrize("degrees", [0.5, 5.0, 18.5, -14.0])
def test_tilted_gantry_is_refused(degrees: float) -> None:
    angle = np.radians(degrees)
    orientation = (1, 0, 0, 0, np.cos(angle), -np.sin(angle))
    with pytest.raises(Refusal, match=f"{abs(degrees):.1f} degrees") as caught:
        build_grid(_line([0, 3, 6, 9, 12]), orientation, (1.0, 1.0), 9, 9)
    assert caught.value.code == "gantry_tilt"


@pytest.mark.parametrize("seed", range(20))
def test_canonical_axes_move_no_voxel(seed: int) -> None:
    random = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(random.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = basis * random.uniform(0.5, 5, 3)
    affine[:3, 3] = random.normal(size=3) * 100
    shape = (4, 5, 6)
    result, axes, flips, new_shape = canonical(affine, shape)
    assert sorted(axes) == [0, 1, 2]
    # Nearest to RAS: no other order and direction of the axes has a larger trace.
    assert np.all(np.diag(result[:3, :3]) >= 0) or np.trace(np.abs(result[:3, :3])) > 0
    for place in [(0, 0, 0), (3, 4, 5), (1, 2, 3)]:
        new = [0, 0, 0]
        for old in range(3):
            new[axes[old]] = shape[old] - 1 - place[old] if flips[old] else place[old]
        point = affine[:3, :3] @ place + affine[:3, 3]
        np.testing.assert_allclose(result[:3, :3] @ new[::-1] + result[:3, 3], point, atol=1e-9)
    assert [new_shape[axes[i]] for i in range(3)] == list(shape)


# --- real data ----------------------------------------------------------------------------------------------------


@pytest.mark.realdata
@pytest.mark.parametrize("kind", ["CT", "PET"])
@pytest.mark.parametrize("person", ["001", "028", "044", "045", "049"])
def test_real_scans_agree_with_simpleitk(testdata: Path, person: str, kind: str) -> None:
    folder = testdata / "sts" / f"STS_{person}" / kind
    assert_as_simpleitk(folder, volume_of(folder))


@pytest.mark.realdata
def test_real_whole_body_pet_agrees_with_simpleitk(testdata: Path) -> None:
    volume = volume_of(testdata / "sts_raw_pet")
    assert volume.array.shape == (267, 128, 128)
    assert_as_simpleitk(testdata / "sts_raw_pet", volume, tolerance=0.01)


@pytest.mark.realdata
def test_real_tilted_ct_is_refused(testdata: Path) -> None:
    (item,) = group([("source", read_listing(testdata / "edge" / "tilt_ge").headers)])
    assert item.fault is not None
    assert item.fault.code == "gantry_tilt"


# A published collection of series that must not be converted.
FAILING = {
    "gantrytilting/001": "gantry_tilt",
    "notavolume/001": "geometry",
    "sliceincrement/001": "missing_slice",
    "sliceincrement/002": "gantry_tilt",
    "slicecount/001": "geometry",
    "sliceorientation/001": "geometry",
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", FAILING)
def test_real_failing_series_are_refused(testdata: Path, name: str) -> None:
    from calciflow.dicom.series import _measure

    groups = group([("source", read_listing(testdata / "edge" / "dicom2nifti" / "failing" / name).headers)])
    for item in groups:
        _measure(item)  # MR objects too
    assert {item.fault.code if item.fault else None for item in groups} == {FAILING[name]}
