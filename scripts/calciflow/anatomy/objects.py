"""Dense objects, one by one: those that touch are told apart by their necks, and each is described.

A deposit three millimetres from a bone touches it in the image, where partial volume bridges the gap; but its neck is
thin and its own core is dense. So objects grow from cores and are joined again only over broad contact.
"""

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from calciflow.anatomy.grid import Grid, Mask, bounding_box, distance, filled_flat

CORE_HU = (650.0, 480.0, 320.0)
"""Levels at which cores are sought, from the top: of two dense objects that blur into each other the valley counts."""

GROWTH = 1
"""Blocks by which a core grows before what is left becomes an object of its own: blur is a block wide."""

WIDEST_SHELL_MM = 2.6
"""Blocks wider than this mix cortex (1 to 5 mm) with marrow: core and shell can't be compared on them."""

BROAD = 0.3
"""Share of the smaller object's surface beyond which a contact is no neck: of a cube on a bone it is a sixth, of a
slab of 4 x 4 x 2 blocks a quarter."""

CONTRAST_ML = 0.2
"""Inside of an object that must be seen to tell contrast agent."""

CONTRAST_HU, CONTRAST_RISE, CONTRAST_SPREAD, CONTRAST_RANK = 330.0, 1.2, 0.06, 95
"""Blood with contrast agent reads 150 to 300 HU, is as dense at its surface as inside, and even, but for plaques in its
wall. All objects that are bone, in seven phantoms and real CTs and after calming, have a densest 5 % above 330 HU or an
inside that spreads by over 6 %."""

TUBE_MM, TUBE_WIDTH_MM, TUBE_RATIO = 60.0, 25.0, 4.0
"""Least length of a vessel, its largest width (an aorta's), and length over width: deposits in muscle are shorter or
wider."""

TUBE_PIECE_MM = 10.0

Labels = NDArray[np.int32]
Floats = NDArray[np.float64]


def split(hu: NDArray[np.float32], dense: Mask) -> tuple[Labels, int]:
    """Label dense objects.

    Parameters
    ----------
    hu
        HU of the blocks.
    dense
        Dense blocks.

    Returns
    -------
    labels, count
        0 is not dense.
    """
    labels = np.zeros(dense.shape, np.int32)
    count = 0
    for level in (*CORE_HU, -np.inf):
        region = dense & (hu > level)
        if count:
            _grow(labels, region)
        rest = region & (labels == 0)
        more, extra = cc3d.connected_components(rest, connectivity=6, return_N=True)
        labels[rest] = more[rest].astype(np.int32) + count
        count += extra
    return _join(labels, count)


def _grow(labels: Labels, region: Mask) -> None:
    """Grow labels in place into the free blocks of a region, by face neighbours."""
    flat = labels.reshape(-1)
    shape = labels.shape
    places = np.flatnonzero(region & (labels == 0))
    offsets = (1, -1, shape[2], -shape[2], shape[1] * shape[2], -shape[1] * shape[2])
    for _ in range(GROWTH):
        if len(places) == 0:
            return
        reached = np.zeros(len(places), np.int32)
        for offset in offsets:
            neighbour = places + offset
            valid = (neighbour >= 0) & (neighbour < flat.size) & (reached == 0)
            reached[valid] = flat[neighbour[valid]]
        flat[places[reached > 0]] = reached[reached > 0]
        places = places[reached == 0]


def _contacts(labels: Labels, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Floats]:
    """Touching pairs, the faces they share, and all faces of every object."""
    surface = np.zeros(count + 1)
    pairs: list[NDArray[np.int64]] = []
    for axis in range(3):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        a, b = labels[low], labels[high]
        differ = a != b
        x, y = a[differ], b[differ]
        surface += np.bincount(x, minlength=count + 1) + np.bincount(y, minlength=count + 1)
        both = (x > 0) & (y > 0)
        x, y = x[both].astype(np.int64), y[both].astype(np.int64)
        pairs.append(np.minimum(x, y) * (count + 1) + np.maximum(x, y))
    keys, faces = np.unique(np.concatenate(pairs), return_counts=True)
    return keys // (count + 1), keys % (count + 1), faces, surface


def _join(labels: Labels, count: int) -> tuple[Labels, int]:
    """Join each object, that faces others with much of its surface, to the one it faces most."""
    first, second, faces, surface = _contacts(labels, count)
    group = np.arange(count + 1)
    for _ in range(8):
        total = np.bincount(first, weights=faces, minlength=count + 1)
        total += np.bincount(second, weights=faces, minlength=count + 1)
        a = np.concatenate([first, second])
        b = np.concatenate([second, first])
        w = np.concatenate([faces, faces])
        order = np.lexsort((b, -w, a))
        a, b = a[order], b[order]
        one, place = np.unique(a, return_index=True)
        most = b[place]
        joins = total[one] > BROAD * surface[one]
        # The smaller one goes to the larger, or two that choose each other would swap.
        if not joins.any():
            break
        graph = sparse.coo_matrix((np.ones(int(joins.sum())), (one[joins], most[joins])), shape=(count + 1, count + 1))
        _, part = csgraph.connected_components(graph, directed=False)
        part = part.astype(np.int64)  # pairs are numbered below: of 50,000 specks of noise beyond 32 bits
        group = part[group]
        first, second = part[first], part[second]
        inner = first == second
        lost = np.bincount(first[inner], weights=2.0 * faces[inner], minlength=count + 1)
        surface = (np.bincount(part, weights=surface, minlength=count + 1) - lost).astype(np.float64)
        keys = np.minimum(first, second)[~inner] * (count + 1) + np.maximum(first, second)[~inner]
        unique, back = np.unique(keys, return_inverse=True)
        faces = np.bincount(back, weights=faces[~inner], minlength=len(unique)).astype(np.int64)
        first, second = unique // (count + 1), unique % (count + 1)
    rank = np.unique(group, return_inverse=True)[1].astype(np.int32)
    # Label 0 touches nothing, so it is a group of its own; keep it 0.
    zero = rank[0]
    rank = np.where(rank == zero, 0, np.where(rank < zero, rank + 1, rank)).astype(np.int32)
    return rank[labels], int(rank.max())


@dataclass(frozen=True)
class Shape:
    """What one dense object looks like.

    Attributes
    ----------
    volume_ml
        Volume with enclosed spaces.
    hollow
        Share of enclosed spaces (marrow) in it.
    contrast_hu
        Mean HU of the core less that of the shell; bone has a dense shell, a deposit a dense core. nan if too thin.
    thickness_mm
        Twice the depth of the deepest place.
    length_mm
        Longest principal extent.
    hu_max, hu_mean
        HU.
    depth_mm, centrality
        Depth under the skin of its centre; and that depth over the greatest depth within 15 mm: 1 in the limb's axis.
    least_depth_mm
        Depth under the skin where it comes nearest to it.
    """

    volume_ml: float
    hollow: float
    contrast_hu: float
    thickness_mm: float
    length_mm: float
    hu_max: float
    hu_mean: float
    depth_mm: float
    centrality: float
    least_depth_mm: float


def describe(hu: NDArray[np.float32], mask: Mask, skin_depth: NDArray[np.float32], grid: Grid) -> Shape:
    """Describe an object in its own box.

    Parameters
    ----------
    hu, mask, skin_depth
        HU, the object, and the depth under the skin in mm, of a box around the object with some blocks of margin.
    grid
        For the block size.
    """
    step = np.array(grid.spacing)
    middle = np.rint(np.argwhere(mask).mean(0)).astype(int)
    here, least = float(skin_depth[tuple(middle)]), float(skin_depth[mask].min())
    reach = [max(1, round(15.0 / s)) for s in step]
    around = skin_depth[tuple(slice(max(0, m - r), m + r + 1) for m, r in zip(middle, reach, strict=True))]
    # The rest needs the object alone, in a box a tenth as large.
    tight = bounding_box(mask)
    hu, mask = hu[tight], mask[tight]
    closing = ndimage.binary_closing(np.pad(mask, 2), np.ones((1, 3, 3)))[2:-2, 2:-2, 2:-2] | mask
    filled = filled_flat(closing)
    depth = distance(np.pad(filled, 1), grid.spacing)[1:-1, 1:-1, 1:-1]
    deepest = float(depth.max())
    inner = min(step[1:])
    core = filled & (depth > max(0.6 * deepest, 1.6 * inner))
    shell = filled & (depth <= 2.1 * inner) & (depth > 0.9 * inner)
    contrast = float("nan")
    if inner <= WIDEST_SHELL_MM and core.sum() >= 4 and shell.sum() >= 8:
        contrast = float(hu[core].mean() - np.percentile(hu[shell], 60))
    points = np.argwhere(filled) * step
    spread = points - points.mean(0)
    axis = np.linalg.eigh(spread.T @ spread)[1][:, -1]
    along = spread @ axis
    return Shape(
        float(filled.sum()) * grid.block_ml,
        float((filled & ~mask).sum() / filled.sum()),
        contrast,
        2.0 * deepest,
        float(np.ptp(along)) + float(step.mean()),
        float(hu[mask].max()),
        float(hu[mask].mean()),
        here,
        here / max(float(around.max()), 1e-3),
        least,
    )


def is_contrast(hu: NDArray[np.float32], mask: Mask, grid: Grid) -> bool:
    """Whether an object is blood or bowel contents with contrast agent: even inside, and no denser at its surface.

    Bone is densest at its surface, wherever it is thick enough to have an inside. A soft deposit may look so too:
    neither is bone.

    Parameters
    ----------
    hu, mask
        Calmed HU and the object in a box around it.
    grid
        For the block size.
    """
    inner = ndimage.binary_erosion(mask, np.ones((3, 3, 3)))
    if inner.sum() * grid.block_ml < CONTRAST_ML:
        return False
    values = hu[inner]
    level = float(values.mean())
    densest = float(np.percentile(hu[mask], CONTRAST_RANK))
    # Half the range of the middle two thirds, a standard deviation: where a vessel touches bone it takes some with it.
    low, high = np.percentile(values, (16, 84))
    return bool(
        densest < CONTRAST_HU and densest < CONTRAST_RISE * level and high - low < 2.0 * CONTRAST_SPREAD * level
    )


def is_tube(mask: Mask, grid: Grid) -> bool:
    """Whether an object is long and narrow, as a vessel is and a nodule, a sheet or a mass is not.

    Its width is measured in pieces along its axis: a vessel from groin to knee is curved, so that its box is wide.
    """
    points = np.argwhere(mask) * np.array(grid.spacing)
    spread = points - points.mean(axis=0)
    values, axes = np.linalg.eigh(spread.T @ spread / len(points))
    # A uniform rod of length L has a standard deviation of L / sqrt(12), and a disc of diameter d one of d / 4.
    length = float(np.sqrt(12.0 * values[-1]))
    piece = ((spread @ axes[:, -1]) // TUBE_PIECE_MM).astype(int)
    across = spread @ axes[:, :2]
    number = np.unique(piece, return_inverse=True)[1]
    size = np.bincount(number)
    widths = []
    for one in across.T:
        middle = np.bincount(number, weights=one) / size
        widths.append(np.bincount(number, weights=(one - middle[number]) ** 2) / size)
    width = 4.0 * float(np.sqrt(np.median(np.maximum(*widths))))
    return length > TUBE_MM and width < TUBE_WIDTH_MM and length > TUBE_RATIO * width
