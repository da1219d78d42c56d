"""SUV measures against the IBSI digital phantom and analytic images."""

import nibabel as nib
import numpy as np
import pytest

from calciflow.measure.uptake import PEAK_RADIUS_MM, measure_uptake, peak_ibsi, peak_percist, sphere_weights


@pytest.mark.realdata
def test_ibsi_digital_phantom(testdata):
    folder = testdata / "ibsi" / "ibsi_1_digital_phantom" / "nifti"
    image = nib.load(folder / "image" / "phantom.nii.gz")
    values = np.asarray(image.dataobj, np.float32).T.copy()
    mask = np.asarray(nib.load(folder / "mask" / "mask.nii.gz").dataobj).T > 0
    spacing = tuple(float(v) for v in image.header.get_zooms()[::-1])
    uptake = measure_uptake(values, mask, spacing)
    # Zwanenburg et al. 2020: volume (voxel counting) 592 mm3, mean 2.15, intensity peak local 2.6 and global 3.1.
    assert uptake.volume_ml * 1000 == pytest.approx(592)
    assert uptake.suv_mean == pytest.approx(2.15, abs=0.005)
    assert uptake.suv_peak_ibsi == pytest.approx(2.6, abs=0.05)
    assert uptake.suv_peak_ibsi_global == pytest.approx(3.1, abs=0.05)


@pytest.mark.parametrize("spacing", [(3.0, 4.0, 4.0), (2.0, 2.0, 2.0), (3.27, 5.47, 5.47)])
def test_fractional_sphere_holds_one_cubic_centimetre(spacing):
    weights = sphere_weights(spacing, 7)
    assert float(weights.sum()) * np.prod(spacing) == pytest.approx(1000.0, rel=0.02)


def test_whole_voxel_sphere_takes_voxels_by_their_centres():
    weights = sphere_weights((5.0, 5.0, 5.0), 1)
    # Within 6.2 mm of the centre: itself and its six neighbours; 7.07 mm diagonals are out.
    assert weights.sum() == 7
    assert pytest.approx(6.2035, abs=1e-4) == PEAK_RADIUS_MM


def test_peaks_of_a_point_among_zeros():
    image = np.zeros((9, 9, 9), np.float32)
    image[4, 4, 4] = 7.0
    mask = image > 0
    local, overall = peak_ibsi(image, mask, (5.0, 5.0, 5.0))
    assert local == pytest.approx(1.0)
    assert overall == pytest.approx(1.0)
    assert peak_percist(image, mask, (5.0, 5.0, 5.0)) == pytest.approx(7.0 * 125 / 1000, rel=0.03)


def test_global_peak_may_lie_off_the_maximum():
    image = np.zeros((9, 9, 15), np.float32)
    image[4, 4, 3] = 10.0
    image[3:6, 3:6, 9:12] = 8.0
    mask = image > 0
    local, overall = peak_ibsi(image, mask, (5.0, 5.0, 5.0))
    assert local == pytest.approx(10.0 / 7)
    assert overall == pytest.approx(8.0)


def test_percist_centre_is_free_of_the_voxel_grid():
    # Two hot voxels side by side: the best sphere lies between them and holds more of both than one on a centre does.
    image = np.zeros((9, 9, 9), np.float32)
    image[4, 4, 4:6] = 5.0
    mask = image > 0
    free = peak_percist(image, mask, (8.0, 8.0, 8.0))
    weights = sphere_weights((8.0, 8.0, 8.0), 5)
    middle = weights.shape[0] // 2
    fixed = 5.0 * float(weights[middle, middle, middle] + weights[middle, middle, middle + 1]) / float(weights.sum())
    assert free > fixed


def test_uniform_uptake_and_totals():
    image = np.full((12, 12, 12), 3.0, np.float32)
    mask = np.zeros(image.shape, bool)
    mask[4:8, 4:8, 4:8] = True
    uptake = measure_uptake(image, mask, (3.0, 4.0, 4.0))
    assert uptake.volume_ml == pytest.approx(64 * 0.048)
    for value in (uptake.suv_max, uptake.suv_mean, uptake.suv_peak_ibsi, uptake.suv_peak_percist):
        assert value == pytest.approx(3.0, rel=1e-5)
    assert uptake.tlf == pytest.approx(3.0 * 64 * 0.048)


def test_peak_at_the_images_border_uses_what_exists():
    image = np.full((4, 4, 4), 2.0, np.float32)
    mask = np.zeros(image.shape, bool)
    mask[0, 0, 0] = True
    assert peak_ibsi(image, mask, (4.0, 4.0, 4.0))[0] == pytest.approx(2.0)
    assert peak_percist(image, mask, (4.0, 4.0, 4.0)) == pytest.approx(2.0)
