"""The skeleton: dense voxels, filled with their marrow, and told from deposits by anatomy."""

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.anatomy.grid import Grid, Mask, bounding_box, closed, dilate, distance, filled_flat, opened, widened

DENSE_HU = 150.0
"""Candidates for bone: above contrasted vessels of a venous phase, below most cancellous bone's shell."""

MARROW_CLOSING_MM = 2.0
"""Gaps of the cortex that are shut before marrow is filled (nutrient canals, thin cortex lost to partial volume)."""

CORD_HU = (-20.0, 75.0)
"""Mean HU of what fills the spinal canal, the orbit and the temporal fossa; marrow is fatty or cancellous."""

SHELL_HU = 260.0
"""Cortex, also after partial volume; above contrast in vessels and bowel."""

MASS_MM = 4.0
"""Partial volume beside cortex is thinner than twice this."""

POOL_ML, POOL_HU, POOL_SPREAD = 150.0, 600.0, 0.06
"""Even HU in more than 150 ml is contrast agent: the largest cancellous bone, the lower end of the femur, has about
100 ml. Even: after calming, neighbours differ by less than 6 %; trabecular bone differs by more, and so does cortex."""

POOL_EDGE_MM, POOL_RISE = 8.0, 1.25
"""Edge of a pool, whose HU is not even any more: three blocks of 2 mm and the blur; what rises above the pool by a
quarter, as cortex does, is not of it and stops the search."""

RING_MM = 5.0
"""Half the widest gap of a cortex in thick slices."""

BAY_MM = 12.0
"""Half the widest opening of a bone's section that counts as its own: the thin back wall of a vertebra, 25 mm."""

CANCELLOUS_HU = 85.0
"""Between muscle, discs and cartilage (50 to 80) and cancellous bone of the old (from 90)."""

CALM_MM = 4.0
"""Noise of 30 HU falls below 10 HU when averaged over this length along each axis."""

NOISY_HU = 33.0
"""Noise of the blocks from which muscle passes ``DENSE_HU`` at three standard deviations, a block in a thousand: specks
by the ten thousand (120 HU: over 100,000). Bone of noisier scans is sought in calmed HU. Eleven phantoms and two real
scans have 6 to 25 HU."""

WIDEST_MARROW_MM = 28.0
"""Half the width of the widest marrow space (tibial plateau 50 x 75 mm); the skull's inside is wider."""

CRANIUM_MM = 34.0
"""Half the width of the cranial cavity, at least: between the widest marrow space and the cavity of a small skull
(in a phantom of 1.5 m it holds a ball of 39 mm radius; children's hold less)."""


LID, BODY_HU, RING_SHARE, SKULL_SHARE = 2, -300.0, 0.6, 0.5
"""Slices of a lid; and what makes a skull of a ring of bone at the end of a stack: six tenths of what borders on its
inside is bone, and half of the section's flesh lies in it. In sections of phantoms' skulls, orbits open, it was 0.76 to
0.89 and 0.66 to 0.82, in that of a pelvis 0.15 and 0.24; other sections of the trunk had no such ring."""

WIDEST_CUT_MM = 90.0
"""The widest bone that holds one space: the condyles of femur and tibia, 70 to 90 mm."""

ORBIT_MM = 20.0
"""Half the width of an orbit, which is some 40 mm wide in front and open behind where thin walls are lost to blur."""


def _holes_flat(shell: Mask, axis: int, grid: Grid, whole: bool = True) -> Mask:
    """Holes of a mask within each slice across ``axis``.

    A bone that the image cuts keeps its marrow. In sagittal and coronal slices the ends of the stack count as closed;
    in axial ones the image's sides do, between bone that meets them no farther apart than one bone is wide; not if the
    mask is no ``whole`` image but a box in it.
    """
    out = np.zeros_like(shell)
    box = bounding_box(shell)
    part = shell[box]
    if axis == 0:
        sealed = np.pad(part, ((0, 0), (1, 1), (1, 1)))
        for across in (1, 2) if whole else ():
            reach = round(WIDEST_CUT_MM / grid.spacing[3 - across] / 2.0)
            for side, at_border in ((0, box[across].start == 0), (-1, box[across].stop == shell.shape[across])):
                if at_border:
                    met = np.pad(np.take(part, side, across), ((0, 0), (reach, reach)))
                    met = ndimage.binary_closing(met, np.ones((1, 2 * reach + 1), bool))[:, reach:-reach]
                    sealed[(slice(None), side, slice(1, -1)) if across == 1 else (slice(None), slice(1, -1), side)] = (
                        met
                    )
        out[box] = filled_flat(sealed)[:, 1:-1, 1:-1] & ~part
        return out
    ends = (int(box[0].start == 0), int(box[0].stop == shell.shape[0]))
    sealed = np.moveaxis(np.pad(part, (ends, (0, 0), (0, 0)), constant_values=True), axis, 0)
    holes = np.moveaxis(filled_flat(sealed), 0, axis)[ends[0] : ends[0] + len(part)]
    out[box] = holes & ~part
    return out


def calm(hu: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    """Mean HU over three blocks along each axis that is finer than ``CALM_MM``."""
    size = [3 if step < CALM_MM else 1 for step in grid.spacing]
    return np.asarray(ndimage.uniform_filter(hu, size=size, mode="nearest"))


def tempered(hu: NDArray[np.float32], body: Mask, grid: Grid) -> NDArray[np.float32]:
    """HU as they are, or calmed where noise alone would look like bone (see ``NOISY_HU``).

    Noise is the spread of soft tissue about its mean in the slice, by the median: edges between tissues play no part.
    A slice in four says it.
    """
    some, inside = hu[::4], body[::4]
    near = [min(3, end) for end in hu.shape[1:]]
    mean = ndimage.uniform_filter(some, size=(1, *near), mode="nearest")
    soft = inside & (mean > 0.0) & (mean < DENSE_HU)
    blocks = near[0] * near[1]
    if blocks == 1 or not soft.any():
        return hu
    # A block is itself part of the mean that it is compared with.
    sd = 1.4826 * float(np.median(np.abs(some - mean)[soft])) / (1.0 - 1.0 / blocks) ** 0.5
    return calm(hu, grid) if sd > NOISY_HU else hu


def dense_bone(hu: NDArray[np.float32], mean: NDArray[np.float32], body: Mask, grid: Grid) -> tuple[Mask, Mask]:
    """Candidates for cortex and dense cancellous bone, and large pools of contrast agent.

    Contrast in vessels and bowel is as dense, but makes thick, even masses that no denser shell encloses, or so large
    ones that no bone holds as much. ``mean``: the calmed HU.
    """
    dense = (hu > DENSE_HU) & body
    pools = _pools(hu, mean, body, grid)
    dense &= ~pools
    even = (mean > DENSE_HU - 25.0) & (mean < SHELL_HU) & (hu < SHELL_HU) & body
    mass = opened(even, MASS_MM, grid.spacing)
    if not mass.any():
        return dense, pools
    shell = closed(dense & ~mass, RING_MM, grid.spacing, flat=True)
    mass &= ~(shell | _holes_flat(shell, 0, grid))
    mass = opened(mass, MASS_MM, grid.spacing)
    return dense & ~(dilate(mass, 4.0, grid.spacing, flat=True) & (hu < SHELL_HU)), pools


def _pools(hu: NDArray[np.float32], mean: NDArray[np.float32], body: Mask, grid: Grid) -> Mask:
    """Blood or bowel contents with contrast agent, and their blurred edge: even, and more than a bone has of even HU.

    ``mean``: the calmed HU.
    """
    bright = (mean > DENSE_HU - 25.0) & (mean < POOL_HU) & body
    if bright.sum() * grid.block_ml < POOL_ML:
        return np.zeros_like(bright)
    size = [min(3, end) for end in hu.shape]
    spread = ndimage.uniform_filter(mean * mean, size=size) - ndimage.uniform_filter(mean, size=size) ** 2
    bright &= spread < (POOL_SPREAD * mean) ** 2
    labels = cc3d.connected_components(bright, connectivity=6)
    stats = cc3d.statistics(labels)
    out = np.zeros_like(bright)
    z, y, x = (int(np.ceil(POOL_EDGE_MM / step)) + 1 for step in grid.spacing)
    for label in (1 + np.flatnonzero(stats["voxel_counts"][1:] * grid.block_ml >= POOL_ML)).tolist():
        box = widened(stats["bounding_boxes"][label], hu.shape, (z, y, x))
        pool = labels[box] == label
        level = float(hu[box][pool].mean())
        edge = (hu[box] > DENSE_HU) & (hu[box] < POOL_RISE * level)
        out[box] |= ndimage.binary_dilation(pool, iterations=round(POOL_EDGE_MM / grid.spacing[2]), mask=edge | pool)
    return out


def _cancellous(dense: Mask, hu: NDArray[np.float32], grid: Grid, whole: bool) -> Mask:
    """Find cancellous bone inside a cortex that is broken by partial volume (vertebrae, ends of long bones).

    Its HU (80 to 150) is that of contrasted organs, so it must lie inside a ring of denser bone.
    """
    ring = closed(dense, RING_MM, grid.spacing, flat=True)
    inside = _holes_flat(ring, 0, grid, whole)
    if inside.any():
        depth = distance(inside, grid.spacing, flat=True)
        labels, count = cc3d.connected_components(inside, connectivity=6, return_N=True)
        deepest = np.zeros(count + 1)
        np.maximum.at(deepest, labels[inside], depth[inside])
        inside &= (deepest <= WIDEST_MARROW_MM)[labels]
    inside |= closed(dense, BAY_MM, grid.spacing, flat=True) & ~dense
    return inside & (calm(hu, grid) > CANCELLOUS_HU)


def fill_marrow(dense: Mask, hu: NDArray[np.float32], grid: Grid, whole: bool = True) -> tuple[Mask, Mask]:
    """Fill the marrow spaces of dense bone.

    A space counts as marrow if cortex closes it in axial slices, or in both other planes; if it is not the cranial
    cavity (too wide); and if it is not the spinal canal or the temporal fossa: of soft tissue's HU, and open above
    and below.

    Returns
    -------
    filled, cavity
        Bone with marrow; and the cranial cavity.
    """
    shell = closed(dense, MARROW_CLOSING_MM, grid.spacing) | _cancellous(dense, hu, grid, whole)
    kept = slice(0, len(dense))
    if whole:
        shell, hu, kept = _with_lids(shell, hu, grid)
    axial = _holes_flat(shell, 0, grid, whole)
    votes = axial.astype(np.uint8) + _holes_flat(shell, 1, grid) + _holes_flat(shell, 2, grid)
    marrow, cavity = _judge(axial | (votes >= 2), votes >= 2, shell, hu, grid)
    filled = shell | marrow
    # Once more with wider gaps shut, for cortex that is thin as paper; the shut gaps themselves are not taken.
    ring = closed(filled, RING_MM, grid.spacing, flat=True)
    marrow, _ = _judge(_holes_flat(ring, 0, grid, whole), None, ring, hu, grid)
    # Below open orbits the floor of the cranial cavity is a shallow space of its own.
    return (filled | (marrow & ~cavity))[kept], cavity[kept]


def _with_lids(shell: Mask, hu: NDArray[np.float32], grid: Grid) -> tuple[Mask, NDArray[np.float32], slice]:
    """Put closed sections on the ends of a stack that cut a skull, where orbits or the foramen magnum open it.

    A skull is told from other rings of bone by how much of the ring is bone, and how much of the section is skull.

    Returns
    -------
    shell, hu, kept
        With ``LID`` more slices at such ends; and where the stack lies in them.
    """
    below, above = _lid(shell[:1], hu[:1], grid), _lid(shell[-1:], hu[-1:], grid)
    return (
        np.concatenate([below, shell, above]),
        np.concatenate([np.repeat(hu[:1], len(below), 0), hu, np.repeat(hu[-1:], len(above), 0)]),
        slice(len(below), len(below) + len(shell)),
    )


def _lid(end: Mask, hu: NDArray[np.float32], grid: Grid) -> Mask:
    """The lid of one end, a slice: a closed ring of bone, ``LID`` slices high; no slice where no skull is cut."""
    flesh = max(1, int((hu > BODY_HU).sum()))
    for opening in (ORBIT_MM, 2.0 * ORBIT_MM):  # one orbit, or both without the wall between them
        ring = closed(end, opening, grid.spacing, flat=True)
        hole = opened(_holes_flat(ring, 0, grid), CRANIUM_MM, grid.spacing, flat=True)
        if not hole.any():
            continue
        rim = dilate(hole, 2.0 * grid.spacing[2], grid.spacing, flat=True) & ~hole
        bony, share = float(end[rim].mean()), int((hole | end).sum()) / flesh
        if bony > RING_SHARE and share > SKULL_SHARE and -50.0 < float(hu[hole].mean()) < 100.0:
            return np.repeat(ring & ~hole, LID, 0)
    return end[:0]


def whole_cranium(cavity: Mask, filled: Mask, grid: Grid) -> Mask:
    """Complete the cranial cavity behind the orbits, where bone closes it in some planes only: thin walls are lost.

    Parameters
    ----------
    cavity, filled
        As ``fill_marrow`` found them.
    grid
        The grid.
    """
    if not cavity.any():
        return cavity
    z, y, x = (int(2.0 * ORBIT_MM / step) + 1 for step in grid.spacing)
    box = widened(bounding_box(cavity), cavity.shape, (z, y, x))
    near, bone = cavity[box], filled[box]
    space = _holes_flat(bone, 0, grid) | _holes_flat(bone, 1, grid) | _holes_flat(bone, 2, grid)
    space[~np.asarray(near.any((1, 2)))] = False
    space = opened(space, MASS_MM, grid.spacing, flat=True) | near
    labels = cc3d.connected_components(space, connectivity=6)
    held = np.zeros(int(labels.max()) + 1, bool)
    held[labels[near]] = True
    held[0] = False
    out = cavity.copy()
    out[box] |= closed(held[labels], ORBIT_MM, grid.spacing, flat=True) & ~bone
    return out


def _judge(space: Mask, agreed: Mask | None, shell: Mask, hu: NDArray[np.float32], grid: Grid) -> tuple[Mask, Mask]:
    """Tell marrow, and the cranial cavity, from other enclosed spaces.

    Parameters
    ----------
    space
        Enclosed spaces.
    agreed
        Where more than one plane says so; None if only axial slices were asked.
    shell
        What encloses them.
    hu
        Mean HU of the blocks.
    grid
        The grid.
    """
    labels, count = cc3d.connected_components(space, connectivity=6, return_N=True)
    if count == 0:
        return np.zeros_like(space), np.zeros_like(space)
    inside = labels[space]
    radius = np.zeros(count + 1)
    # Half the blocks tell 28 from 40 mm as well, in a quarter of the time.
    z, y, x = grid.spacing
    half = np.ascontiguousarray(space[:, ::2, ::2])
    np.maximum.at(radius, labels[:, ::2, ::2][half], distance(half, (z, 2.0 * y, 2.0 * x))[half])
    # The floor of a skull below open orbits is a shallow bowl, and so is what the image's end leaves of a skull: it is
    # its sections that are too wide for marrow, and at the image's end for what is no skull.
    flat = distance(half, (z, 2.0 * y, 2.0 * x), flat=True)
    width = np.zeros(count + 1)
    np.maximum.at(width, labels[:, ::2, ::2][half], flat[half])
    for end in (0, -1):
        cut = half[end]
        np.maximum.at(radius, labels[end, ::2, ::2][cut], flat[end][cut])
    size = np.bincount(inside, minlength=count + 1).clip(1)
    mean = np.bincount(inside, weights=hu[space], minlength=count + 1) / size
    both = np.zeros(count + 1)
    if agreed is not None:
        both = np.bincount(inside, weights=agreed[space], minlength=count + 1) / size
    ends, open_ends = np.zeros(count + 1), np.zeros(count + 1)
    for inner, outer in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
        end = space[inner] & (labels[inner] != labels[outer])
        ends += np.bincount(labels[inner][end], minlength=count + 1)
        open_ends += np.bincount(labels[inner][end & ~shell[outer]], minlength=count + 1)
    canal = (mean > CORD_HU[0]) & (mean < CORD_HU[1]) & (both < 0.5) & (open_ends > 0.5 * ends)
    marrow = (width <= WIDEST_MARROW_MM) & ~canal
    marrow[0] = False
    wide = (radius > CRANIUM_MM) & (mean > -50) & (mean < 100)
    wide[0] = False
    return np.asarray(marrow[labels]), np.asarray(wide[labels])
