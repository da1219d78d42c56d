"""What is no lesion: each rule gives a cause, and the dropped are counted by it."""

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray

from calciflow.deposits.ct import Deposit
from calciflow.deposits.metal import METAL_HU, Metal, beside_metal, is_streak
from calciflow.deposits.pet import Focus
from calciflow.deposits.scene import PetScene
from calciflow.deposits.uphill import belongs_to_organ
from calciflow.images import Volume
from calciflow.labels import TISSUES, region_of
from calciflow.mapping import Mapping as PetMapping
from calciflow.mapping import ct_voxels
from calciflow.measure.boxes import Spacing, distance_to

VESSEL_RATIO = 1.0
"""Vessels among muscles are narrower than the PET's blur, but for the largest: they show the blood pool's uptake at
most, and noise."""

WHOLLY_MUSCLE = 0.9
MOSTLY_MUSCLE = 0.6
"""Vessels wide enough to be seen on PET run among muscles; those of skin, fat and digits are far narrower."""

VESSEL_MM = (9.0, 18.0)
"""Distances from a focus within which a vessel goes on; a focus of its own has faded there, two widths of the blur
off."""

VESSEL_SHARE = 0.45

TRUNK = ("chest", "abdomen", "pelvis")
CONTRAST_HU = 600.0
GAS_HU = -300
GAS_MM = 12.0
GAS_ML = 0.1
"""Contrast in bowel reads 150 to 350 HU, up to some 600 where it thickens, and gas is never far."""

URINE_HU = (-10.0, 30.0)
URINE_ML = 3.0
"""Urine reads 0 to 20 HU, muscle 40 to 60; smaller foci hold too few voxels of a noisy CT to tell."""

DENSE_HU = 150.0
DENSE_SHARE = 0.25
DENSE_MM = 5.0
DENSE_STEP_MM = 1.25
"""Spongy bone reads 150 HU and more; a quarter of a ball as wide as the PET's blur is a rib's width."""

TEETH_HU = 1500.0
SHELL_MM = 3.0
MOSTLY = 0.5


@dataclass(frozen=True)
class Verdict:
    """Why something is no lesion (``cause``), or what makes one uncertain (``flags``)."""

    cause: str | None = None
    flags: tuple[str, ...] = ()


def tissue_fractions(labels: NDArray[np.uint8], where: NDArray[np.bool_]) -> dict[str, float]:
    """Share of each tissue among the voxels of ``where``; ``outside`` for label 0. Empty if there are none."""
    counts = np.bincount(labels[where], minlength=256)
    total = counts.sum()
    if not total:
        return {}
    names = {0: "outside"} | {label: name for name, label in TISSUES.items()}
    return {name: float(counts[label]) / float(total) for label, name in names.items()}


def around(mask: NDArray[np.bool_], spacing: Spacing, mm: float = SHELL_MM) -> NDArray[np.bool_]:
    """The shell of ``mm`` around a mask in its crop, the mask left out."""
    reach = max(mm, 1.01 * max(spacing[1:]))
    return (distance_to(mask, spacing) <= reach) & ~mask


def judge_deposit(
    deposit: Deposit,
    hu: NDArray[np.int16],
    tissues: NDArray[np.uint8],
    regions: NDArray[np.uint8],
    metal: Metal,
    spacing: Spacing,
) -> Verdict:
    """Tell whether a CT deposit is a lesion.

    The rules, in order: metal (density), streaks of metal (in its slices, and no brighter than its rays make streaks
    there), teeth (dense, in the head, at bone), viscera and lung around most of it, or viscera where it lies (bowel
    contents and contrast, stones, vessels), bone around most of it (a hole in the bone map), the inside of the skull
    (``other`` around it, in the head).
    """
    hu = hu[deposit.box]
    labels, places = tissues[deposit.box], regions[deposit.box]
    shell = around(deposit.mask, spacing)
    fractions = tissue_fractions(labels, shell | deposit.mask)
    region = _region(places[deposit.mask])
    if deposit.density.hu_max >= METAL_HU:
        return Verdict("metal")
    if is_streak(deposit, metal, spacing):
        return Verdict("metal streak")
    if region == "head" and deposit.density.hu_max >= TEETH_HU and fractions.get("bone", 0) > 0.2:
        return Verdict("teeth")
    organs = fractions.get("viscera", 0.0) + fractions.get("lung", 0.0)
    own = tissue_fractions(labels, deposit.mask).get("viscera", 0.0)
    if organs > MOSTLY or own > MOSTLY:
        return Verdict("viscera, bowel contents or contrast")
    if fractions.get("bone", 0.0) > MOSTLY:
        return Verdict("bone")
    if region in TRUNK and deposit.density.hu_max < CONTRAST_HU and beside_gas(deposit, hu, labels, spacing):
        return Verdict("viscera, bowel contents or contrast")
    if region in ("head", "neck") and fractions.get("other", 0.0) > MOSTLY:
        return Verdict("inside the skull or airway")
    flags = []
    if beside_metal(deposit, metal, spacing):
        flags.append("metal nearby")
    if organs > 0.2:
        flags.append("viscera nearby")
    return Verdict(None, tuple(flags))


def beside_gas(deposit: Deposit, hu: NDArray[np.int16], labels: NDArray[np.uint8], spacing: Spacing) -> bool:
    """Whether gas lies beside a deposit deep in the trunk, as beside what fills bowel.

    For tissue maps that know no bowel there.

    At least ``GAS_ML`` of gas inside the body within ``GAS_MM``, and no outside within that distance.
    """
    near = distance_to(deposit.mask, spacing) <= GAS_MM
    if (labels[near] == 0).any():
        return False
    gas = cc3d.connected_components(hu < GAS_HU, connectivity=6)
    # The lung's edge, whatever the map calls it, hangs together with the lung.
    lung = np.unique(gas[labels == TISSUES["lung"]])
    gas = near & (gas > 0) & ~np.isin(gas, lung)
    return float(gas.sum()) * float(np.prod(spacing)) / 1000.0 >= GAS_ML


def _region(labels: NDArray[np.uint8]) -> str | None:
    known = labels[labels > 0]
    if not len(known):
        return None
    return region_of(int(np.bincount(known).argmax()))[0]


def in_vessel(focus: Focus, scene: PetScene) -> bool:
    """Whether uptake goes on from a focus to both sides: it is part of a tube.

    In the filtered image, the shell between ``VESSEL_MM`` around the peak must hold ``VESSEL_SHARE`` of the peak's
    excess in two opposite directions (more than 120 degrees apart), as a vessel's blood does and a focus does not.
    A side that the image cuts off counts as going on.
    """
    spacing = np.array(scene.suv.spacing)
    reach = np.ceil(VESSEL_MM[1] / spacing).astype(int)
    size = np.array(scene.filtered.shape)
    peak = np.array(focus.peak)
    steps = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    apart = np.linalg.norm(steps * spacing, axis=1)
    steps = steps[(apart >= VESSEL_MM[0]) & (apart <= VESSEL_MM[1])]
    places = peak + steps
    inside = ((places >= 0) & (places < size)).all(axis=1)
    values = np.full(len(steps), np.inf)
    values[inside] = scene.filtered[tuple(places[inside].T)]
    bright = steps[values >= VESSEL_SHARE * float(scene.filtered[focus.peak])] * spacing
    if len(bright) < 2:
        return False
    directions = bright / np.linalg.norm(bright, axis=1, keepdims=True)
    return bool((directions @ directions.T).min() <= -0.5)


def in_dense(focus: Focus, scene: PetScene, ct: Volume, mapping: PetMapping) -> bool:
    """Whether uptake without a deposit of its own sits in what CT shows dense: a bone that the map missed.

    Within ``DENSE_MM`` of the middle of the uptake at least ``DENSE_SHARE`` of the CT reaches ``DENSE_HU``. A deposit
    that dense would have been found on CT.
    """
    where = tuple(focus.voxels.T)
    weight = np.maximum(scene.excess(where), 1e-3).astype(np.float64)
    centre = (scene.suv.world(focus.voxels) * weight[:, None]).sum(axis=0) / weight.sum()
    line = np.arange(-DENSE_MM, DENSE_MM + 0.1, DENSE_STEP_MM)
    ball = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    ball = ball[np.linalg.norm(ball, axis=1) <= DENSE_MM]
    places = ct_voxels(centre + ball, ct, mapping)
    if not len(places):
        return False
    return bool((ct.array[tuple(places.T)] >= DENSE_HU).mean() >= DENSE_SHARE)


def in_urine(focus: Focus, scene: PetScene, ct: Volume, regions: NDArray[np.uint8], mapping: PetMapping) -> bool:
    """Whether a large hot focus of abdomen or pelvis is urine, by its CT: water, neither muscle nor fat.

    For tissue maps that know no bladder there. Its hotter half must be at least ``URINE_ML`` and read ``URINE_HU``.
    """
    heights = scene.excess(tuple(focus.voxels.T))
    core = focus.voxels[heights >= np.median(heights)]
    if len(core) * scene.suv.voxel_ml < URINE_ML:
        return False
    places = ct_voxels(scene.suv.world(core), ct, mapping)
    if not len(places):
        return False
    where = tuple(places.T)
    middle = float(np.median(ct.array[where]))
    return _region(regions[where]) in ("abdomen", "pelvis") and URINE_HU[0] <= middle <= URINE_HU[1]


def perhaps_urine(
    focus: Focus,
    scene: PetScene,
    ct: Volume,
    tissues: NDArray[np.uint8],
    regions: NDArray[np.uint8],
    mapping: PetMapping,
) -> bool:
    """Whether uptake lies on the skin of pelvis or thigh, where urine wets it, and CT shows nothing there.

    Most of its hotter half lies in the skin or outside the body, where blur carries what lies on it; of a nodule under
    the skin most does not. A nodule of the skin may look so too: both stay, flagged.
    """
    heights = scene.excess(tuple(focus.voxels.T))
    core = focus.voxels[heights >= 0.5 * heights.max()]
    places = ct_voxels(scene.suv.world(core), ct, mapping)
    if not len(places):
        return False
    where = tuple(places.T)
    labels = tissues[where]
    outer = float(((labels == 0) | (labels == TISSUES["skin"])).mean())
    return outer > MOSTLY and _region(regions[where]) in ("pelvis", "thigh")


def judge_focus(focus: Focus, scene: PetScene, bone_spill_max: float) -> Verdict:
    """Tell whether a PET focus without a CT deposit is a lesion.

    The rules, in order: outside the body; in bone; in viscera or lung, or one with them; explained by spill from
    organs, or from bone; inside the skull. The centre of the uptake that is not explained by spill decides, since blur
    does not move it.
    """
    where = tuple(focus.voxels.T)
    weight = np.maximum(scene.excess(where), 1e-6).astype(np.float64)
    weight /= weight.sum()
    share = {name: float((weight * values[where]).sum()) for name, values in scene.shares.items()}
    if share["body"] < 0.35:
        return Verdict("outside the body")
    if share["bone"] > MOSTLY:
        return Verdict("in bone")
    if share["organs"] > 0.4 or belongs_to_organ(focus, scene):
        return Verdict("kidneys, bladder, bowel or other viscera")
    if focus.organ_fraction >= bone_spill_max:
        return Verdict("spill-in from viscera")
    if focus.bone_fraction >= bone_spill_max:
        return Verdict("bone spill-in")
    if share["other"] > MOSTLY:
        return Verdict("inside the skull or airway")
    reference, noise = scene.uptakes.reference, 3.0 * float(scene.noise[focus.peak])
    height = float(scene.suv.array[focus.peak])
    among_muscle = float(scene.shares["muscle"][focus.peak])
    if height < VESSEL_RATIO * reference + noise:
        if among_muscle > MOSTLY_MUSCLE and in_vessel(focus, scene):
            return Verdict("blood vessel")
        # Vessels cross and branch: what is no hotter than blood among muscles cannot be told from one.
        if among_muscle > WHOLLY_MUSCLE:
            return Verdict("blood vessel")
    flags = []
    if focus.bone_fraction > 0.3:
        flags.append("bone spill")
    if share["body"] < 0.6:
        flags.append("contamination?")
    return Verdict(None, tuple(flags))
