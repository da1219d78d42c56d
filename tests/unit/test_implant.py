"""Deposits in real scans: what they add is what physics says, and nothing else changes."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from scipy.integrate import quad
from scipy.special import erf

from calciflow.benchmark.compare import label_points, match
from calciflow.files import write_text
from calciflow.images import Volume, read_volume, write_volume
from calciflow.implant.__main__ import main, make_study
from calciflow.implant.dicom_out import NOTE, add_to_slice
from calciflow.implant.host import Host, read_host
from calciflow.implant.make import Implants, implant, write_implants
from calciflow.implant.place import Implanter, host_canvas
from calciflow.implant.sharpness import SIGMA, SliceProfile, in_plane_fwhm, pet_noise, slice_profile
from calciflow.implant.wishes import draw_wishes, soft_regions
from calciflow.labels import TISSUES
from calciflow.phantom.dialects import write_study
from calciflow.phantom.dicom_writer import write_dicom
from calciflow.phantom.physics import pet_noise_sd
from calciflow.phantom.spec import DepositSpec
from calciflow.phantom.tiny import tiny_leg
from calciflow.tables import read_table

WISHES = (
    DepositSpec("thigh", "right", "subcutaneous", "CT+PET+", volume_ml=0.6, hu=600, suv=12.0, bone_gap_mm=10),
    DepositSpec("thigh", "right", "muscle", "CT+PET+", "streak", volume_ml=1.6, hu=450, suv=9.0, bone_gap_mm=10),
    DepositSpec("thigh", "left", "muscle", "CT+PET-", volume_ml=0.4, hu=700, bone_gap_mm=10),
    DepositSpec("thigh", "left", "muscle", "CT-PET+", volume_ml=1.0, suv=10.0, bone_gap_mm=10),
    DepositSpec("thigh", "left", "fascia", "CT+PET+", "sheet", volume_ml=0.8, hu=500, suv=8.0, bone_gap_mm=10),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom without deposits as a hospital's DICOM."""
    folder = tmp_path_factory.mktemp("host")
    write_dicom(tiny_leg(seed=4, deposits=()), folder)
    return folder


@pytest.fixture(scope="module")
def host(source: Path) -> Host:
    """The workflow's reading of it."""
    return read_host(source)


@pytest.fixture(scope="module")
def made(host: Host) -> Implants:
    """The host with deposits, without noise of the added activity."""
    return implant(host, WISHES, seed=2, noise=False)


def ball(shape: tuple[int, ...], steps: tuple[float, ...], centre: NDArray[np.float64], radius: float) -> NDArray:
    """Cover of a sphere at points ``steps`` apart, softened over one step."""
    axes = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, steps, strict=True)], indexing="ij")
    away = np.sqrt(sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)))
    return np.clip(0.5 - (away - radius) / min(steps), 0, 1).astype(np.float32)


@pytest.mark.parametrize("radius", [3.0, 6.0])
def test_a_blurred_sphere_is_the_analytic_one(host: Host, radius: float) -> None:
    implanter = Implanter(host, host_canvas(host), 1, 1.0)
    grid, n = implanter.canvas.grid, (6, 4, 4)
    middle = [size // 2 for size in grid.shape]
    box = tuple(slice(m - 8, m + 9) for m in middle)
    fine = implanter._fine_grid(box, n)  # type: ignore[arg-type]
    # The sphere sits on the voxel's centre: there its blurred height is known in closed form.
    centre = np.array(
        [(m * s + o - f) for m, s, o, f in zip(middle, grid.spacing, grid.origin[::-1], fine.origin[::-1], strict=True)]
    )
    excess = 1000 * ball(fine.shape, fine.spacing, centre, radius)
    volume = float(excess.sum()) * np.prod(fine.spacing)

    for shape in ("box", "triangle"):
        profile = SliceProfile(shape, 3.0)
        implanter.optics = replace(host.optics, ct_fwhm_mm=3.0, profile=profile)
        seen = implanter._seen_by_ct(excess, box, n)  # type: ignore[arg-type]
        sigma = 3.0 * SIGMA

        def layer(z: float, profile: SliceProfile = profile, sigma: float = sigma) -> float:
            chord = max(radius**2 - z**2, 0.0)  # a disk under a Gaussian of two dimensions
            return float(profile.weights(np.array([z]))[0]) * (1 - np.exp(-chord / (2 * sigma**2)))

        top = 1000 * quad(layer, -3.0, 3.0, points=[-1.5, 0.0, 1.5])[0]
        assert seen.values.max() == pytest.approx(top, rel=0.03)
        assert seen.values.sum() * np.prod(grid.spacing) == pytest.approx(volume, rel=0.01)

    implanter.optics = replace(host.optics, pet_fwhm_mm=7.0)
    pet = implanter._seen_by_pet(excess, box, n)  # type: ignore[arg-type]
    sigma = 7.0 * SIGMA
    assert pet.values.sum() * np.prod(host.suv.spacing) == pytest.approx(volume, rel=0.01)
    u = radius / sigma
    top = 1000 * (erf(u / np.sqrt(2)) - np.sqrt(2 / np.pi) * u * np.exp(-(u**2) / 2))
    # The PET's voxel nearest to the middle lies up to half a voxel away.
    assert 0.6 * top < pet.values.max() < 1.02 * top


def test_what_is_added_is_conserved(made: Implants) -> None:
    table, host = made.table, made.host
    assert len(table) == len(WISHES)
    calcium = ((table["hu"] - table["hu_background"]).astype(float) * table["volume_ml"]).sum()
    assert made.ct_added.sum() * host.ct.voxel_ml == pytest.approx(
        calcium, rel=0.015
    )  # pixels of 2 mm sample a small deposit coarsely
    avid = table[table["suv"].notna()]
    activity = made.suv_added.sum() * host.suv.voxel_ml
    # What it replaces had an activity of its own, below 1 SUV in a thigh.
    high, low = (
        (avid["suv"].astype(float) * avid["volume_ml"]).sum(),
        ((avid["suv"] - 1.0).astype(float) * avid["volume_ml"]).sum(),
    )
    assert low < activity < high


def test_deposits_lie_in_their_compartments(made: Implants, host: Host) -> None:
    truth = tiny_leg(seed=4, deposits=()).tissues.array  # of the phantom, not of the map that placed them
    for row in made.table.to_dict("records"):
        inside = truth[made.deposits == row["label"]]
        wanted = {"subcutaneous": ["subcutaneous_fat"], "muscle": ["muscle"]}.get(
            row["compartment"], ["subcutaneous_fat", "muscle"]
        )
        assert np.isin(inside, [TISSUES[word] for word in wanted]).mean() > 0.9, row
        assert row["ct_visible"] == row["concordance"].startswith("CT+")


def test_dicom_differs_in_the_implants_alone_and_is_read_again(
    made: Implants, host: Host, source: Path, tmp_path: Path
) -> None:
    write_implants(made, tmp_path / "dicom", tmp_path / "truth", "one")
    again = read_host(tmp_path / "dicom")
    assert again.factors == host.factors
    assert np.allclose(again.ct.affine, host.ct.affine)
    difference = again.ct.array.astype(int) - host.ct.array
    assert np.abs(difference - made.ct_added).max() <= 0.5 + 1e-3
    assert not difference[np.abs(made.ct_added) < 0.5].any()
    # PET: stored words have a step of 1/32767 of a slice's maximum.
    step = np.maximum(again.suv.array.max(axis=(1, 2)), host.suv.array.max(axis=(1, 2))) / 32767
    away = np.abs(again.suv.array - host.suv.array - made.suv_added).max(axis=(1, 2))
    assert (away <= 1.1 * step).all()
    untouched = ~made.suv_added.any(axis=(1, 2))
    assert untouched.any()
    assert np.array_equal(again.suv.array[untouched], host.suv.array[untouched])

    before = [pydicom.dcmread(p) for p in sorted(source.rglob("*.dcm"))]
    after = [pydicom.dcmread(p) for p in sorted((tmp_path / "dicom").rglob("*.dcm"))]
    assert len(before) == len(after)
    known = {str(e.value) for d in before for e in d.iterall() if e.VR == "UI" and not e.keyword.endswith("ClassUID")}
    for old, new in zip(sorted(before, key=_place), sorted(after, key=_place), strict=True):
        changed = {e.tag for e in new if e.tag not in old or e.value != old[e.tag].value}
        names = {pydicom.datadict.keyword_for_tag(tag) for tag in changed}
        assert names <= {
            "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PixelData",
            "RescaleSlope", "SmallestImagePixelValue", "LargestImagePixelValue", "ImageComments",
            "ContributingEquipmentSequence",
        }  # fmt: skip
        assert NOTE in new.ImageComments
        assert new.file_meta.MediaStorageSOPInstanceUID == new.SOPInstanceUID
        assert not known & {str(e.value) for e in new.iterall() if e.VR == "UI" and not e.keyword.endswith("ClassUID")}
    assert len({d.FrameOfReferenceUID for d in after}) == len({d.StudyInstanceUID for d in after}) == 1
    assert len({d.SeriesInstanceUID for d in after}) == 2
    assert len({d.SOPInstanceUID for d in after}) == len(after)

    table = read_table(tmp_path / "truth" / "deposits.tsv")
    labels = read_volume(tmp_path / "truth" / "deposits.nii.gz")
    points = label_points(labels.array, labels.affine)
    assert sorted(points) == sorted(table["label"])
    assert match(points, points).deposits_of(1) == [1]


def _place(dataset: Dataset) -> tuple[str, float]:
    return dataset.Modality, float(dataset.ImagePositionPatient[2])


def test_added_activity_brings_the_noise_of_its_height(host: Host) -> None:
    wish = DepositSpec("thigh", "right", "muscle", "CT-PET+", volume_ml=15.0, suv=12.0, bone_gap_mm=6)
    clean, noisy = (implant(host, [wish], 3, noise=n).suv_added for n in (False, True))
    hot = clean > 6
    assert hot.sum() > 20
    rest = (noisy - clean)[hot] / (clean[hot] + 0.5) ** 0.6
    assert 0.4 < rest.std() / host.optics.pet.relative < 1.6  # few independent voxels
    assert not (noisy != 0)[clean == 0].any()


@pytest.mark.parametrize("fwhm", [1.1, 1.5, 2.2])
def test_in_plane_resolution_is_read_off_the_skin(fwhm: float) -> None:
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:200, :200] * 0.98
    away = 70.0 - np.hypot(y - 98.3, x - 97.1)
    plane = -1000 + 960 * 0.5 * (1 + erf(away / (np.sqrt(2) * fwhm * SIGMA)))
    noisy = (plane + rng.normal(0, 12, (6, 200, 200))).round().astype(np.int16)
    body = np.broadcast_to(away > 0, noisy.shape)
    found, words = in_plane_fwhm(noisy, body, (3.0, 0.98, 0.98), "STANDARD")
    assert found == pytest.approx(fwhm, rel=0.12)
    assert "edges" in words
    # No air in view: the kernel must tell.
    flat, words = in_plane_fwhm(np.full((4, 50, 50), 40, np.int16), np.ones((4, 50, 50), bool), (3.0, 1.0, 1.0), "BONE")
    assert flat == 0.9
    assert "assumed" in words


def test_pet_noise_is_found_in_a_phantom() -> None:
    scan = tiny_leg(seed=6, deposits=())
    found = pet_noise(scan.pet_suv, scan.tissues)
    true = float(pet_noise_sd(np.array([200.0]), scan.spec.pet)[0])
    assert found.relative == pytest.approx(true, rel=0.5)
    assert found.fwhm_mm == pytest.approx(scan.spec.pet.noise_fwhm_mm, abs=1.5)


def test_slice_profiles_keep_the_mass() -> None:
    z = np.linspace(-20, 20, 40001)
    for options, shape in (("HELICAL MODE", "triangle"), ("AXIAL MODE", "box"), ("", "triangle")):
        profile = slice_profile(3.75, 3.27, options)
        assert profile.shape == shape
        weights = profile.weights(z)
        assert weights.sum() * 0.001 == pytest.approx(1, abs=1e-3)
        assert np.ptp(z[weights > 0.5 * weights.max()]) == pytest.approx(3.75, abs=0.01)
    assert slice_profile(None, 2.0, "").width_mm == 2.0


def _slice(values: NDArray[np.int16], slope: str) -> Dataset:
    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    d.Rows, d.Columns = values.shape
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 1
    d.RescaleSlope, d.RescaleIntercept = slope, "0"
    d.SmallestImagePixelValue, d.LargestImagePixelValue = 0, int(values.max())
    d.PixelData = values.astype("<i2").tobytes()
    return d


def test_a_slope_changes_only_where_the_sum_does_not_fit() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 20000, (16, 16)).astype(np.int16)
    added = np.zeros((16, 16))
    added[4:6, 4:6] = 100.0
    low = _slice(values, "0.01")
    add_to_slice(low, added, pet=True)
    assert low.RescaleSlope == 0.01
    assert np.array_equal(low.pixel_array != values, added > 0)
    assert low.LargestImagePixelValue == low.pixel_array.max()

    high = _slice(values, "0.01")
    add_to_slice(high, 10 * added, pet=True)
    assert high.RescaleSlope > 0.01
    got = high.pixel_array * float(high.RescaleSlope)
    assert np.abs(got - (values * 0.01 + 10 * added)).max() <= 0.5 * float(high.RescaleSlope) + 1e-9
    assert high.pixel_array.max() <= 32767

    none = _slice(values, "0.01")
    before = none.PixelData
    add_to_slice(none, 0 * added, pet=True)
    assert none.PixelData is before


def test_compressed_slices_come_out_readable() -> None:
    values = np.arange(256, dtype=np.int16).reshape(16, 16)
    packed = _slice(values, "1")
    packed.SOPClassUID, packed.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    packed.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    added = np.zeros((16, 16))
    added[0, 0] = 50
    add_to_slice(packed, added, pet=False)
    assert packed.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert packed.pixel_array[0, 0] == 50
    assert np.array_equal(packed.pixel_array[1:], values[1:])


def test_a_ct_of_12_bits_saturates_as_the_scanner_does() -> None:
    values = np.full((16, 16), 1500, np.int16)
    d = _slice(values, "1")
    d.BitsStored, d.HighBit, d.PixelRepresentation, d.RescaleIntercept = 12, 11, 0, "-1024"
    add_to_slice(d, np.full((16, 16), 9000.0), pet=False)
    assert d.pixel_array.max() == 4095


@pytest.mark.slow
def test_a_study_is_made_and_what_cannot_take_implants_is_left_out(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    options = {"pet_fwhm_mm": 6.5}
    people = make_study(tmp_path / "study", [str(source), str(empty)], 3, 0, {}, options)
    assert people == ["sub-01"]
    assert "left out" in capsys.readouterr().out
    sheet = read_table(tmp_path / "study" / "config" / "scans.tsv")
    assert list(sheet["source"]) == ["dicom/sub-01"]
    mark = tmp_path / "study" / "truth" / "sub-01" / "deposits.tsv"
    before = mark.stat().st_mtime_ns
    assert make_study(tmp_path / "study", [str(source)], 3, 0, {}, options) == ["sub-01"]
    assert mark.stat().st_mtime_ns == before


def test_oblique_volumes_are_refused() -> None:
    from calciflow.implant.host import straight_grid

    affine = np.eye(4)
    affine[:2, :2] = [[0.99, -0.1], [0.1, 0.99]]
    with pytest.raises(ValueError, match="oblique"):
        straight_grid(Volume(np.zeros((3, 3, 3)), affine))


@pytest.mark.realdata
@pytest.mark.slow
def test_a_real_scan_takes_implants(testdata: Path, tmp_path: Path) -> None:
    host = read_host(testdata / "sts" / "STS_028")
    assert 0.8 < host.optics.ct_fwhm_mm < 1.8  # GE STANDARD: MTF of a half near 0.4 per mm is 1.1 mm
    wishes = draw_wishes(np.random.default_rng(3), soft_regions(host.tissues, host.regions, host.ct.voxel_ml), 4)
    made = implant(host, wishes, 3)
    assert len(made.table) >= 3
    write_implants(made, tmp_path / "dicom", tmp_path / "truth", "one")
    again = read_host(tmp_path / "dicom")
    assert again.factors == host.factors
    difference = again.ct.array.astype(int) - host.ct.array
    assert not difference[np.abs(made.ct_added) < 0.5].any()
    assert np.abs(difference - made.ct_added).max() <= 0.51
    assert np.abs(again.suv.array - host.suv.array - made.suv_added).max() < 1e-3 * again.suv.array.max()


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["ge_admin", "philips"])
def test_implants_speak_the_dialect_of_their_host(dialect: str, tmp_path: Path) -> None:
    scan = tiny_leg(seed=4, deposits=())
    write_study(scan, tmp_path / "study", dialect)
    host = read_host(tmp_path / "study")
    made = implant(host, WISHES[:2], seed=2)
    write_implants(made, tmp_path / "dicom", tmp_path / "truth", "one")
    again = read_host(tmp_path / "dicom")
    assert again.factors == pytest.approx(host.factors, rel=1e-9)
    assert np.abs(again.suv.array - host.suv.array - made.suv_added).max() < 1e-3 * again.suv.array.max()
    assert np.abs(again.ct.array - host.ct.array - made.ct_added).max() <= 0.51
    old, new = (pydicom.dcmread(next((p / "PT").iterdir())) for p in (tmp_path / "study", tmp_path / "dicom"))
    assert (old.Units, old.DecayCorrection, old.Manufacturer) == (new.Units, new.DecayCorrection, new.Manufacturer)
    for tag in [element.tag for element in old if element.tag.is_private]:
        assert old[tag].value == new[tag].value, tag


def test_maps_of_the_host_may_be_given_and_must_lie_on_its_grid(source: Path, host: Host, tmp_path: Path) -> None:
    scan = tiny_leg(seed=4, deposits=())
    paths = {"tissues": str(tmp_path / "tissues.nii.gz"), "regions": str(tmp_path / "regions.nii.gz")}
    # The phantom's own map on the grid of the CT as it was read.
    write_volume(paths["tissues"], Volume(scan.tissues.array, host.ct.affine), np.uint8)
    write_volume(paths["regions"], Volume(scan.regions.array, host.ct.affine), np.uint8)
    given = read_host(source, **paths, ct_fwhm_mm=1.7)
    np.testing.assert_array_equal(given.tissues, scan.tissues.array)
    moved = scan.tissues.like(scan.tissues.array)
    write_volume(paths["tissues"], Volume(moved.array[1:], moved.affine), np.uint8)
    with pytest.raises(ValueError, match="grid"):
        read_host(source, **paths)


def test_the_command_says_what_it_could_not_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main([str(tmp_path / "study"), str(empty), "--no-run"]) == 1
    told = capsys.readouterr()
    assert f"{empty}: left out:" in told.out
    assert "no source could take implants" in told.err
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "study"), str(empty), "--tissues", "map.nii.gz"])
    assert ended.value.code == 2
    assert "--tissues and --regions belong together" in capsys.readouterr().err


def test_the_command_gives_the_workflows_status_and_says_what_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = {}

    def make(study: Path, sources: list[str], count: int, seed: int, overrides: dict, options: dict) -> list[str]:
        taken.update(count=count, seed=seed, overrides=overrides, options=options)
        return ["sub-01"]

    runs: list[list[str]] = []

    def run(command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        runs.append(command)
        return subprocess.CompletedProcess(command, 3)

    def results(study: Path, people: list[str], out: Path) -> None:
        write_text(out / "summary.md", f"the tables of {people[0]}")

    monkeypatch.setattr("calciflow.implant.__main__.make_study", make)
    monkeypatch.setattr("calciflow.implant.__main__.subprocess.run", run)
    monkeypatch.setattr("calciflow.implant.__main__.write_results", results)
    assert main([str(tmp_path), "src", "--no-run"]) == 0
    assert runs == []
    assert main([str(tmp_path), "src", "--count", "3", "--seed", "5", "--weight-kg", "71.5"]) == 3
    assert taken["overrides"] == {"weight_kg": 71.5}
    assert (taken["count"], taken["seed"], taken["options"]["ct_fwhm_mm"]) == (3, 5, None)
    assert runs[0][1:] == ["run", str(tmp_path)]
    text = (tmp_path / "tables" / "summary.md").read_text()
    assert text.startswith("Deposits of known truth in real scans.")
    assert text.endswith("the tables of sub-01")
    assert text in capsys.readouterr().out
