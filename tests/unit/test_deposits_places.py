"""Spinous processes and the soft background, on made bodies."""

import numpy as np
import pytest
from scipy import ndimage

from calciflow.deposits.background import soft_background, tissue_levels
from calciflow.deposits.blocks import block_percentile
from calciflow.deposits.places import at_pelvic_vein, at_spine
from calciflow.deposits.scene import lean_in_fat
from calciflow.deposits.uncertain import released_bone
from calciflow.images import Volume
from calciflow.labels import TISSUES, region_label
from calciflow.measure.spill import blur

MIDLINE = {"point_mm": [0.0, 0.0, 0.0], "normal": [1.0, 0.0, 0.0]}


def trunk():
    """A neck: skin and fat around muscle, a vertebra in front of y = 0 (RAS, 2 mm voxels); the middle voxel at 0."""
    labels = np.full((5, 61, 61), TISSUES["muscle"], np.uint8)
    labels[:, :12] = TISSUES["subcutaneous_fat"]
    labels[:, :2] = 0
    labels[:, 34:44, 25:36] = TISSUES["bone"]
    regions = np.full(labels.shape, region_label("neck", "right"), np.uint8)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [-60.0, -60.0, -4.0]
    return labels, regions, Volume(labels.astype(np.int16), affine)


@pytest.mark.parametrize(
    ("place", "spinous"),
    [
        ((0.0, -20.0, 0.0), True),
        ((5.0, -10.0, 0.0), True),
        ((14.0, -20.0, 0.0), False),
        ((0.0, 40.0, 0.0), False),
        ((0.0, -48.0, 0.0), False),
    ],
)
def test_behind_a_vertebra_on_the_midline_lies_its_spinous_process(place, spinous):
    labels, regions, ct = trunk()
    assert at_spine(np.array(place), labels, regions, ct, MIDLINE) is spinous


def test_without_midline_or_away_from_the_spine_nothing_is_told():
    labels, regions, ct = trunk()
    place = np.array([0.0, -20.0, 0.0])
    assert not at_spine(place, labels, regions, ct, {})
    assert not at_spine(place, labels, np.full_like(regions, region_label("thigh", "right")), ct, MIDLINE)
    assert not at_spine(place, np.where(labels == TISSUES["bone"], TISSUES["muscle"], labels), regions, ct, MIDLINE)


def test_the_upper_vertebrae_lie_behind_the_face_and_the_scalp_is_no_nape():
    labels, regions, ct = trunk()
    head = np.full_like(regions, region_label("head", "right"))
    assert at_spine(np.array([0.0, -20.0, 0.0]), labels, head, ct, MIDLINE)
    scalp = labels.copy()
    scalp[:, 22:34] = TISSUES["skin"]
    scalp[:, 12:22] = 0
    assert not at_spine(np.array([0.0, -10.0, 0.0]), scalp, head, ct, MIDLINE)


def pelvis():
    """A pelvis of 360 x 220 mm (RAS, 2 mm voxels, the middle at 0) with a hip bone on either side at 70 mm."""
    y, x = np.meshgrid(np.arange(121) - 60, np.arange(201) - 100, indexing="ij")
    section = np.where(np.hypot(x * 2 / 180.0, y * 2 / 110.0) < 1, TISSUES["muscle"], 0).astype(np.uint8)
    for middle in (-70, 70):
        section[np.hypot(x * 2 - middle, y * 2) < 18] = TISSUES["bone"]
    labels = np.repeat(section[None], 9, axis=0)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [-200.0, -120.0, -8.0]
    regions = np.full(labels.shape, region_label("pelvis", "right"), np.uint8)
    return labels, regions, Volume(labels.astype(np.int16), affine)


def ball(centre, width):
    grid = np.stack(np.meshgrid(*[np.arange(-width / 2, width / 2 + 0.1, 1.0)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return grid[np.linalg.norm(grid, axis=1) <= width / 2] + centre


@pytest.mark.parametrize(
    ("centre", "width", "vein"),
    [
        ((40.0, 0.0, 0.0), 5.0, True),
        ((-30.0, 8.0, 0.0), 8.0, True),
        # lateral of the hip bone, as in the gluteal muscles; a tumoral mass; before and behind the bones
        ((110.0, 0.0, 0.0), 5.0, False),
        # medial of a trochanter, behind the hip joint: bone on both sides, but not in the lesser pelvis
        ((60.0, -24.0, 0.0), 5.0, False),
        ((40.0, 0.0, 0.0), 16.0, False),
        ((0.0, 60.0, 0.0), 5.0, False),
        ((0.0, -80.0, 0.0), 5.0, False),
    ],
)
def test_small_stones_between_the_hip_bones_are_of_veins(centre, width, vein):
    labels, regions, ct = pelvis()
    assert at_pelvic_vein(ball(centre, width), labels, regions, ct, MIDLINE) is vein


def test_between_thighs_and_under_the_skin_there_are_no_pelvic_veins():
    labels, regions, ct = pelvis()
    stone = ball((30.0, 0.0, 0.0), 5.0)
    assert not at_pelvic_vein(stone, labels, np.full_like(regions, region_label("thigh", "right")), ct, MIDLINE)
    without = np.where(labels == TISSUES["bone"], TISSUES["muscle"], labels)
    assert not at_pelvic_vein(stone, without, regions, ct, MIDLINE)
    thin = labels.copy()
    thin[:, 75:] = 0  # the skin lies 30 mm before it
    assert not at_pelvic_vein(stone, thin, regions, ct, MIDLINE)
    assert at_pelvic_vein(stone, labels, regions, ct, MIDLINE)
    assert not at_pelvic_vein(stone, labels, regions, ct, {})


def limb_pet(fwhm=6.0, step=3.0):
    """A PET of a round limb: muscle 0.6 in fat 0.25, blurred; shares on its grid."""
    y, x = np.meshgrid(np.arange(40) - 19.5, np.arange(40) - 19.5, indexing="ij")
    radius = np.broadcast_to(np.hypot(y, x) * step, (40, 40, 40))
    muscle = (radius < 30).astype(np.float32)
    fat = ((radius >= 30) & (radius < 48)).astype(np.float32)
    spacing = (step, step, step)
    shares = {"muscle": muscle, "fat": fat, "other": np.zeros_like(muscle), "body": muscle + fat}
    shares["strands"] = np.zeros_like(muscle)
    return blur(0.6 * muscle + 0.25 * fat, fwhm, spacing), shares, spacing


def test_each_tissues_uptake_is_recovered_and_the_border_leaves_no_texture():
    image, shares, spacing = limb_pet()
    quiet = shares["body"] > 0.9
    parts = [blur(shares[name], 6.0, spacing) for name in ("muscle", "fat", "other")]
    levels = tissue_levels(image, parts, quiet)
    assert levels[:2] == pytest.approx([0.6, 0.25], abs=0.01)
    background = soft_background(image, shares, quiet, 1.5, 6.0, spacing)
    assert np.abs((image - background)[quiet]).max() < 0.03


def test_a_lesion_is_not_taken_for_background():
    image, shares, spacing = limb_pet()
    spot = np.zeros_like(image)
    spot[20, 20, 24] = 30.0
    image = image + blur(spot, 6.0, spacing)
    quiet = (shares["body"] > 0.9) & (image < 1.5)
    background = soft_background(image, shares, quiet, 1.5, 6.0, spacing)
    assert (image - background)[20, 20, 24] > 0.9 * (image[20, 20, 24] - 0.6)


def test_no_quiet_tissue_gives_half_the_reference():
    image, shares, spacing = limb_pet()
    background = soft_background(image, shares, np.zeros(image.shape, bool), 1.0, 6.0, spacing)
    assert background[20, 20, 20] == pytest.approx(0.5)


def test_places_with_more_uptake_throughout_are_background():
    image, shares, spacing = limb_pet()
    slope = np.linspace(0.8, 1.4, 40, dtype=np.float32)[:, None, None]
    quiet = shares["body"] > 0.9
    background = soft_background(image * slope, shares, quiet, 1.5, 6.0, spacing)
    inner = ndimage.binary_erosion(quiet, iterations=3)
    inner[:4] = inner[-4:] = False
    assert np.abs((image * slope - background)[inner]).max() < 0.08


def test_a_vein_in_fat_is_background_where_ct_shows_it():
    """Veins under the skin were foci: muscle's uptake in what the map calls fat."""
    image, shares, spacing = limb_pet()
    vein = np.zeros(image.shape, np.float32)
    vein[:, 20, 33] = 1.0
    image = image + blur((0.6 - 0.25) * vein, 6.0, spacing)
    quiet = shares["body"] > 0.9
    unknown = soft_background(image, shares, quiet, 1.5, 6.0, spacing)
    known = soft_background(image, {**shares, "strands": vein}, quiet, 1.5, 6.0, spacing)
    where = (slice(5, 35), 20, 33)
    assert (image - unknown)[where].min() > 0.04
    assert np.abs((image - known)[where]).max() < 0.02


@pytest.mark.parametrize(("hu", "share"), [(-100, 0.0), (-25, 0.5), (50, 1.0), (90, 1.0), (400, 0.0)])
def test_fat_and_lean_tissue_mix_linearly_and_calcium_is_neither(hu, share):
    tissues = np.full((4, 4, 4), TISSUES["subcutaneous_fat"], np.uint8)
    values = np.full((4, 4, 4), hu, np.int16)
    assert lean_in_fat(values, tissues, (2, 2, 2)) == pytest.approx(share)
    tissues[:] = TISSUES["muscle"]
    assert lean_in_fat(values, tissues, (2, 2, 2)) == pytest.approx(0.0)


def test_noise_in_fat_passes_for_no_strands():
    rng = np.random.default_rng(4)
    values = np.round(rng.normal(-100, 60, (40, 40, 40))).astype(np.int16)
    tissues = np.full(values.shape, TISSUES["subcutaneous_fat"], np.uint8)
    # Limited voxel by voxel, half of such noise would read 0.16 on average.
    assert lean_in_fat(values, tissues, (4, 4, 4)).mean() < 0.03


def test_percentiles_of_blocks_by_hand():
    """Blocks of 24 mm at 3 mm are 8 voxels wide: two of them, 1 and 3, and the smooth way from one to the other."""
    values = np.full((8, 8, 16), 1.0, np.float32)
    values[:, :, 8:] = 3.0
    valid = np.ones(values.shape, bool)
    found = block_percentile(values, valid, (3.0, 3.0, 3.0), 50)
    assert found[0, 0, 0] < found[0, 0, 8] < found[0, 0, 15]
    assert found.min() >= 1.0
    assert found.max() <= 3.0
    one = block_percentile(values, values < 2, (3.0, 3.0, 3.0), 50)
    np.testing.assert_allclose(one, 1.0, rtol=1e-6)


def test_too_few_voxels_for_a_block_speak_together_and_none_say_nothing():
    values = np.arange(64, dtype=np.float32).reshape(4, 4, 4)
    few = values < 5
    assert (block_percentile(values, few, (3.0, 3.0, 3.0), 50) == 2.0).all(), "median of 0 to 4"
    assert np.isnan(block_percentile(values, np.zeros_like(few), (3.0, 3.0, 3.0), 50)).all()


def bone_and_piece():
    """Muscle with a bone of 8 x 8 x 8 voxels and, apart from it, a piece of 2 x 2 x 2, at 2 mm."""
    labels = np.full((30, 30, 30), TISSUES["muscle"], np.uint8)
    labels[2:10, 2:10, 2:10] = labels[20:22, 20:22, 20:22] = TISSUES["bone"]
    return labels, Volume(np.zeros(labels.shape, np.int16), np.diag([2.0, 2.0, 2.0, 1.0]))


def piece(**changes):
    return {"x_mm": 41.0, "y_mm": 41.0, "z_mm": 41.0, "volume_ml": 0.064, "bone_probability": 0.1} | changes


def test_a_piece_that_is_likely_no_bone_is_given_to_what_lies_around_it():
    labels, ct = bone_and_piece()
    found = released_bone(labels, ct, [piece()])
    assert (found[20:22, 20:22, 20:22] == TISSUES["muscle"]).all()
    assert (found[2:10, 2:10, 2:10] == TISSUES["bone"]).all()
    assert (labels[20, 20, 20]) == TISSUES["bone"], "the map itself is not changed"


@pytest.mark.parametrize(
    "changes",
    [
        {"bone_probability": 0.9},
        {"volume_ml": 30.0},  # another piece is meant
        {"x_mm": 500.0},  # outside the image
        {"z_mm": 57.0, "x_mm": 1.0},  # no bone near
    ],
)
def test_a_piece_that_is_not_found_again_changes_nothing(changes):
    labels, ct = bone_and_piece()
    np.testing.assert_array_equal(released_bone(labels, ct, [piece(**changes)]), labels)


def test_two_pieces_are_taken_out_together():
    labels, ct = bone_and_piece()
    labels[20:22, 20:22, 5:7] = TISSUES["bone"]
    found = released_bone(labels, ct, [piece(), piece(x_mm=11.0)])
    assert (found == TISSUES["bone"]).sum() == 8**3
