"""Lesion tables do not depend on how the body lies in the scanner, nor on how much of it is in view."""

import importlib.util
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from calciflow.compartments import place_lesions
from calciflow.dicom.bids import grid_of_nifti, load
from calciflow.lesions import Rules, detect
from calciflow.mapping import Mapping

_SPEC = importlib.util.spec_from_file_location("lesion_bodies", Path(__file__).parent.parent / "lesion_bodies.py")
bodies = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(bodies)

SCAN = {"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None}
MARGIN_MM = 14.0
"""A crop stays that far from a deposit's surface: two of PET's widths."""
HALF_Z = 36.0
SAME = settings(deadline=None, derandomize=True, max_examples=5)


@st.composite
def limbs(draw):
    """One to three deposits that no noise hides, in muscle or in fat, well apart."""
    balls = []
    for number in range(draw(st.integers(1, 3))):
        depth = draw(st.sampled_from([28.0, 32.0, 52.0]))
        angle = np.deg2rad(120.0 * number + draw(st.integers(0, 60)))
        kind = draw(st.sampled_from(["both", "cold", "avid"]))
        balls.append(
            bodies.Ball(
                depth * float(np.cos(angle)),
                depth * float(np.sin(angle)),
                float(draw(st.integers(-12, 12))),
                0.3 if depth > 50 else draw(st.sampled_from([0.3, 0.6])),
                None if kind == "avid" else float(draw(st.integers(400, 900))),
                None if kind == "cold" else float(draw(st.integers(8, 14))),
            )
        )
    return tuple(balls), draw(st.integers(0, 9))


def made(balls, seed):
    return bodies.limb(balls, ct_spacing=(3.0, 2.0, 2.0), half_z=HALF_Z, seed=seed)


def table(limb):
    found = detect(
        limb.ct, limb.suv, limb.tissues, limb.regions, limb.anatomy, Mapping.identity(), Rules(), scan=SCAN,
        kvp=120.0, fwhm_mm=6.0, tolerance_mm=2.0,
    )  # fmt: skip
    rows = place_lesions(
        pd.DataFrame(found.rows), found.labels, limb.ct, limb.tissues, limb.regions, limb.anatomy,
        shell_mm=3.0, capsule_mm=3.0, midline_mm=15.0,
    )  # fmt: skip
    return pd.DataFrame(rows).replace({None: np.nan})


def rebuilt(limb, turn):
    """The body turned: arrays change, the grid and its place stay."""

    def turned(array):
        return np.ascontiguousarray(turn(array))

    return bodies.Limb(
        limb.ct.like(turned(limb.ct.array)),
        limb.suv.like(turned(limb.suv.array)),
        turned(limb.tissues),
        turned(limb.regions),
        limb.anatomy,
    )


def compare(one, two, move=lambda points: points):
    """The same lesions, each at its place, alike in all that a table says of them."""
    places = move(one[["x_mm", "y_mm", "z_mm"]].to_numpy(float))
    assert len(one) == len(two)
    for place, (_, row) in zip(places, one.iterrows(), strict=True):
        apart = np.linalg.norm(two[["x_mm", "y_mm", "z_mm"]].to_numpy(float) - place, axis=1)
        other = two.iloc[int(apart.argmin())]
        assert apart.min() < 0.25
        for name in ("concordance", "pet_status", "compartment", "region", "side"):
            assert row[name] == other[name], name
        for name, rel in (
            ("ct_volume_ml", 0.02), ("hu_max", 1e-9), ("hu_mean", 0.01), ("hydroxyapatite_mg", 0.02),
            ("pet_volume_ml", 0.03), ("suv_max", 1e-6), ("suv_mean", 0.01), ("tlf", 0.03),
        ):  # fmt: skip
            assert float(other[name]) == pytest.approx(float(row[name]), rel=rel, nan_ok=True), name


@SAME
@given(limbs(), st.sampled_from([(0,), (1,), (2,), (1, 2), (0, 1, 2)]))
def test_a_mirrored_body_has_the_mirrored_lesions(case, axes):
    limb = made(*case)
    signs = np.ones(3)
    signs[[2 - axis for axis in axes]] = -1
    compare(table(limb), table(rebuilt(limb, lambda a: np.flip(a, axes))), lambda points: points * signs)


@SAME
@given(limbs())
def test_a_body_on_its_side_has_the_same_lesions(case):
    limb = made(*case)
    turned = rebuilt(limb, lambda a: a.transpose(0, 2, 1))
    compare(table(limb), table(turned), lambda points: points[:, [1, 0, 2]])


@SAME
@given(limbs(), st.data())
def test_a_smaller_field_of_view_shows_the_same_lesions(case, data):
    balls, limb = case[0], made(*case)
    low = min(ball.z - ball.radius for ball in balls) - MARGIN_MM
    high = max(ball.z + ball.radius for ball in balls) + MARGIN_MM

    def cropped(volume, sides):
        last = volume.array.shape[0] - 1
        first_kept = int(volume.index(np.array([[0.0, 0.0, low]]))[0, 0])
        last_kept = int(np.ceil(volume.index(np.array([[0.0, 0.0, high]]))[0, 0]))
        start = data.draw(st.integers(0, max(0, first_kept)))
        stop = data.draw(st.integers(min(last, last_kept), last)) + 1
        # Sideways only air is cut off.
        return (slice(start, stop), slice(sides[0], -sides[1]), slice(sides[2], -sides[3]))

    sides = data.draw(st.tuples(*[st.integers(1, 2)] * 4))
    box = cropped(limb.ct, sides)
    pet = cropped(limb.suv, (1, 1, 1, 1))
    assume(box[0].stop - box[0].start >= 12)
    smaller = bodies.Limb(limb.ct.crop(box), limb.suv.crop(pet), limb.tissues[box], limb.regions[box], limb.anatomy)
    one, two = table(limb), table(smaller)
    compare(one, two)
    assert sorted(one.lesion_uid) == sorted(two.lesion_uid)


@settings(deadline=None, derandomize=True, max_examples=20)
@given(
    shape=st.tuples(*[st.integers(3, 6)] * 3),
    order=st.sampled_from([(0, 1, 2), (1, 0, 2)]),  # other slices than axial ones are refused
    flips=st.tuples(*[st.booleans()] * 3),
    tilt=st.floats(-20, 20),
)
def test_the_order_in_which_a_file_stores_its_axes_does_not_matter(tmp_path_factory, shape, order, flips, tilt):
    """What `lesions` gets is the same volume, so its table is, to the last byte."""
    folder = tmp_path_factory.mktemp("axes")
    angle = np.deg2rad(tilt)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, :3] *= [2.0, 2.5, 3.0]
    affine[:3, 3] = [-10.0, 4.0, -300.0]
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    # The same voxels, each at its place in the patient, with the axes permuted and turned round.
    stored, place = voxels.transpose(order), affine.copy()
    place[:3, :3] = affine[:3, list(order)]
    for axis, flip in enumerate(flips):
        if flip:
            place[:3, 3] += place[:3, axis] * (stored.shape[axis] - 1)
            place[:3, axis] *= -1
            stored = np.flip(stored, axis)
    volumes = []
    for name, array, matrix in (("plain", voxels, affine), ("stored", stored, place)):
        path = folder / f"{name}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(array), matrix), path)
        volumes.append(load(path, grid_of_nifti(path, "CT"), pet=False))
    np.testing.assert_array_equal(volumes[0].array, volumes[1].array)
    np.testing.assert_array_equal(volumes[0].array, voxels.T)
    np.testing.assert_allclose(volumes[0].affine, volumes[1].affine, atol=1e-4)
