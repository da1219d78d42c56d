"""The PET with what the CT knows of every PET voxel: tissue shares, predicted spill, background, noise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.anatomy.soft import FAT_EDGE_HU
from calciflow.deposits.background import soft_background
from calciflow.deposits.blocks import block_percentile
from calciflow.deposits.reference import MAD_TO_SD, Uptakes, normal_uptake
from calciflow.images import Volume
from calciflow.labels import REGIONS, TISSUES, region_label
from calciflow.mapping import Mapping
from calciflow.measure.boxes import FWHM_PER_SIGMA, Box, Spacing, box_of, grow
from calciflow.measure.spill import Spill, predict_spill

FINE_MM = 2.05
SAMPLED_MM = 6.0
BODY_MARGIN_MM = 15.0
SLAB_VOXELS = 500_000
BED_MM = 200.0
"""Axial field of view of a scanner: 150 to 260 mm in common models; a longer one is less noisy at its ends."""

MOST_NOISE = 4.0
"""Noise inside the scan over the scan's median, at most: a pelvis has a quarter of the counts of a thigh (2), beds of
half the time 1.4 times the noise, and beside the bladder the errors of its spill pass for noise. Ours."""

END_NOISE = 1.5
"""Noise where an end's loss of counts begins, at most: the end of a scan is a head or feet, and no pelvis. Ours."""

MOST_TAIL = 1.5
"""How much longer than a Gaussian's the upper tail of noise may be inside the scan; more towards its ends. Ours."""

LATTICE = 4
"""PET voxels from one to the next whose place in the CT is computed: some 8 to 20 mm."""

QUIET_RATIO = 3.0
"""Soft tissue above that many times its median is no normal tissue."""

FAT_HU, LEAN_HU = -100.0, 50.0
"""Subcutaneous fat reads -120 to -90 HU; muscle and blood 40 to 60."""

CALCIUM_HU, AIR_EDGE_HU = 130, -300
"""Denser voxels may be deposits, lighter ones are skin's edge: neither tells how much of fat is lean."""

FILTER = 0.6
"""Width of the detecting filter relative to the PET's blur: near the matched filter, without merging neighbours."""


@dataclass(frozen=True)
class PetScene:
    """A PET around the body, with the CT's knowledge on its grid.

    Attributes
    ----------
    suv
        PET crop, g/ml, with its affine.
    shares
        Share of each voxel that is body, bone, organs (viscera and lung), muscle, fat (with skin), other; and of the
        fat what CT shows as strands of lean tissue (vessels, fascia); 0 to 1.
    spill
        What bone and organs explain, SUV.
    background
        Local uptake of soft tissue, SUV.
    noise
        Standard deviation of a voxel, SUV.
    filtered
        What is not explained, smoothed by the detecting filter, SUV.
    filtered_noise
        Its standard deviation, texture of normal tissue included, SUV.
    uptakes
        Normal uptake of the scan.
    fwhm_mm
        Resolution of the PET.
    """

    suv: Volume
    shares: dict[str, NDArray[np.float32]]
    spill: Spill
    background: NDArray[np.float32]
    noise: NDArray[np.float32]
    filtered: NDArray[np.float32]
    filtered_noise: NDArray[np.float32]
    uptakes: Uptakes
    fwhm_mm: float

    def excess(self, where: tuple[NDArray[np.int64], ...] | None = None) -> NDArray[np.float32]:
        """Uptake that neither spill nor background explains, SUV: everywhere, or at some voxels."""
        if where is None:
            return self.suv.array - self.spill.bone - self.spill.organs - self.background
        result: NDArray[np.float32] = (
            self.suv.array[where] - self.spill.bone[where] - self.spill.organs[where] - self.background[where]
        )
        return result


def block_counts(labels: NDArray[np.uint8], wanted: tuple[int, ...], factors: tuple[int, int, int]) -> NDArray[Any]:
    """Count some labels in blocks of ``factors`` voxels; incomplete last blocks are filled up by their edge."""
    table = np.zeros(256, np.uint8)
    table[list(wanted)] = 1
    # Up to 255 voxels in a block add up in a byte.
    return _block_sums(table[labels], factors, np.uint8 if int(np.prod(factors)) < 256 else np.uint16)


def _block_sums(values: NDArray[Any], factors: tuple[int, int, int], kind: type[np.generic]) -> NDArray[Any]:
    padding = [(0, -size % factor) for size, factor in zip(values.shape, factors, strict=True)]
    total: NDArray[Any] = np.pad(values, padding, mode="edge") if np.any(padding) else values
    for axis in (2, 1, 0):
        parts = [
            total[tuple(slice(start, None, factors[axis]) if a == axis else slice(None) for a in range(3))]
            for start in range(factors[axis])
        ]
        summed = parts[0].astype(kind)
        for part in parts[1:]:
            summed = summed + part
        total = summed
    return total


def shares_on_pet(
    tissues: NDArray[np.uint8], regions: NDArray[np.uint8], ct: Volume, crop: Volume, mapping: Mapping
) -> dict[str, NDArray[np.float32]]:
    """Shares of PET voxels that the tissues fill; ``chest`` for the viscera there, heart and great vessels.

    Parameters
    ----------
    tissues, regions
        Labels on the CT grid.
    crop
        The PET, or a box of it.
    """
    # Every other voxel of a fine CT is enough for the share of a PET voxel.
    thin = [max(1, int(FINE_MM / step)) for step in ct.spacing]
    every = tuple(slice(None, None, step) for step in thin)
    hu, tissues, regions = ct.array[every], np.ascontiguousarray(tissues[every]), regions[every]
    fine_mm = [step * skip for step, skip in zip(ct.spacing, thin, strict=True)]
    zf, yf, xf = (max(1, round(0.7 * wide / fine)) for wide, fine in zip(crop.spacing, fine_mm, strict=True))
    factors = (zf, yf, xf)
    kinds = {
        "body": tuple(TISSUES.values()),
        "bone": (TISSUES["bone"],),
        "organs": (TISSUES["viscera"], TISSUES["lung"]),
        "muscle": (TISSUES["muscle"],),
        "fat": (TISSUES["subcutaneous_fat"], TISSUES["skin"]),
        "other": (TISSUES["other"],),
    }
    coarse = {name: block_counts(tissues, wanted, factors) for name, wanted in kinds.items()}
    # Fat between heart and lungs takes up a quarter of what blood holds.
    chest = np.where((tissues == TISSUES["viscera"]) & (hu > FAT_EDGE_HU), regions, 0)
    coarse["chest"] = block_counts(chest, (region_label("chest", "left"), region_label("chest", "right")), factors)
    counted = list(coarse)
    coarse["strands"] = lean_in_fat(hu, tissues, factors)

    def column(values: Sequence[int]) -> NDArray[np.float64]:
        return np.array(values, float)[:, None]

    result = {name: np.zeros(crop.array.shape, np.float32) for name in coarse}
    for slab, index in _slabs(crop, ct, mapping):
        place = (index.reshape(3, -1) / column(thin) + 0.5) / column(factors) - 0.5
        body = _look_up(coarse["body"], place)
        inside = np.flatnonzero(body)
        place = place[:, inside]
        for name, values in coarse.items():
            found = body[inside] if name == "body" else _look_up(values, place)
            result[name][slab].reshape(-1)[inside] = found
    for name in counted:
        result[name] /= np.float32(np.prod(factors))
    return result


def _look_up(values: NDArray[Any], place: NDArray[np.float64]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = ndimage.map_coordinates(
        values, place, order=1, output=np.float32, mode="constant", cval=0.0
    )
    return found


def _slabs(crop: Volume, ct: Volume, mapping: Mapping) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Slabs of the PET's slices with the CT array index of each voxel, (3, z, y, x).

    Looked up on every ``LATTICE``-th voxel and linear between them: exact for a rigid transform, and a limb's own
    displacement is linear over centimetres. The places of all voxels at once would need many times the PET's memory.
    """
    size = crop.array.shape
    nodes = [np.unique(np.append(np.arange(0, length, LATTICE), length - 1)) for length in size]
    grid = np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1).reshape(-1, 3)
    index = ct.index(mapping.pet_to_ct(crop.world(grid))).T.reshape(3, *(len(one) for one in nodes))
    deep = max(1, SLAB_VOXELS // (size[1] * size[2]))
    for start in range(0, size[0], deep):
        stop = min(start + deep, size[0])
        part = index
        for axis, (low, high) in enumerate(((start, stop), (0, size[1]), (0, size[2])), start=1):
            part = _between(part, nodes[axis - 1], np.arange(low, high), axis)
        yield slice(start, stop), part


def _between(
    values: NDArray[np.float64], nodes: NDArray[np.int64], at: NDArray[np.int64], axis: int
) -> NDArray[np.float64]:
    """Values at some places of an axis, linear between those at its nodes."""
    below = np.clip(np.searchsorted(nodes, at, side="right") - 1, 0, max(len(nodes) - 2, 0))
    above = np.minimum(below + 1, len(nodes) - 1)
    part = (at - nodes[below]) / np.maximum(nodes[above] - nodes[below], 1)
    part = part.reshape([-1 if one == axis else 1 for one in range(values.ndim)])
    return np.take(values, below, axis) * (1.0 - part) + np.take(values, above, axis) * part


def lean_in_fat(
    hu: NDArray[np.int16], tissues: NDArray[np.uint8], factors: tuple[int, int, int]
) -> NDArray[np.float32]:
    """Share of each block that the map calls subcutaneous fat and that CT shows as vessels, fascia and other strands.

    Fat and lean tissue mix in a CT value as they mix in the voxel: linearly from ``FAT_HU`` to ``LEAN_HU``. Means over
    blocks are limited, not voxels: limited noise would pass for strands. Calcium is left out.
    """
    fat = tissues == TISSUES["subcutaneous_fat"]
    fat &= (hu < CALCIUM_HU) & (hu > AIR_EDGE_HU)
    rise = np.where(fat, (hu - np.float32(FAT_HU)) / np.float32(LEAN_HU - FAT_HU), np.float32(0))
    count = _block_sums(fat.view(np.uint8), factors, np.float32)
    lean = np.clip(_block_sums(rise, factors, np.float32), 0.0, count)
    return (lean / np.float32(np.prod(factors))).astype(np.float32)


def build_scene(
    suv: Volume,
    ct: Volume,
    tissues: NDArray[np.uint8],
    regions: NDArray[np.uint8],
    mapping: Mapping,
    fwhm_mm: float,
) -> PetScene | None:
    """Bring the CT's knowledge to the PET grid; None if the PET holds nothing of the body in the CT.

    Parameters
    ----------
    suv
        The PET, g/ml.
    tissues, regions
        Label maps on the CT's grid, without the pieces of bone that may be deposits.
    """
    body_box = box_of(tissues > 0)
    if body_box is None:
        return None
    box = _pet_box(suv, ct, body_box, mapping)
    if box is None:
        return None
    crop = suv.crop(box)
    image = np.ascontiguousarray(crop.array, np.float32)
    image = np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)
    crop = Volume(image, crop.affine)
    shares = shares_on_pet(tissues, regions, ct, crop, mapping)
    if not (shares["body"] > 0.5).any():
        return None
    chest = shares.pop("chest")
    spacing = crop.spacing
    spill = predict_spill(image, shares["bone"], shares["organs"], fwhm_mm, spacing)
    rest = image - spill.bone - spill.organs
    soft = shares["muscle"] + shares["fat"]
    quiet = (soft > 0.9) & (spill.bone + spill.organs < 0.3 * np.maximum(image, 0.2))
    if quiet.sum() < 100:
        quiet = soft > 0.5
    calm = quiet
    # Lesions are no background: a large one would otherwise hide itself in its own block.
    if quiet.any():
        quiet = quiet & (rest < QUIET_RATIO * max(float(np.median(rest[quiet])), 0.1))
    uptakes = normal_uptake(image, np.where(quiet, shares["muscle"], 0), np.where(quiet, soft, 0), chest, spacing)
    background = soft_background(rest, shares, quiet, uptakes.reference, fwhm_mm, spacing)
    rest -= background
    filtered, texture = detection_image(rest, fwhm_mm, spacing)
    del rest, soft  # of a long fine PET each volume counts
    louder = np.sqrt(np.maximum((spill.bone + spill.organs) / np.maximum(background, 0.1) + 1.0, 1.0))
    most = most_noise(suv.array, spacing)[box[0]]
    noise = local_spread(image[..., 2:] - image[..., :-2], quiet[..., 2:] & quiet[..., :-2], spacing, most)
    tails = np.minimum(slice_tails(texture, calm), (most / MOST_NOISE * MOST_TAIL).reshape(-1, 1, 1))
    noise = np.pad(noise, ((0, 0), (0, 0), (1, 1)), mode="edge") * np.float32(uptakes.noise)
    scale = float(MAD_TO_SD * np.median(np.abs(texture[quiet]))) if quiet.any() else uptakes.noise
    return PetScene(
        suv=crop,
        shares=shares,
        spill=spill,
        background=background,
        noise=(noise * louder).astype(np.float32),
        filtered=filtered,
        filtered_noise=(local_spread(texture, quiet, spacing, most) * np.float32(scale) * louder * tails).astype(
            np.float32
        ),
        uptakes=uptakes,
        fwhm_mm=fwhm_mm,
    )


def detection_image(
    rest: NDArray[np.float32], fwhm_mm: float, spacing: Spacing
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Smooth by the detecting filter, and what of it varies faster than the next wider filter lets through.

    The first is where foci are looked for. The second holds its noise, and the texture of normal tissue that
    competes with foci, but not the slow change of the background.
    """
    sigma_mm = FILTER * fwhm_mm / FWHM_PER_SIGMA
    narrow = ndimage.gaussian_filter(rest, [sigma_mm / step for step in spacing], mode="nearest", truncate=3.0)
    wide_mm = 3.0 * fwhm_mm / FWHM_PER_SIGMA
    wide = ndimage.gaussian_filter(narrow, [wide_mm / step for step in spacing], mode="nearest", truncate=2.5)
    return narrow, narrow - wide


def slice_tails(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How much longer than a Gaussian's the upper tail of noise is in every slice, 1 to 4, shape (z, 1, 1).

    Iterative reconstruction of few counts, as at the ends of a scan, gives skewed noise: the 95th percentile over the
    median says so. A slice in which more than a twentieth of the soft tissue is lesion passes for noisy.
    """
    tails = np.ones(len(values), np.float32)
    for index, (plane, inner) in enumerate(zip(values, valid, strict=True)):
        if inner.sum() >= 100:
            middle, high = np.percentile(plane[inner], [50, 95])
            spread = MAD_TO_SD * float(np.median(np.abs(plane[inner] - middle)))
            tails[index] = np.clip((high - middle) / 1.645 / max(spread, 1e-6), 1.0, 4.0)
    column: NDArray[np.float32] = tails.reshape(-1, 1, 1)
    return column


def most_noise(suv: NDArray[np.float32], spacing: Spacing) -> NDArray[np.float32]:
    """Most that a slice's noise can be, over the scan's: what exceeds it is uptake, as of toes full of foci.

    Noise goes with one over the root of the counts. A scanner counts in proportion to the way from the end of its
    field, over half a bed's length (``BED_MM``); where beds overlap, and inside, bodies and times differ
    (``MOST_NOISE``).

    Parameters
    ----------
    suv
        The whole PET: where its slices end, so does the field.

    Returns
    -------
    (z,) float32
    """
    filled = np.flatnonzero(suv.any(axis=(1, 2)))
    at = np.arange(len(suv))
    end = np.minimum(at - filled[0], filled[-1] - at).clip(0) + 0.5 if len(filled) else at + 0.5
    return np.maximum(MOST_NOISE, END_NOISE * np.sqrt(BED_MM / 2.0 / (end * spacing[0]))).astype(np.float32)


def local_spread(
    values: NDArray[np.float32], valid: NDArray[np.bool_], spacing: Spacing, most: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Spread of values around a voxel relative to the whole: by blocks, and by slices (the ends of a scan are noisier).

    Returns
    -------
    ndarray
        Near 1; the product of a block's and a slice's median absolute value over the whole's, from 0.6 up to what is
        possible in a slice (``most``, (z,)), and 6.
    """
    size = np.abs(values)
    if not valid.any():
        return np.ones(values.shape, np.float32)
    overall = max(float(np.median(size[valid])), 1e-6)
    slices = np.ones(len(values), np.float32)
    for index, (plane, inner) in enumerate(zip(size, valid, strict=True)):
        if inner.sum() >= 50:
            slices[index] = np.median(plane[inner]) / overall
    # A slice with nothing to measure is taken to be as noisy as the nearest one with something.
    known = np.flatnonzero([inner.sum() >= 50 for inner in valid])
    if len(known):
        slices = slices[known[np.argmin(np.abs(np.arange(len(values))[:, None] - known[None, :]), axis=1)]]
    slices = np.maximum(slices, 0.3)
    evened = (size / slices[:, None, None]).astype(np.float32)
    blocks = block_percentile(evened, valid, spacing, 50.0, least=20) / np.float32(overall)
    top = np.minimum(most, 6.0)[:, None, None]
    return np.clip(np.nan_to_num(blocks, nan=1.0) * slices[:, None, None], 0.6, top).astype(np.float32)


def _pet_box(suv: Volume, ct: Volume, body_box: Box, mapping: Mapping) -> Box | None:
    corners = np.array(
        [[z, y, x] for z in _ends(body_box[0]) for y in _ends(body_box[1]) for x in _ends(body_box[2])], float
    )
    place = suv.index(mapping.ct_to_pet(ct.world(corners)))
    parts = []
    for axis, size in enumerate(suv.array.shape):
        low = int(np.floor(place[:, axis].min()))
        high = int(np.ceil(place[:, axis].max())) + 1
        parts.append(slice(max(0, low), min(size, high)))
        if parts[-1].stop <= parts[-1].start:
            return None
    return grow((parts[0], parts[1], parts[2]), BODY_MARGIN_MM, suv.spacing, suv.array.shape)


def _ends(part: slice) -> tuple[int, int]:
    return part.start, part.stop - 1


def pet_fraction(regions: NDArray[np.uint8], ct: Volume, suv: Volume, mapping: Mapping) -> dict[str, float]:
    """Share of each region's voxels in the CT that the PET covers, ``{"left hand": 0..1}``.

    Voxels some 6 mm apart are looked up; regions that the CT does not show are left out.
    """
    step = tuple(max(1, round(SAMPLED_MM / size)) for size in ct.spacing)
    thin = regions[:: step[0], :: step[1], :: step[2]]
    places = np.argwhere(thin > 0)
    if not len(places):
        return {}
    labels = thin[tuple(places.T)]
    index = suv.index(mapping.ct_to_pet(ct.world(places * np.array(step))))
    within = (index >= -0.5) & (index <= np.array(suv.array.shape) - 0.5)
    seen: NDArray[np.bool_] = np.all(within, axis=1)
    result = {}
    for region in REGIONS:
        for side in ("left", "right"):
            own = np.asarray(labels == region_label(region, side))
            if own.any():
                result[f"{side} {region}"] = float(seen[own].mean())
    return result
