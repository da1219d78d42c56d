"""What is no lesion, rule by rule, on bodies of a few voxels; and the yardsticks a scan gives of itself."""

import numpy as np
import pytest
from scipy import ndimage

from calciflow.deposits.ct import Deposit
from calciflow.deposits.match import match
from calciflow.deposits.metal import METAL_HU, Metal
from calciflow.deposits.nolesion import Verdict, judge_deposit, judge_focus, perhaps_urine, tissue_fractions
from calciflow.deposits.pet import Focus
from calciflow.deposits.reference import Uptakes, ct_blur, kvp_threshold, normal_uptake, pet_noise
from calciflow.deposits.scene import PetScene
from calciflow.images import Volume
from calciflow.labels import TISSUES, region_label
from calciflow.mapping import Mapping
from calciflow.measure.density import Density
from calciflow.measure.spill import Spill

SIZE = 24
STEP = 2.0
SPACING = (STEP, STEP, STEP)
NO_METAL = Metal(np.array([], np.int64))
VISCERA = "viscera, bowel contents or contrast"
Z, Y, X = np.meshgrid(*[np.arange(SIZE)] * 3, indexing="ij")
FROM_MIDDLE = np.sqrt((Z - 12.0) ** 2 + (Y - 12.0) ** 2 + (X - 12.0) ** 2) * STEP


def verdict(*, hu_max=600.0, region="thigh", tissues=None, hu=None):
    """Verdict on a ball of 10 mm in the middle of 48 mm of muscle, or of the tissues given."""
    mask = FROM_MIDDLE <= 5.0
    labels = np.full((SIZE,) * 3, TISSUES["muscle"], np.uint8) if tissues is None else tissues
    deposit = Deposit(
        box=(slice(0, SIZE),) * 3,
        mask=mask,
        territory=mask,
        density=Density(0.5, 250.0, hu_max, hu_max, 0.0, hu_max - 50.0, 50.0),
        agatston=None,
        peak=(12, 12, 12),
        significance=20.0,
    )
    values = np.full((SIZE,) * 3, 50, np.int16) if hu is None else hu
    regions = np.full((SIZE,) * 3, region_label(region, "right"), np.uint8)
    return judge_deposit(deposit, values, labels, regions, NO_METAL, SPACING)


def filled(tissue, share=1.0):
    """Muscle, with ``share`` of all voxels, evenly strewn, of another tissue."""
    labels = np.full((SIZE,) * 3, TISSUES["muscle"], np.uint8)
    strewn = (3 * Z + 7 * Y + X) % 10
    labels[strewn < 10 * share] = TISSUES[tissue]
    return labels


def test_a_deposit_in_muscle_is_a_lesion():
    assert verdict() == Verdict(None, ())


def test_what_is_as_dense_as_metal_is_metal():
    assert verdict(hu_max=METAL_HU).cause == "metal"
    assert verdict(hu_max=METAL_HU - 1).cause is None


def test_teeth_are_dense_in_the_head_and_at_bone():
    jaw = filled("bone", 0.4)
    assert verdict(hu_max=1600.0, region="head", tissues=jaw).cause == "teeth"
    assert verdict(hu_max=1400.0, region="head", tissues=jaw).cause is None, "less dense than enamel"
    assert verdict(hu_max=1600.0, region="hand", tissues=jaw).cause is None, "no teeth in a hand"
    assert verdict(hu_max=1600.0, region="head").cause is None, "no bone beside it"


@pytest.mark.parametrize(
    ("tissue", "region", "cause"),
    [
        ("viscera", "abdomen", VISCERA),
        ("lung", "chest", VISCERA),
        ("bone", "thigh", "bone"),
        ("other", "head", "inside the skull or airway"),
        ("other", "thigh", None),
        ("subcutaneous_fat", "thigh", None),
    ],
)
def test_what_lies_around_most_of_it_decides(tissue, region, cause):
    assert verdict(region=region, tissues=filled(tissue)).cause == cause


def test_some_viscera_beside_it_is_a_flag_and_no_verdict():
    assert verdict(region="abdomen", tissues=filled("viscera", 0.4)) == Verdict(None, ("viscera nearby",))


def test_contrast_deep_in_the_trunk_has_gas_beside_it():
    hu = np.full((SIZE,) * 3, 50, np.int16)
    hu[12:16, 12:16, 16:20] = -800  # 0.5 ml of gas, 8 mm from the middle
    assert verdict(region="abdomen", hu=hu, hu_max=300.0).cause == VISCERA
    assert verdict(region="thigh", hu=hu, hu_max=300.0).cause is None, "no bowel in a thigh"
    assert verdict(region="abdomen", hu=hu, hu_max=700.0).cause is None, "denser than contrast"
    near_skin = filled("muscle")
    near_skin[:, :, :7] = 0
    assert verdict(region="abdomen", hu=hu, hu_max=300.0, tissues=near_skin).cause is None, "not deep"
    lung = filled("muscle")
    lung[12:16, 12:16, 16:20] = TISSUES["lung"]
    assert verdict(region="abdomen", hu=hu, hu_max=300.0, tissues=lung).cause is None, "the lung's own air"


def test_fractions_of_nothing():
    assert tissue_fractions(filled("bone"), np.zeros((SIZE,) * 3, bool)) == {}


def focus_in_scene(height=10.0, bone_spill=0.0, organ_spill=0.0, inside=FROM_MIDDLE <= 6.0, **shares):
    """A ball of uptake in muscle, and its scene."""
    suv = np.where(inside, height, 1.0).astype(np.float32)
    zeros = np.zeros_like(suv)
    given = {"body": 1.0, "bone": 0.0, "organs": 0.0, "muscle": 1.0, "fat": 0.0, "other": 0.0} | shares
    scene = PetScene(
        suv=Volume(suv, np.diag([STEP, STEP, STEP, 1.0])),
        shares={name: np.full_like(suv, value) for name, value in given.items()},
        spill=Spill(zeros, zeros),
        background=np.ones_like(suv),
        noise=np.full_like(suv, 0.1),
        filtered=suv - 1,
        filtered_noise=np.full_like(suv, 0.1),
        uptakes=Uptakes(2.0, 1.0, 2.0, "blood pool in the chest", 0.1, 6.0),
        fwhm_mm=6.0,
    )
    voxels = np.argwhere(inside)
    heights = np.full(len(voxels), height - 1, np.float32)
    return Focus(voxels, voxels, heights, (12, 12, 12), 20.0, bone_spill, organ_spill), scene


def focus_verdict(**given):
    """Verdict on a ball of uptake in muscle; the two spills are the parts of it that they explain."""
    return judge_focus(*focus_in_scene(**given), 0.5)


@pytest.mark.parametrize(
    ("depth_mm", "region", "told"),
    [
        (0.0, "thigh", True),
        (1.0, "pelvis", True),
        (8.0, "thigh", False),
        (0.0, "fingers", False),
        (1.0, "chest", False),
    ],
)
def test_uptake_on_the_skin_of_the_groin_may_be_urine(depth_mm, region, told):
    """A film of 2 mm on the skin, blurred to a ball's width, and a nodule in the fat under it."""
    y = Y * STEP - depth_mm
    tissues = np.where(y > 24.0, 0, TISSUES["subcutaneous_fat"]).astype(np.uint8)
    tissues[(y > 22.0) & (tissues > 0)] = TISSUES["skin"]
    regions = np.full_like(tissues, region_label(region, "left"))
    focus, scene = focus_in_scene(inside=(np.abs(Y * STEP - 24.0) <= 4.0) & (FROM_MIDDLE <= 12.0))
    ct = Volume(np.zeros(tissues.shape, np.int16), scene.suv.affine)
    assert perhaps_urine(focus, scene, ct, tissues, regions, Mapping.identity()) is told


def test_a_focus_far_hotter_than_blood_is_a_lesion():
    assert focus_verdict() == Verdict(None, ())


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"body": 0.3}, "outside the body"),
        ({"bone": 0.6}, "in bone"),
        ({"organs": 0.5}, "kidneys, bladder, bowel or other viscera"),
        ({"organ_spill": 0.5}, "spill-in from viscera"),
        ({"bone_spill": 0.5}, "bone spill-in"),
        ({"other": 0.6}, "inside the skull or airway"),
        ({"height": 2.2}, "blood vessel"),  # the blood pool's 2.0 and less than three times the noise of 0.1, in muscle
        ({"height": 2.4}, None),
        ({"height": 2.2, "muscle": 0.5}, None),  # as faint, but not among muscles
    ],
)
def test_where_most_of_a_focus_lies_decides(given, cause):
    assert focus_verdict(**given).cause == cause


def test_some_spill_and_the_bodys_edge_are_flags():
    assert focus_verdict(bone_spill=0.4) == Verdict(None, ("bone spill",))
    assert focus_verdict(body=0.5) == Verdict(None, ("contamination?",))


def test_calcium_reads_higher_at_a_lower_voltage():
    """130 HU at 120 kVp are 147 at 100 kVp in Nakazato et al. 2009; never below the floor, and as given if unknown."""
    assert kvp_threshold(130.0, 100.0) == pytest.approx(147.0, abs=1.5)
    assert kvp_threshold(130.0, 140.0) == 130.0
    for unknown in (None, 0.0, 20.0, 500.0):
        assert kvp_threshold(130.0, unknown) == 130.0


@pytest.mark.parametrize(("sigma_mm", "expected"), [(1.2, np.hypot(1.2, 1.5 / np.sqrt(12.0))), (6.0, 2.4), (0.1, 0.6)])
def test_the_kernels_blur_is_read_from_the_skin_within_its_limits(sigma_mm, expected):
    """Kernel and voxel together, from 0.4 to 1.6 voxels: beyond, the edge is not the kernel's."""
    line = (np.arange(960) + 0.5) / 8 * 1.5 - 90
    disc = np.hypot(line[:, None], line[None, :]) < 60
    inner = disc.reshape(120, 8, 120, 8).mean(axis=(1, 3)) >= 0.5
    fine = disc * 1030.0 - 1000.0
    fine = ndimage.gaussian_filter(fine, sigma_mm / 1.5 * 8)
    ct = Volume(
        np.stack([fine.reshape(120, 8, 120, 8).mean(axis=(1, 3))] * 3).astype(np.int16), np.diag([1.5, 1.5, 3.0, 1.0])
    )
    along, sigma, other = ct_blur(ct, np.stack([inner.astype(np.uint8)] * 3), 6.0)
    assert sigma == other == pytest.approx(expected, rel=0.15)
    assert along == pytest.approx(6.0 / np.sqrt(12.0)), "a box of the slice's thickness"


def test_the_yardstick_is_blood_then_twice_muscle_then_one():
    shape = (30, 40, 40)
    muscle = np.zeros(shape, np.float32)
    muscle[:, :20] = 1
    chest = np.zeros(shape, np.float32)
    chest[:, 20:] = 1  # 30 x 20 x 40 voxels of 8 mm3 are 192 ml
    suv = np.where(muscle > 0, 0.7, 2.5).astype(np.float32)
    found = normal_uptake(suv, muscle, muscle, chest, SPACING)
    assert (found.reference, found.source) == (2.5, "blood pool in the chest")
    assert found.muscle == pytest.approx(0.7)
    small = chest.copy()
    small[:, :, 5:] = 0  # 24 ml: too little for a median
    found = normal_uptake(suv, muscle, muscle, small, SPACING)
    assert np.isnan(found.blood_pool)
    assert found.reference == pytest.approx(1.4)
    assert found.source == "twice muscle (no chest in view)"
    nothing = np.zeros(shape, np.float32)
    found = normal_uptake(suv, nothing, nothing, None, SPACING)
    assert (found.reference, found.source) == (1.0, "SUV 1 (no soft tissue in view)")
    faint = normal_uptake(np.full(shape, 0.05, np.float32), muscle, muscle, None, SPACING)
    assert faint.reference == 0.3, "no less, or noise would pass a relative threshold"


def test_noise_of_a_pet_by_its_known_kernel():
    random = np.random.default_rng(3)
    everywhere = np.ones((40, 60, 60), bool)
    white = random.standard_normal((40, 60, 60)).astype(np.float32) * 0.5
    noise, width = pet_noise(white, everywhere, SPACING)
    assert noise == pytest.approx(0.5, rel=0.05)
    assert width < 3.0
    # Neighbours' noise filtered by a Gaussian of 5 mm is correlated by one of 5 sqrt(2).
    smooth = ndimage.gaussian_filter(white, 5.0 / 2.3548 / STEP)
    smooth *= 0.5 / smooth.std()
    noise, width = pet_noise(smooth, everywhere, SPACING)
    assert noise == pytest.approx(0.5, rel=0.15)
    assert 4.0 < width < 6.5
    wide = ndimage.gaussian_filter(white, 20.0 / 2.3548 / STEP)
    assert pet_noise(wide, everywhere, SPACING)[1] == 8.0, "wider correlation is anatomy"
    assert pet_noise(white, np.zeros_like(everywhere), SPACING) == (0.1, 6.0), "nothing to measure it in"


def slope(fleck, own):
    """A focus of 5 that halves at 8 mm and goes on to 20 mm, and a fleck of calcium 15 mm off that may have its own."""
    line = np.arange(-20, 21)
    steps = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    steps = steps[np.linalg.norm(steps, axis=1) <= 20]
    heights = 5.0 * 2.0 ** -((np.linalg.norm(steps, axis=1) / 8.0) ** 2)
    if own:
        heights = np.where(np.linalg.norm(steps - fleck, axis=1) <= 3.0, np.maximum(heights, 2.0), heights)
    half = heights >= 2.5
    return Focus(steps[half] + 30, steps + 30, heights.astype(np.float32), (30, 30, 30), 10.0, 0.0, 0.0)


def test_a_fleck_on_the_slope_of_a_hot_neighbour_has_none_of_it_but_keeps_its_own():
    fleck = np.array([0, 0, 15])
    deposits = [np.array([fleck + 30.0])]
    alone = match(deposits, [slope(fleck, False)], (1.0, 1.0, 1.0), 2.0, 6.0)
    assert [part.deposit for part in alone] == [None]
    both = match(deposits, [slope(fleck, True)], (1.0, 1.0, 1.0), 2.0, 6.0)
    assert sorted((part.deposit is None, part.deposit) for part in both) == [(False, 0), (True, None)]
    own = next(part for part in both if part.deposit == 0).voxels
    assert np.linalg.norm(own - 30 - fleck, axis=1).max() <= 6.0
    outside = match([np.array([[30.0, 30.0, 54.0]])], [slope(fleck, False)], (1.0, 1.0, 1.0), 2.0, 6.0)
    assert [part.deposit for part in outside] == [None], "in reach of the skirt's border, but not in it"
