"""Convert: the volumes hold the scanner's values where the scanner put them, and nothing of the patient's identity."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import convert_speed
import dicom_scans as make
from calciflow.images import read_volume
from calciflow.index import index_scan
from dicom_scans import convert_scan


def convert(source: Path, out: Path, **options: object) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    index_scan(
        series=str(out / "series.tsv"),
        screening=str(out / "screening.json"),
        selection=str(out / "selection.json"),
        scan={"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None},
        sources={"source": str(source)},
        **options,  # type: ignore[arg-type]
    )
    assert json.loads((out / "screening.json").read_text())["verdict"] == "accepted"
    convert_scan(
        selection=str(out / "selection.json"),
        ct=str(out / "ct.nii.gz"),
        ct_json=str(out / "ct.json"),
        pet=str(out / "pet.nii.gz"),
        pet_json=str(out / "pet.json"),
    )
    return out


def test_values_and_places(tmp_path: Path) -> None:
    ct, pet = make.ct(), make.pet()
    out = convert(make.scan(tmp_path / "in", ct, pet), tmp_path / "out")
    volume = read_volume(out / "ct.nii.gz")
    assert volume.array.dtype == np.int16
    # A supine head-first slice: columns run to the patient's left, rows to the back; canonical axes run the other way.
    for k, data in enumerate(ct):
        stored = np.frombuffer(data.PixelData, "<u2").reshape(20, 16).astype(int) - 1024
        assert np.array_equal(volume.array[k, ::-1, ::-1], stored)
    np.testing.assert_allclose(volume.world(np.array([[0, 19, 15]])), [[12, 20, 100]], atol=1e-4)
    np.testing.assert_allclose(volume.spacing, (3.0, 2.0, 1.5), rtol=1e-6)
    activity = read_volume(out / "pet.nii.gz")
    assert activity.array.dtype == np.float32
    for k, data in enumerate(pet):
        stored = np.frombuffer(data.PixelData, "<i2").reshape(10, 8) * (0.5 + 0.01 * k)
        np.testing.assert_allclose(activity.array[k, ::-1, ::-1], stored, rtol=1e-6)


@pytest.mark.parametrize("position", make.ORIENTATIONS)
def test_ct_and_pet_of_a_turned_patient_stay_together(position: str, tmp_path: Path) -> None:
    # A bright block at one point of the patient, in both images.
    orientation = make.ORIENTATIONS[position]
    normal = np.cross(orientation[:3], orientation[3:])
    centre = np.array([0.0, 0.0, 100.0])
    series = []
    for kind, shape, spacing in (("CT", (20, 24), (2.0, 1.5)), ("PT", (10, 12), (4.0, 3.0))):
        row, column = np.array(orientation[:3]), np.array(orientation[3:])
        corner = centre - row * spacing[1] * (shape[1] - 1) / 2 - column * spacing[0] * (shape[0] - 1) / 2
        corner = corner - normal * 3.0 * 4.5
        images = []
        for k in range(10):
            slice_ = np.zeros(shape, np.int16)
            u, v = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
            points = corner + k * 3.0 * normal + u[..., None] * spacing[1] * row + v[..., None] * spacing[0] * column
            block = np.abs(points - (centre + np.array([6.0, -5.0, 4.0]))).max(axis=-1) <= 4.5
            slice_[block] = 1000
            images.append(
                make.image(
                    kind,
                    k,
                    slice_,
                    number=3 if kind == "CT" else 5,
                    origin=corner,
                    orientation=orientation,
                    spacing=spacing,
                )
            )
        series.append(images)
    out = convert(make.scan(tmp_path / "in", *series), tmp_path / "out")
    for name in ("ct", "pet"):
        volume = read_volume(out / f"{name}.nii.gz")
        middle = (float(volume.array.min()) + float(volume.array.max())) / 2
        bright = np.argwhere(volume.array > middle)
        # In RAS x and y change sign. The block is sampled: its centre is found to within a voxel.
        np.testing.assert_allclose(volume.world(bright).mean(axis=0), [-6, 5, 104], atol=2.1)


def test_same_source_same_bytes(tmp_path: Path) -> None:
    source = make.scan(tmp_path / "in")
    one, two = convert(source, tmp_path / "one"), convert(source, tmp_path / "two")
    for name in ("ct.nii.gz", "ct.json", "pet.nii.gz", "pet.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_gives_what_its_folder_gives(kind: str, tmp_path: Path) -> None:
    source = make.scan(tmp_path / "in")
    packed = Path(shutil.make_archive(str(tmp_path / "x"), {"zip": "zip", "tar.gz": "gztar"}[kind], source))
    one, two = convert(source, tmp_path / "one"), convert(packed, tmp_path / "two")
    for name in ("ct.nii.gz", "pet.nii.gz", "series.tsv"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_duplicate_slices_count_once(tmp_path: Path) -> None:
    ct = make.ct()
    again = make.renumber(ct[2:5], 3)
    for data in again:
        data.SeriesInstanceUID = ct[0].SeriesInstanceUID
    one = convert(make.scan(tmp_path / "a", ct, make.pet()), tmp_path / "one")
    two = convert(make.scan(tmp_path / "b", [*again, *ct], make.pet()), tmp_path / "two")
    assert (one / "ct.nii.gz").read_bytes() == (two / "ct.nii.gz").read_bytes()


def test_sidecars(tmp_path: Path) -> None:
    out = convert(make.scan(tmp_path / "in"), tmp_path / "out")
    ct, pet = (json.loads((out / f"{name}.json").read_text()) for name in ("ct", "pet"))
    assert ct == {
        "Modality": "CT",
        "Manufacturer": "Siemens",
        "ManufacturersModelName": "Biograph 64",
        "KVP": 120.0,
        "ConvolutionKernel": "B30f",
        "SliceThickness": 3.0,
        "SliceIncrement": 3.0,
        "SliceJitter": 0.0,
        "PatientPosition": "HFS",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "Units": "HU",
    }
    assert pet["Units"] == "Bq/mL"
    assert pet["TracerName"] == "18F-fluoride"
    assert pet["TracerRadionuclide"] == "F18"
    assert pet["InjectedRadioactivity"] == 200.0
    assert pet["ScanStart"] == 3600.0
    assert pet["FrameDuration"] == [120.0]


def test_phantom_comes_back_as_it_was_drawn(tmp_path: Path) -> None:
    # Another writer of DICOM than this file's: the phantom's own.
    from calciflow import suvrules
    from calciflow.phantom import write_dicom
    from calciflow.phantom.tiny import tiny_leg

    scan = tiny_leg(seed=1)
    write_dicom(scan, tmp_path / "in")
    out = convert(tmp_path / "in", tmp_path / "out")
    ct, pet = read_volume(out / "ct.nii.gz"), read_volume(out / "pet.nii.gz")
    np.testing.assert_allclose(ct.affine, scan.ct.affine, atol=1e-4)
    np.testing.assert_array_equal(ct.array, np.rint(scan.ct.array))
    (factor,) = suvrules.evaluate(json.loads((out / "selection.json").read_text())["suv"], {}).factors
    np.testing.assert_allclose(pet.affine, scan.pet_suv.affine, atol=1e-4)
    np.testing.assert_allclose(pet.array * factor, scan.pet_suv.array, atol=1e-3)


def test_source_that_changed_since_is_an_error(tmp_path: Path) -> None:
    source = make.scan(tmp_path / "in")
    out = convert(source, tmp_path / "out")
    next((source / "s0").iterdir()).unlink()
    with pytest.raises(RuntimeError, match="refresh"):
        convert_scan(
            selection=str(out / "selection.json"),
            ct=str(out / "ct.nii.gz"),
            ct_json=str(out / "ct.json"),
            pet=str(out / "pet.nii.gz"),
            pet_json=str(out / "pet.json"),
        )


def test_pet_alone(tmp_path: Path) -> None:
    source = make.scan(tmp_path / "in", make.pet())
    index_scan(
        series=str(tmp_path / "series.tsv"),
        screening=str(tmp_path / "screening.json"),
        selection=str(tmp_path / "selection.json"),
        scan={"participant_id": "sub-01", "session_id": "ses-01"},
        sources={"source": str(source)},
        require_ct=False,
    )
    convert_scan(
        selection=str(tmp_path / "selection.json"), pet=str(tmp_path / "p.nii.gz"), pet_json=str(tmp_path / "p.json")
    )
    assert read_volume(tmp_path / "p.nii.gz").array.shape == (10, 10, 8)


@pytest.mark.slow
def test_memory_stays_below_twice_the_volume(tmp_path: Path) -> None:
    # 512 x 512 x 300 int16: 150 MiB. Python and its libraries alone take about 100 MiB, measured in the same process.
    stored = np.random.default_rng(0).integers(0, 3000, (512, 512), dtype=np.uint16)
    make.write(tmp_path / "in", [make.image("CT", k, stored) for k in range(300)])
    make.write(tmp_path / "in", make.pet(300), start=1000)
    out = tmp_path / "out"
    convert(tmp_path / "in", out)
    code = """
import sys
from pathlib import Path
from calciflow.convert import convert_volume
def peak():  # not ru_maxrss: that of a child begins with its parent's peak
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = peak()
o = sys.argv[1]
for name in ("pet", "ct"):
    files = {"volume": f"{o}/{name}.nii.gz", "sidecar": f"{o}/{name}.json"}
    convert_volume(selection=o + "/selection.json", modality=name, **files)
print(peak() - before)
"""
    scripts = Path(__file__).resolve().parents[2] / "scripts"
    result = subprocess.run(
        [sys.executable, "-c", code, str(out)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(scripts), "PATH": "/usr/bin:/bin"},
    )
    grown = int(result.stdout.split()[-1]) / 1024
    assert 150 < grown < 2 * 150, f"{grown:.0f} MiB"


@pytest.mark.slow
def test_four_times_as_fast_as_dcm2niix_below_twice_the_volume(tmp_path: Path) -> None:
    # The repository's benchmark, which also compares the voxels, and the bytes written on one core and on all.
    program = shutil.which("dcm2niix")
    if program is None:
        pytest.skip("dcm2niix is not on this machine")
    assert convert_speed.compare(tmp_path, program, slices=580, rounds=2, cores=None) == 0


@pytest.mark.realdata
@pytest.mark.parametrize("person", ["001", "028", "044", "045", "049"])
def test_real_scans(testdata: Path, person: str, tmp_path: Path) -> None:
    import SimpleITK as sitk

    source = testdata / "sts" / f"STS_{person}"
    out = convert(source, tmp_path)
    for name, folder in (("ct", "CT"), ("pet", "PET")):
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(source / folder)))
        theirs = sitk.GetArrayFromImage(reader.Execute())
        ours = read_volume(out / f"{name}.nii.gz").array[:, ::-1, ::-1]
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert json.loads((out / "pet.json").read_text())["Units"] == "g/mL"


@pytest.mark.realdata
def test_real_references_reach_their_suv(testdata: Path, tmp_path: Path) -> None:
    """All 17 digital reference objects, through index and convert, with the factors of the SUV rules."""
    import tarfile

    import nibabel as nib

    from calciflow import suvrules

    with tarfile.open(testdata / "suv_dro.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    folders = sorted(path for path in (tmp_path / "DRO").iterdir() if path.is_dir())
    assert len(folders) == 17
    for folder in folders:
        out = tmp_path / "out" / folder.name
        index_scan(
            series=str(out / "series.tsv"),
            screening=str(out / "screening.json"),
            selection=str(out / "selection.json"),
            scan={"participant_id": "sub-01", "session_id": "ses-01"},
            sources={"source": str(folder)},
            require_ct=False,
        )
        convert_scan(selection=str(out / "selection.json"), pet=str(out / "p.nii.gz"), pet_json=str(out / "p.json"))
        header = json.loads((out / "selection.json").read_text())["suv"]
        factors = np.array(suvrules.evaluate(header, {}).factors, np.float32)
        volume = read_volume(out / "p.nii.gz")
        suv = volume.array * factors.reshape(-1, 1, 1)
        mask = nib.as_closest_canonical(nib.load(folder / "mask" / "DRO_mask.nii.gz"))
        np.testing.assert_allclose(mask.affine, volume.affine, atol=0.01)
        inside = suv[np.asarray(mask.dataobj).T > 0]
        expected = (0.19, 0.98, 3.98) if folder.name == "DRO_2_3" else (0.20, 1.00, 4.00)
        got = (inside.min(), float(np.median(inside)), inside.max())
        np.testing.assert_allclose(np.round(got, 2), expected, atol=1e-6, err_msg=folder.name)
