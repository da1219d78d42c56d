"""Studies in the makers' dialects: the workflow chooses the same pair and finds the same SUV in each."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from calciflow.files import read_json
from calciflow.images import read_volume
from calciflow.index import index_scan
from calciflow.phantom.dialects import DIALECTS, dialect_of, write_study
from calciflow.phantom.scan import PhantomScan
from calciflow.phantom.tiny import tiny_leg
from calciflow.suv import normalise_scan
from calciflow.tables import read_table
from dicom_scans import convert_scan


@pytest.fixture(scope="module")
def leg() -> PhantomScan:
    return tiny_leg(7)


@pytest.mark.parametrize(
    ("name", "seed"), [("siemens", 7), ("ge", 8), ("philips", 13), ("ge_admin", 10), ("philips_gml", 11)]
)
def test_every_dialect_gives_the_same_pair_and_suv(leg: PhantomScan, name: str, seed: int, tmp_path: Path) -> None:
    leg = replace(leg, seed=seed)  # draws the second CT: thick, sharp, of a part
    source = tmp_path / "study"
    write_study(leg, source, name)
    at = {key: str(tmp_path / f"{key}.json") for key in ("screening", "selection", "ct_json", "pet_json", "suv_json")}
    volumes = {key: str(tmp_path / f"{key}.nii.gz") for key in ("ct", "pet", "suv")}
    table = tmp_path / "series.tsv"
    index_scan(
        series=str(table),
        screening=at["screening"],
        selection=at["selection"],
        scan={},
        sources={"source": str(source)},
    )
    verdict = read_json(at["screening"])
    assert verdict["verdict"] == "accepted", verdict
    selection = read_json(at["selection"])
    assert {Path(f["path"]).parent.name for f in selection["ct"]["files"]} == {"CT"}
    assert {Path(f["path"]).parent.name for f in selection["pet"]["files"]} == {"PT"}

    convert_scan(
        selection=at["selection"], ct=volumes["ct"], ct_json=at["ct_json"], pet=volumes["pet"], pet_json=at["pet_json"]
    )
    normalise_scan(
        selection=at["selection"], pet=volumes["pet"], pet_json=at["pet_json"], suv=volumes["suv"],
        suv_json=at["suv_json"], overrides={}, tracer="warn", dose_range_mbq=(15.0, 1000.0), max_uptake_hours=6.0,
    )  # fmt: skip
    suv, truth = read_volume(volumes["suv"]), leg.pet_suv
    assert np.allclose(suv.affine, truth.affine, atol=1e-3)
    assert np.abs(suv.array - truth.array).max() < 0.005 * truth.array.max()
    bright = truth.array > 1
    assert np.abs(suv.array[bright] / truth.array[bright] - 1).max() < 0.005
    ct = read_volume(volumes["ct"])
    assert np.array_equal(ct.array, leg.ct.array)
    assert np.allclose(ct.affine, leg.ct.affine, atol=1e-3)

    # Every series of the study stands in the table, two taken and each other with its reason.
    rows = read_table(table)
    uids = {str(pydicom.dcmread(p, stop_before_pixels=True).SeriesInstanceUID) for p in source.rglob("*.dcm")}
    assert len(uids) == 10
    assert len(rows) >= len(uids)
    assert sorted(rows["taken"].dropna()) == ["ct", "pet"]
    assert rows["reason"].notna().all()
    reasons = dict(zip(rows["series_number"].astype(int), rows["reason"], strict=True))
    for number, word in ((1, "scout"), (5, "attenuation"), (6, "projection"), (7, "projection"), (8, "no CT or PET"),
                         (501, "no CT or PET"), (502, "no CT or PET")):  # fmt: skip
        assert word in reasons[number], reasons
    assert any(word in reasons[3] for word in ("covers less", "thicker", "sharper")), reasons


def test_the_dialects_differ_in_what_leads_readers_astray(leg: PhantomScan, tmp_path: Path) -> None:
    first = {}
    for name in DIALECTS:
        write_study(leg, tmp_path / name, name)
        first[name] = [pydicom.dcmread(p) for p in sorted((tmp_path / name / "PT").iterdir())]
    units = {name: sets[0].Units for name, sets in first.items()}
    assert units == {"siemens": "BQML", "ge": "BQML", "ge_admin": "BQML", "philips": "CNTS", "philips_gml": "GML"}
    assert {name: sets[0].DecayCorrection for name, sets in first.items() if name.startswith("ge")} == {
        "ge": "START",
        "ge_admin": "ADMIN",
    }
    ge, philips = first["ge"][0], first["philips"][0]
    assert ge.private_block(0x0009, "GEMS_PETD_01")[0x0D].value.startswith(ge.SeriesDate)
    assert ge.SeriesTime > max(d.AcquisitionTime for d in first["ge"])
    factor = philips.private_block(0x7053, "Philips PET Private Group")
    assert float(factor[0x09].value) / float(factor[0x00].value) == pytest.approx(leg.bqml_per_suv, rel=1e-6)
    assert (0x7053, 0x1000) not in first["philips_gml"][0]
    for name, sets in first.items():
        assert len({str(d.RescaleSlope) for d in sets}) > 5, name  # a slope of its own on each slice
        z = [float(d.ImagePositionPatient[2]) for d in sorted(sets, key=lambda d: d.InstanceNumber)]
        assert (np.diff(z) > 0).all() if DIALECTS[name].from_feet else (np.diff(z) < 0).all()
        assert len({d.SOPInstanceUID for d in sets}) == len(sets)
    assert first["ge"][0].file_meta.TransferSyntaxUID.is_implicit_VR


def test_a_study_is_the_same_bytes_again(leg: PhantomScan, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_study(leg, tmp_path / name)
    files = [sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*.dcm")) for n in ("one", "two")]
    assert files[0] == files[1]
    assert all((tmp_path / "one" / p).read_bytes() == (tmp_path / "two" / p).read_bytes() for p in files[0])
    assert {dialect_of(seed) for seed in range(10_000, 10_005)} == set(DIALECTS)
