"""Matching in mm, the lasting name, splitting of foci."""

import numpy as np

from calciflow.deposits.identity import lesion_uid
from calciflow.deposits.match import match, reach_mm
from calciflow.deposits.pet import Focus, split

SPACING = (3.0, 4.0, 4.0)


def focus(centre, radius, height=5.0):
    reach = int(radius) + 2
    line = np.arange(-reach, reach + 1)
    steps = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    apart = np.linalg.norm(steps * np.array(SPACING), axis=1)
    basin = (steps + np.array(centre))[apart <= 4.0 * radius]
    heights = height * np.exp(-((apart[apart <= 4.0 * radius] / (4.0 * radius)) ** 2) * 1.2)
    half = heights >= 0.5 * height
    return Focus(basin[half], basin, heights.astype(np.float32), tuple(centre), 10.0, 0.0, 0.0)


def test_reach_adds_tolerance_and_resolution_in_quadrature():
    assert reach_mm(4.0, 6.0) == 5.0


def test_deposit_in_reach_takes_the_focus_and_one_out_of_reach_does_not():
    one = focus((20, 20, 20), 2)
    near, far = np.array([[20.0, 20.0, 21.0]]), np.array([[20.0, 20.0, 32.0]])
    parts = match([near, far], [one], SPACING, 2.0, 6.0)
    assert [part.deposit for part in parts] == [0]
    assert len(parts[0].voxels) == len(one.voxels)


def test_focus_without_deposit_stays_alone():
    one = focus((20, 20, 20), 2)
    parts = match([], [one], SPACING, 2.0, 6.0)
    assert [part.deposit for part in parts] == [None]


def test_one_focus_serves_two_deposits_and_is_shared_between_them():
    one = focus((20, 20, 20), 2)
    left, right = np.array([[20.0, 20.0, 18.5]]), np.array([[20.0, 20.0, 21.5]])
    parts = match([left, right], [one], SPACING, 2.0, 6.0)
    assert sorted(part.deposit for part in parts) == [0, 1]
    assert sum(len(part.voxels) for part in parts) == len(one.voxels)
    assert max(part.voxels[:, 2].max() for part in parts if part.deposit == 0) <= 20


def test_large_mass_around_a_fleck_stays_uptake_of_its_own():
    one = focus((30, 30, 30), 12)
    fleck = np.array([[30.0, 30.0, 24.0]])
    parts = match([fleck], [one], SPACING, 2.0, 6.0)
    assert {part.deposit for part in parts} == {0, None}
    own = next(part for part in parts if part.deposit == 0)
    rest = next(part for part in parts if part.deposit is None)
    assert len(rest.voxels) > len(own.voxels)


def test_two_summits_are_two_foci_only_with_a_valley_between():
    line = np.arange(30)
    deep = 6 * np.exp(-(((line - 8) / 3.0) ** 2)) + 4 * np.exp(-(((line - 20) / 3.0) ** 2))
    flat = 6 * np.exp(-(((line - 12) / 3.0) ** 2)) + 4 * np.exp(-(((line - 16) / 3.0) ** 2))
    noise = np.full((1, 1, 30), 0.05, np.float32)
    assert len(split(deep.astype(np.float32).reshape(1, 1, 30), noise)) == 2
    assert len(split(flat.astype(np.float32).reshape(1, 1, 30), noise)) == 1
    # The same valley is no boundary where noise alone could dig it.
    assert len(split(deep.astype(np.float32).reshape(1, 1, 30), noise * 20)) == 1


def test_name_depends_on_the_highest_voxel_only():
    name = lesion_uid("sub-01_ses-01", "ct", (10.0, -20.5, 300.25))
    assert name == lesion_uid("sub-01_ses-01", "ct", (10.0 + 1e-5, -20.5 - 1e-5, 300.25 + 1e-5))
    others = {
        lesion_uid("sub-02_ses-01", "ct", (10.0, -20.5, 300.25)),
        lesion_uid("sub-01_ses-01", "pet", (10.0, -20.5, 300.25)),
        lesion_uid("sub-01_ses-01", "ct", (11.0, -20.5, 300.25)),
    }
    assert len({name} | others) == 4
