"""The SUV stage: volume in, SUVbw and its sidecar out."""

import json
import tarfile

import nibabel
import numpy as np
import pytest

from calciflow.files import read_json, write_json
from calciflow.images import Volume, read_volume, write_volume
from calciflow.index import index_scan
from calciflow.selftest import AT_START, base, every
from calciflow.suv import apply_factors, normalise_scan, plausibility, retained_fraction
from calciflow.suvrules.header import extract
from calciflow.suvrules.resolution import resolution
from dicom_scans import convert_scan


def test_factors_act_slice_by_slice_and_keep_their_digits():
    array = np.full((3, 2, 2), 1e6, np.float32)
    np.testing.assert_allclose(apply_factors(array, [1e-6, 2e-6, 3e-6])[:, 0, 0], [1, 2, 3], rtol=1e-7)
    assert apply_factors(array, [2.42903e-4]).dtype == np.float32
    with pytest.raises(ValueError, match="2 SUV factors for 3 slices"):
        apply_factors(array, [1, 2])


def test_a_uniform_body_that_kept_everything_retains_one():
    # 70 kg of water, 70 l, as 10 mm cubes at SUV 1.
    volume = Volume(np.ones((70, 40, 25), np.float32), np.diag([10.0, 10, 10, 1]))
    assert retained_fraction(volume, 70) == pytest.approx(1.0)
    assert retained_fraction(volume, None) is None


@pytest.mark.parametrize(
    ("fraction", "length", "height", "mean", "flagged"),
    [
        (0.8, 1800, 1.75, 0.8, False),
        (0.3, 1800, 1.75, 0.3, True),
        (1.3, 1800, 1.75, 1.3, True),
        (0.3, 1000, 1.75, None, False),
        (1.3, 1000, 1.75, None, True),
        (0.3, 1650, None, 0.3, True),
        (None, 1800, 1.75, None, False),
    ],
)
def test_plausibility(fraction, length, height, mean, flagged):
    found, warnings = plausibility(fraction, length, height)
    assert found == mean
    assert [warning["code"] for warning in warnings] == (["plausibility"] if flagged else [])


@pytest.mark.parametrize(
    ("kernel", "width"),
    [
        ("XYZ Gauss5.00", 6.73),
        ("XYZGAUSSIAN4.0", 6.02),
        ("All-pass", 6.0),
        (None, 6.0),
        ("Gauss 99", 6.0),
        ("Gauss 15.5", 6.0),
        (["a"], 6.0),
    ],
)
def test_resolution_from_the_post_filter(kernel, width):
    assert resolution({"kernel": kernel})[0] == width


def run(folder, series, overrides=None, stored=3600.0, **settings):
    options = {"tracer": "warn", "dose_range_mbq": (15.0, 1000.0), "max_uptake_hours": 6.0} | settings
    affine = np.diag([4.0, 4, 3, 1])
    affine[:3, 3] = [-8, -8, -300]
    write_volume(folder / "pet.nii.gz", Volume(np.full((len(series), 4, 4), stored, np.float32), affine), np.float32)
    write_json(folder / "pet.json", {"Units": "Bq/mL"})
    write_json(folder / "selection.json", {"suv": extract(series)})
    names = {"selection": "selection.json", "pet": "pet.nii.gz", "pet_json": "pet.json", "suv": "s.nii.gz"}
    normalise_scan(
        **{key: str(folder / name) for key, name in names.items()},
        suv_json=str(folder / "s.json"),
        overrides=overrides or {},
        **options,
    )
    return read_volume(folder / "s.nii.gz"), read_json(folder / "s.json")


def test_one_factor(tmp_path):
    volume, sidecar = run(tmp_path, base())
    np.testing.assert_allclose(volume.array, 3600 * AT_START, rtol=1e-6)
    np.testing.assert_allclose(volume.affine[:3, 3], [-8, -8, -300])
    assert sidecar["factor"] == pytest.approx(AT_START)
    assert sidecar["Units"] == "g/mL"
    assert sidecar["uptake_minutes"] == 60
    assert sidecar["fwhm_mm"] == 6.0
    assert sidecar["fwhm_source"] == "assumed"
    assert sidecar["inputs"]["PatientWeight (0010,1030)"] == 70
    assert sidecar["whole_body_mean_suv"] is None


def test_a_factor_for_each_slice(tmp_path):
    series = every(DecayCorrection="NONE", CorrectedImage=["ATTN"])()
    for dataset, moment in zip(series, ("110000", "111000", "112000"), strict=True):
        dataset.AcquisitionTime = moment
    volume, sidecar = run(tmp_path, series)
    ratios = volume.array[1:, 0, 0] / volume.array[:-1, 0, 0]
    np.testing.assert_allclose(ratios, 2 ** (600 / 6586.2), rtol=1e-5)
    assert len(sidecar["factors"]) == 3
    assert "factor" not in sidecar


def test_overrides_are_recorded_and_used(tmp_path):
    volume, sidecar = run(tmp_path, base(), {"weight_kg": 35.0, "injection_datetime": "2025-01-01T10:00:00"})
    np.testing.assert_allclose(volume.array, 3600 * AT_START / 2, rtol=1e-6)
    assert sidecar["overrides"] == {"weight_kg": 35.0, "injection_datetime": "given"}
    assert "2025" not in json.dumps(sidecar)


def test_more_activity_than_was_injected_is_flagged(tmp_path):
    _, sidecar = run(tmp_path, base(), stored=1e9)
    assert [warning["code"] for warning in sidecar["warnings"]] == ["plausibility"]


def test_the_same_bytes_twice(tmp_path):
    run(tmp_path, base())
    first = [(tmp_path / name).read_bytes() for name in ("s.nii.gz", "s.json")]
    run(tmp_path, base())
    assert first == [(tmp_path / name).read_bytes() for name in ("s.nii.gz", "s.json")]


def through_the_stages(source, folder):
    """A PET folder through index, convert and suv, as the workflow does it."""
    names = ("series.tsv", "screening.json", "selection.json", "pet.nii.gz", "pet.json", "s.nii.gz", "s.json")
    series, screening, selection, pet, pet_json, suv, suv_json = (str(folder / name) for name in names)
    limits = {"tracer": "warn", "dose_range_mbq": (15.0, 1000.0), "max_uptake_hours": 6.0}
    scan = {"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None}
    index_scan(
        series=series,
        screening=screening,
        selection=selection,
        scan=scan,
        sources={"source": str(source)},
        require_ct=False,
        **limits,
    )
    assert read_json(screening)["verdict"] == "accepted", read_json(screening)
    convert_scan(selection=selection, pet=pet, pet_json=pet_json)
    normalise_scan(selection=selection, pet=pet, pet_json=pet_json, suv=suv, suv_json=suv_json, overrides={}, **limits)
    return read_volume(suv), read_json(suv_json)


@pytest.mark.realdata
@pytest.mark.slow
def test_reference_objects_through_the_stages(testdata, tmp_path):
    with tarfile.open(testdata / "suv_dro.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    folders = sorted((tmp_path / "DRO").glob("DRO_*_*"))
    assert len(folders) == 17
    for folder in folders:
        suv, _ = through_the_stages(folder / "PT", tmp_path)
        # The stored volume is closest to RAS, the mask as its file has it: bring the mask to the volume's order.
        mask = nibabel.as_closest_canonical(nibabel.load(folder / "mask" / "DRO_mask.nii.gz"))
        inside = suv.array[np.asarray(mask.dataobj).T > 0]
        found = [f"{value:.2f}" for value in (inside.min(), np.median(inside), inside.max())]
        expected = ["0.19", "0.98", "3.98"] if folder.name == "DRO_2_3" else ["0.20", "1.00", "4.00"]
        assert found == expected, folder.name


@pytest.mark.realdata
@pytest.mark.slow
def test_raw_scan_through_the_stages(testdata, tmp_path):
    suv, sidecar = through_the_stages(testdata / "sts_raw_pet", tmp_path)
    assert sidecar["factor"] == pytest.approx(2.42903e-4, rel=1e-5)
    assert suv.array.shape == (267, 128, 128)
    assert sidecar["uptake_minutes"] == pytest.approx(45.18, abs=0.01)
    # Head to mid-thigh of a person: most of the dose, not all of it, and no claim about the whole body.
    assert 0.5 < sidecar["activity_in_view_fraction"] < 1.0
    assert sidecar["whole_body_mean_suv"] is None


@pytest.mark.parametrize(("kernel", "fwhm"), [("XYZ Gauss0.50", 4.53), ("Gauss 1.0", 4.61), ("XYZ GAUSS15.0", 15.66)])
def test_any_filter_within_the_legal_bounds_counts(kernel, fwhm):
    assert resolution({"kernel": kernel})[0] == fwhm


@pytest.mark.parametrize("kernel", ["XYZ Gauss0.40", "Gauss15.5", "Allpass"])
def test_other_kernels_tell_nothing(kernel):
    assert resolution({"kernel": kernel})[1] == "assumed"
