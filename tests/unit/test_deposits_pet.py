"""Foci on an analytic limb: vessels, noise at the ends, thresholds, and bowel's contrast on real scans."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from calciflow.deposits.pet import PetRules, find_foci
from calciflow.deposits.reference import Uptakes
from calciflow.deposits.scene import PetScene
from calciflow.images import Volume
from calciflow.labels import region_label
from calciflow.lesions import Rules, detect
from calciflow.mapping import Mapping
from calciflow.measure.spill import Spill

_SPEC = importlib.util.spec_from_file_location("lesion_bodies", Path(__file__).parent.parent / "lesion_bodies.py")
bodies = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(bodies)
Ball = bodies.Ball


def run(limb, **rules):
    return detect(
        limb.ct, limb.suv, limb.tissues, limb.regions, limb.anatomy, Mapping.identity(), Rules(**rules),
        scan={"participant_id": "sub-01", "session_id": "ses-01"}, kvp=120.0, fwhm_mm=6.0, tolerance_mm=2.0,
    )  # fmt: skip


def with_tube(limb, suv, radius=5.0):
    """Add a vessel along the limb."""
    z, y, x = bodies._axes(limb.suv.array.shape, limb.suv.affine)
    apart = np.hypot(x - 28.0, y + 10.0) + 0 * z
    # Blurred disc of that radius, by the logistic that an error function looks like.
    tube = 1.0 / (1.0 + np.exp((apart - radius) / 1.6))
    return bodies.Limb(
        limb.ct,
        Volume((limb.suv.array + (suv - 0.6) * tube).astype(np.float32), limb.suv.affine),
        limb.tissues,
        limb.regions,
        limb.anatomy,
    )


def test_blood_in_a_vessel_is_no_lesion_but_a_focus_as_faint_is():
    plain = bodies.limb([], noise_suv=0.06)
    result = run(with_tube(plain, 1.5))
    assert result.rows == []
    assert result.findings["dropped"]["blood vessel"] >= 1
    faint = run(bodies.limb([Ball(28.0, -10.0, 0.0, 1.5, None, 2.2)], noise_suv=0.06))
    assert [row["concordance"] for row in faint.rows] == ["CT-PET+"]
    assert faint.rows[0]["suv_max"] < 2.1


def test_noisier_ends_of_a_scan_make_no_foci():
    limb = bodies.limb([Ball(28.0, 0.0, 0.0, 1.0, None, 9.0)], noise_suv=0.06)
    rng = np.random.default_rng(5)
    suv = limb.suv.array.copy()
    ends = np.r_[0:4, len(suv) - 4 : len(suv)]
    suv[ends] *= rng.lognormal(0.0, 0.6, suv[ends].shape).astype(np.float32)
    result = run(bodies.Limb(limb.ct, limb.suv.like(suv), limb.tissues, limb.regions, limb.anatomy))
    assert len(result.rows) == 1
    assert abs(result.rows[0]["z_mm"]) < 3


def test_uptake_outside_the_body_is_dropped():
    limb = bodies.limb([])
    z, y, x = bodies._axes(limb.suv.array.shape, limb.suv.affine)
    drop = 20.0 * np.exp(-((x - 66.0) ** 2 + y**2 + z**2) / (2 * 2.5**2))
    spoiled = limb.suv.like((limb.suv.array + drop).astype(np.float32))
    result = run(bodies.Limb(limb.ct, spoiled, limb.tissues, limb.regions, limb.anatomy))
    assert result.rows == []
    assert result.findings["dropped"]["outside the body"] == 1


def test_urine_is_told_by_its_water_in_the_pelvis_only():
    limb = bodies.limb([Ball(-27.0, 0.0, 0.0, 12.0, 10.0, 15.0)])
    in_thigh = run(limb)
    assert [row["concordance"] for row in in_thigh.rows] == ["CT-PET+"]
    pelvis = np.where(limb.regions > 0, region_label("pelvis", "right"), 0).astype(np.uint8)
    result = run(bodies.Limb(limb.ct, limb.suv, limb.tissues, pelvis, limb.anatomy))
    assert result.rows == []
    solid = bodies.limb([Ball(-27.0, 0.0, 0.0, 12.0, 55.0, 15.0)])
    assert len(run(bodies.Limb(solid.ct, solid.suv, solid.tissues, pelvis, solid.anatomy)).rows) == 1


def test_injection_site_is_dropped_where_told():
    limb = bodies.limb([Ball(28.0, 0.0, 0.0, 1.0, None, 30.0)])
    assert len(run(limb).rows) == 1
    result = run(limb, injection_sites=("right thigh",))
    assert result.rows == []
    assert result.findings["dropped"]["injection site"] == 1


def test_two_foci_two_centimetres_apart_are_two():
    result = run(bodies.limb([Ball(28.0, 0.0, -10.0, 0.6, None, 10.0), Ball(28.0, 0.0, 12.0, 0.6, None, 8.0)]))
    assert len(result.rows) == 2


def read_scan(folder):
    """CT and PET of a folder of DICOM slices, turned closest to RAS (the PET of these scans holds SUV)."""
    volumes = []
    for name in ("CT", "PET"):
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / name)))
        volume = Volume.from_sitk(sitk.DICOMOrient(reader.Execute(), "LPS"))
        # LPS to RAS: the two in-plane axes turn round.
        affine = volume.affine.copy()
        for axis in (0, 1):
            affine[:3, 3] += affine[:3, axis] * (volume.array.shape[2 - axis] - 1)
            affine[:3, axis] *= -1
        volumes.append(Volume(np.ascontiguousarray(volume.array[:, ::-1, ::-1]), affine))
    ct, pet = volumes
    return Volume(ct.array.astype(np.int16), ct.affine), Volume(pet.array.astype(np.float32), pet.affine)


def real(testdata, name):
    tissues = pytest.importorskip("calciflow.tissues")
    ct, suv = read_scan(testdata / "sts" / name)
    maps = tissues.segment(ct)
    found = detect(
        ct, suv, maps.tissues, maps.regions, maps.anatomy, Mapping.identity(), Rules(),
        scan={"participant_id": "sub-01", "session_id": "ses-01"}, kvp=140.0, tolerance_mm=3.0,
    )  # fmt: skip
    return pd.DataFrame(found.rows)


@pytest.mark.realdata
@pytest.mark.slow
def test_real_calcifications_in_avid_tumours_are_positive(testdata):
    calf = real(testdata, "STS_028")
    inside = calf[(calf.concordance == "CT+PET+") & (calf.hu_max >= 290)]
    assert len(inside) >= 3
    assert inside.suv_max.between(7, 16).all()
    thigh = real(testdata, "STS_045")
    large = thigh[(thigh.concordance == "CT+PET+") & (thigh.ct_volume_ml > 1.0)]
    assert len(large) >= 1
    assert large.suv_max.max() > 6


@pytest.mark.realdata
@pytest.mark.slow
def test_real_burnt_out_calcification_is_negative(testdata):
    calf = real(testdata, "STS_049")
    cold = calf[(calf.hu_max == 454)]
    assert list(cold.concordance) == ["CT+PET-"]
    assert cold.ct_volume_ml.iloc[0] == pytest.approx(0.3, abs=0.15)


def test_a_point_in_voxels_as_wide_as_the_blur_is_no_noise():
    # 5.3 mm voxels and a resolution taken for 7.3 mm, of which this plaque of the skin fills but two
    def scene(height):
        filtered = np.full((9, 9, 9), 0.01, np.float32)
        filtered[4, 4, 4:6] = height
        one = np.ones((9, 9, 9), np.float32)
        suv = Volume(filtered.copy(), np.diag([5.3, 5.3, 3.3, 1.0]))
        nothing = Spill(0 * one, 0 * one)
        shares = dict.fromkeys(("bone", "organs", "muscle", "fat", "other", "strands"), 0 * one) | {"body": one}
        uptakes = Uptakes(0.3, 0.2, 0.3, "blood pool in the chest", 0.05, 6.0)
        return PetScene(suv, shares, nothing, 0 * one, 0.05 * one, filtered, 0.05 * one, uptakes, 7.3)

    def found(height):
        foci, dropped = find_foci(scene(height), PetRules(min_volume_ml=0.0))
        return len(foci), dropped["narrower than the PET's blur"]

    assert found(3.0) == (1, 0)  # 60 standard deviations
    assert found(0.5) == (0, 1)  # 10: the skewed noise of few counts reaches that
