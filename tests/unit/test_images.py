"""Volumes keep their place, and their files are the same bytes each time; checked against nibabel and SimpleITK."""

import gzip
from collections import Counter
from io import BytesIO

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from isal import igzip

from calciflow.images import Volume, read_volume, write_repeatably, write_volume

TURN = np.radians(10)
OBLIQUE = np.array(
    [
        [1.5 * np.cos(TURN), -2.0 * np.sin(TURN), 0, -30.0],
        [1.5 * np.sin(TURN), 2.0 * np.cos(TURN), 0, 12.0],
        [0, 0, 3.0, 700.0],
        [0, 0, 0, 1],
    ]
)


@pytest.fixture
def volume():
    return Volume(np.random.default_rng(1).integers(-1024, 3000, (5, 6, 7), np.int16), OBLIQUE)


def test_nibabel_reads_the_same(tmp_path, volume):
    path = tmp_path / "v.nii.gz"
    write_volume(path, volume, np.int16)
    image = nib.load(path)
    assert image.get_data_dtype() == np.int16
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).T, volume.array)
    np.testing.assert_allclose(image.affine, OBLIQUE, atol=1e-4)
    np.testing.assert_allclose(image.get_qform(), OBLIQUE, atol=1e-4)


def test_simpleitk_agrees_on_every_point(tmp_path, volume):
    path = tmp_path / "v.nii.gz"
    write_volume(path, volume, np.int16)
    file_image, own = sitk.ReadImage(str(path)), volume.to_sitk()
    for index in [(0, 0, 0), (6, 5, 4), (3, 1, 2)]:
        point = np.array(file_image.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
        np.testing.assert_allclose(volume.world(np.array([index[::-1]]))[0], point, atol=1e-3)
        np.testing.assert_allclose(own.TransformIndexToPhysicalPoint(index) * np.array([-1, -1, 1]), point, atol=1e-3)
        assert own[index] == file_image[index]
    back = Volume.from_sitk(own)
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-9)
    np.testing.assert_array_equal(back.array, volume.array)


def test_round_trip_and_same_bytes(tmp_path, volume):
    write_volume(tmp_path / "a.nii.gz", volume, np.int16)
    write_volume(tmp_path / "b.nii.gz", volume, np.int16)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    again = read_volume(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(again.array, volume.array)
    assert again.array.dtype == np.int16


def test_a_scale_factor_is_applied(tmp_path, volume):
    image = nib.Nifti1Image(volume.array.T.astype(np.int16), OBLIQUE)
    image.header.set_slope_inter(0.5, -10)
    nib.save(image, tmp_path / "s.nii.gz")
    stored = np.asanyarray(nib.load(tmp_path / "s.nii.gz").dataobj).T
    np.testing.assert_allclose(read_volume(tmp_path / "s.nii.gz").array, stored, rtol=1e-6)


def test_world_and_index_are_inverse(volume):
    points = np.array([[0.0, 0, 0], [4, 5, 6], [1.5, 2.25, 3.125]])
    np.testing.assert_allclose(volume.index(volume.world(points)), points, atol=1e-9)


def test_crop_stays_in_place(volume):
    box = (slice(1, 4), slice(2, 6), slice(3, None))
    part = volume.crop(box)
    np.testing.assert_allclose(part.world(np.zeros((1, 3))), volume.world(np.array([[1, 2, 3]])))
    np.testing.assert_array_equal(part.array, volume.array[1:4, 2:6, 3:])


def test_spacing_and_volume(volume):
    np.testing.assert_allclose(volume.spacing, (3.0, 2.0, 1.5))
    assert volume.voxel_ml == pytest.approx(0.009)


def test_more_than_three_dimensions_are_refused(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2, 3), np.int16), np.eye(4)), tmp_path / "d.nii.gz")
    with pytest.raises(ValueError, match="3 dimensions"):
        read_volume(tmp_path / "d.nii.gz")


def test_packed_bytes_do_not_depend_on_where_memory_lies():
    """Without the early flush some 8 of these 2,000 streams differ (ISA-L hashes an address)."""
    rng = np.random.default_rng(0)
    data = np.zeros(400_000, np.uint8)
    for start in range(1000, len(data) - 900, 1500):
        if 1200 < start % 32768 < 31000:  # a table's stale entries point at multiples of the window
            data[start : start + 900] = rng.integers(0, 256, 900)
    streams, packed = [], Counter()
    for _ in range(2000):
        raw = BytesIO()
        stream = igzip.IGzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0)
        write_repeatably(stream, data.tobytes())
        streams.append(stream.compress)  # kept, so that the next one lies elsewhere
        stream.close()
        packed[raw.getvalue()] += 1
    assert len(packed) == 1
    assert gzip.decompress(next(iter(packed))) == data.tobytes()
