"""A PET-BIDS dataset as a source gives what the DICOM files give."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from calciflow import suvrules
from calciflow.dicom.bids import find
from calciflow.errors import Refusal
from calciflow.images import read_volume
from calciflow.index import index_scan
from calciflow.tree import Tree
from dicom_scans import convert_scan

METADATA: dict[str, Any] = {
    "Units": "Bq/mL",
    "TracerName": "fluoride",
    "TracerRadionuclide": "F18",
    "InjectedRadioactivity": 200.0,
    "InjectedRadioactivityUnits": "MBq",
    "BodyWeight": 70.0,
    "AttenuationCorrection": "CT-based",
    "InjectionStart": 0,
    "ScanStart": 3600,
    "ImageDecayCorrected": True,
    "ImageDecayCorrectionTime": 3600,
    "FrameTimesStart": [0],
    "FrameDuration": [120],
}
# The usual way out of a converter: x to the left, so the first axis runs against canonical.
PET_AFFINE = np.array([[-4.0, 0, 0, 60], [0, 4, 0, -70], [0, 0, 3, 100], [0, 0, 0, 1]])
CT_AFFINE = np.array([[-2.0, 0, 0, 60], [0, 2, 0, -70], [0, 0, 3, 100], [0, 0, 0, 1]])
RANDOM = np.random.default_rng(0)
PET = RANDOM.uniform(0, 9e4, (12, 10, 9)).astype(np.float32)
CT = RANDOM.integers(-1024, 2000, (24, 20, 9)).astype(np.int16)


def changed(row: int, column: int, value: float) -> np.ndarray:
    """The PET's affine with another entry."""
    affine = PET_AFFINE.copy()
    affine[row, column] = value
    return affine


def dataset(
    root: Path, pet: np.ndarray = PET, affine: np.ndarray = PET_AFFINE, ct: bool = True, **changes: Any
) -> Path:
    folder = root / "sub-x" / "pet"
    folder.mkdir(parents=True)
    nib.save(nib.Nifti1Image(pet, affine), folder / "sub-x_pet.nii.gz")
    metadata = {key: value for key, value in (METADATA | changes).items() if value is not None}
    (folder / "sub-x_pet.json").write_text(json.dumps(metadata))
    if ct:
        nib.save(nib.Nifti1Image(CT, CT_AFFINE), folder / "sub-x_ct.nii.gz")
    return root


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


@pytest.mark.parametrize("turn", ["plain", "kilo", "flipped"])
def test_values_places_and_suv(turn: str, tmp_path: Path) -> None:
    pet, affine, changes = PET, PET_AFFINE, {}
    if turn == "kilo":
        pet, changes = PET / 1000, {"Units": "kBq/mL"}
    if turn == "flipped":
        pet, affine = PET[:, ::-1, ::-1], PET_AFFINE @ [[1, 0, 0, 0], [0, -1, 0, 9], [0, 0, -1, 8], [0, 0, 0, 1]]
    result = run(dataset(tmp_path / "in", pet, affine, **changes), tmp_path)
    assert result["verdict"] == "accepted", result["reason"]
    names = {kind: str(tmp_path / f"{kind}.nii.gz") for kind in ("ct", "pet")}
    convert_scan(
        selection=str(tmp_path / "selection.json"),
        ct=names["ct"],
        ct_json=str(tmp_path / "ct.json"),
        pet=names["pet"],
        pet_json=str(tmp_path / "pet.json"),
    )
    for kind, truth, place in (("pet", PET, PET_AFFINE), ("ct", CT, CT_AFFINE)):
        volume = read_volume(names[kind])
        assert np.all(np.diag(volume.affine) > 0)
        indices = np.argwhere(np.ones(truth.shape, bool))
        points = nib.affines.apply_affine(place, indices)
        found = np.rint(volume.index(points)).astype(int)
        np.testing.assert_allclose(volume.world(found), points, atol=1e-4)
        np.testing.assert_allclose(volume.array[tuple(found.T)], truth[tuple(indices.T)], rtol=1e-6)
    # By hand: weight in g / what is left of the dose one hour after injection.
    (factor,) = suvrules.evaluate(json.loads((tmp_path / "selection.json").read_text())["suv"], {}).factors
    assert factor == pytest.approx(70000 / (200e6 * np.exp(-np.log(2) * 3600 / 6586.2)), rel=1e-6)
    assert json.loads((tmp_path / "pet.json").read_text())["Units"] == "Bq/mL"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Units": "counts"}, "units"),
        ({"Units": None}, "units"),
        ({"AttenuationCorrection": "none"}, "no_ac_pet"),
        ({"AttenuationCorrection": None}, "no_ac_pet"),
        ({"ScanStart": None}, "time"),
        ({"ScanStart": 9 * 3600, "ImageDecayCorrectionTime": 9 * 3600}, "time"),
        ({"BodyWeight": None}, "no_weight"),
        ({"InjectedRadioactivity": None}, "no_dose"),
        ({"InjectedRadioactivityUnits": None}, "no_dose"),
        ({"InjectedRadioactivity": 2.0}, "dose"),
        ({"TracerRadionuclide": None}, "half_life"),
        ({"pet": np.zeros((12, 10, 9), np.float32)}, "empty"),
        ({"pet": np.full((12, 10, 9), np.nan, np.float32)}, "unreadable"),
        ({"pet": np.repeat(PET[..., None], 3, axis=3)}, "no_ac_pet"),
        ({"pet": PET[:, :, 0]}, "geometry"),
        ({"affine": changed(0, 1, 1.0)}, "geometry"),
        ({"affine": changed(0, 3, 900.0)}, "no_overlap"),
        ({"ct": False}, "no_ct"),
        ({"affine": PET_AFFINE[[2, 1, 0, 3]] * [[1], [1], [-1], [1]]}, "geometry"),  # sagittal slices
    ],
)
def test_refusals(changes: dict[str, Any], code: str, tmp_path: Path) -> None:
    result = run(dataset(tmp_path / "in", **changes), tmp_path)
    assert (result["verdict"], result["code"]) == ("refused", code), result["reason"]


def test_admin_decay_correction(tmp_path: Path) -> None:
    run(dataset(tmp_path / "in", ImageDecayCorrectionTime=0), tmp_path)
    (factor,) = suvrules.evaluate(json.loads((tmp_path / "selection.json").read_text())["suv"], {}).factors
    assert factor == pytest.approx(70000 / 200e6, rel=1e-6)


def test_a_single_frame_in_time_is_a_static_image(tmp_path: Path) -> None:
    assert run(dataset(tmp_path / "in", PET[..., None]), tmp_path)["verdict"] == "accepted"


def test_a_series_named_where_there_is_none_is_said(tmp_path: Path) -> None:
    result = run(dataset(tmp_path / "in", ct=False), tmp_path, ct_series="1")
    assert result["code"] == "not_found"
    assert result["reason"] == "`ct_series` fits no CT file of this BIDS dataset; it holds none."


def test_a_dataset_without_pet_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(CT, CT_AFFINE), tmp_path / "sub-x_ct.nii.gz")
    with pytest.raises(Refusal, match=r"holds no file \*_pet\.nii\.gz") as refused:
        find({"source": Tree(tmp_path)}, None, None)
    assert refused.value.code == "no_pet"


@pytest.mark.parametrize("decay", [{"ImageDecayCorrected": False}, {"ImageDecayCorrectionTime": None}])
def test_what_the_image_is_decay_corrected_to(decay: dict[str, Any], tmp_path: Path) -> None:
    """Not at all: a frame of 120 s from 3600 s on, by its mean activity. No time given: to the start of the scan."""
    run(dataset(tmp_path / "in", **decay), tmp_path)
    (factor,) = suvrules.evaluate(json.loads((tmp_path / "selection.json").read_text())["suv"], {}).factors
    rate = np.log(2) / 6586.2
    left = np.exp(-rate * 3600)
    if "ImageDecayCorrected" in decay:
        left *= (1 - np.exp(-rate * 120)) / (rate * 120)  # the mean over the frame
    assert factor == pytest.approx(70000 / (200e6 * left), rel=1e-5)


@pytest.mark.parametrize("damage", ["no json", "bad json", "a list", "cut"])
def test_damaged_files(damage: str, tmp_path: Path) -> None:
    source = dataset(tmp_path / "in")
    sidecar = source / "sub-x" / "pet" / "sub-x_pet.json"
    image = sidecar.with_name("sub-x_pet.nii.gz")
    if damage == "no json":
        sidecar.unlink()
    elif damage == "bad json":
        sidecar.write_text("{")
    elif damage == "a list":
        sidecar.write_text("[]")
    else:
        image.write_bytes(image.read_bytes()[:500])
    assert run(source, tmp_path)["code"] == "unreadable"


def test_weight_of_the_sheet(tmp_path: Path) -> None:
    source = dataset(tmp_path / "in", BodyWeight=None)
    assert run(source, tmp_path, overrides={"weight_kg": 70.0})["verdict"] == "accepted"


def test_two_pets_are_ambiguous_until_one_is_named(tmp_path: Path) -> None:
    source = dataset(tmp_path / "in")
    folder = source / "sub-x" / "pet"
    for ending in ("nii.gz", "json"):
        (folder / f"sub-x_rec-b_pet.{ending}").write_bytes((folder / f"sub-x_pet.{ending}").read_bytes())
    doubt = run(source, tmp_path)
    assert doubt["code"] == "ambiguous"
    assert doubt["reason"].endswith("they are #1, #2.")
    gone = run(source, tmp_path, pet_series="*rec-c*")
    assert gone["code"] == "not_found"
    assert gone["reason"].endswith("they are #1, #2.")
    assert run(source, tmp_path, pet_series="#2")["verdict"] == "accepted"
    assert run(source, tmp_path, pet_series="*rec-b*")["verdict"] == "accepted"


@pytest.mark.parametrize("place", ["ct/sub-x_ct.nii.gz", "anat/sub-x_CT.nii.gz", "anat/sub-x_acq-lowdose_ct.nii.gz"])
def test_ct_in_a_folder_of_its_own(place: str, tmp_path: Path) -> None:
    source = dataset(tmp_path / "in")
    target = source / "sub-x" / place
    target.parent.mkdir()
    (source / "sub-x" / "pet" / "sub-x_ct.nii.gz").rename(target)
    result = run(source, tmp_path)
    assert result["verdict"] == "accepted", result["reason"]
    assert result["size"]["ct"] == [24, 20, 9]


def test_stored_integers_are_scaled_by_the_file_s_own_slope(tmp_path: Path) -> None:
    source = dataset(tmp_path / "in")
    stored = np.arange(12 * 10 * 9, dtype=np.int16).reshape(12, 10, 9)
    image = nib.Nifti1Image(stored, PET_AFFINE)
    image.header.set_slope_inter(2.5, 0.0)
    nib.save(image, source / "sub-x" / "pet" / "sub-x_pet.nii.gz")
    # nibabel writes the numbers as given times what it derives; what another reader sees is the truth.
    truth = nib.load(source / "sub-x" / "pet" / "sub-x_pet.nii.gz").get_fdata()
    assert run(source, tmp_path)["verdict"] == "accepted"
    convert_scan(
        selection=str(tmp_path / "selection.json"), pet=str(tmp_path / "p.nii.gz"), pet_json=str(tmp_path / "p.json")
    )
    found = read_volume(tmp_path / "p.nii.gz").array
    np.testing.assert_allclose(found[4].T[::-1], truth[:, :, 4], rtol=1e-6)
    np.testing.assert_allclose(sorted(found.ravel()), sorted(truth.ravel()), rtol=1e-6)


@pytest.mark.parametrize("units", ["BQML", "Bq/ml", "SUV", "kBq", 7, None])
def test_units_that_are_not_the_words_of_bids_are_refused(units: object, tmp_path: Path) -> None:
    assert run(dataset(tmp_path / "in", Units=units), tmp_path)["code"] == "units"


def test_names_and_metadata_of_a_person_stay_inside(tmp_path: Path) -> None:
    source = dataset(tmp_path / "ZQX Doe", InstitutionName="ZQX", TracerName="ZQX", PatientName="ZQX", KeyZQX=1)
    folder = source / "sub-x" / "pet"
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.replace("sub-x", "ZQX")))
    result = run(source, tmp_path)
    assert result["verdict"] == "accepted", result["reason"]
    convert_scan(
        selection=str(tmp_path / "selection.json"), pet=str(tmp_path / "p.nii.gz"), pet_json=str(tmp_path / "p.json")
    )
    shown = [(tmp_path / name).read_text() for name in ("series.tsv", "screening.json", "p.json")]
    assert "ZQX" not in "".join(shown) + str(nib.load(tmp_path / "p.nii.gz").header)
    (folder / "ZQX_pet.json").write_text("{")
    assert "ZQX" not in run(source, tmp_path)["reason"]
