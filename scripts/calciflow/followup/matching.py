"""Which lesion of a later session is which lesion of the earlier one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

JOIN_MM = 2.0
"""A lesion that is left over belongs to a matched one if their outlines, laid on each other, come that near: it was
split from it, or has gone into it."""

_NEVER = 1e6


@dataclass(frozen=True)
class Placed:
    """A lesion's outline in the space of the earlier session.

    Attributes
    ----------
    number
        ``lesion_id``.
    points
        (n, 3) RAS mm, some of its voxels' centres.
    slack_mm
        How far the registration may be off where it lies.
    """

    number: int
    points: NDArray[np.float64]
    slack_mm: float = 0.0

    @property
    def centre(self) -> NDArray[np.float64]:
        """Mean of its points."""
        middle: NDArray[np.float64] = self.points.mean(axis=0)
        return middle


@dataclass(frozen=True)
class Pairing:
    """Lesions that are one: numbers of the earlier and of the later session; either may be empty.

    Attributes
    ----------
    distance_mm
        Between the centres of the two that were matched; None for what has no counterpart.
    """

    earlier: tuple[int, ...]
    later: tuple[int, ...]
    distance_mm: float | None = None


def _assigned(cost: NDArray[np.float64], alone: float) -> list[tuple[int, int]]:
    """Pairs (row, column) of the cheapest assignment in which being alone costs ``alone``."""
    rows, columns = cost.shape
    if not rows or not columns:
        return []
    whole = np.full((rows + columns, columns + rows), _NEVER)
    whole[:rows, :columns] = cost
    whole[:rows, columns:][np.diag_indices(rows)] = alone
    whole[rows:, :columns][np.diag_indices(columns)] = alone
    whole[rows:, columns:] = 0.0
    chosen = zip(*linear_sum_assignment(whole), strict=True)
    return [(int(r), int(c)) for r, c in chosen if r < rows and c < columns and cost[r, c] < _NEVER]


def pair_lesions(earlier: Sequence[Placed], later: Sequence[Placed], match_mm: float) -> list[Pairing]:
    """Match the lesions of two sessions.

    Each lesion has at most one counterpart, among those whose outlines come within ``match_mm`` (and the
    registration's slack). Of all ways the one with the smallest sum is taken: the distance between the centres for a
    pair, ``match_mm`` for a lesion without counterpart. So one that stayed keeps its place, and its neighbours do not
    shift along. What is left over and lies on a matched lesion joins it.

    Returns
    -------
    list of Pairing
        In the order of the earlier numbers, then what is new.
    """
    gaps = np.full((len(earlier), len(later)), np.inf)
    trees = [cKDTree(lesion.points) for lesion in later]
    for row, own in enumerate(earlier):
        for column, tree in enumerate(trees):
            gaps[row, column] = float(tree.query(own.points)[0].min())
    apart = np.array([[np.linalg.norm(a.centre - b.centre) for b in later] for a in earlier]).reshape(gaps.shape)
    reach = np.array([[match_mm + max(a.slack_mm, b.slack_mm) for b in later] for a in earlier]).reshape(gaps.shape)
    allowed = gaps <= reach
    # Outlines on each other are near, however far growth has moved their centre.
    cost = np.where(gaps <= JOIN_MM, np.minimum(apart, match_mm), apart)
    pairs = _assigned(np.where(allowed, cost, _NEVER), max(match_mm, JOIN_MM))
    groups: dict[int, tuple[list[int], list[int]]] = {i: ([r], [c]) for i, (r, c) in enumerate(pairs)}
    of_earlier = {r: i for i, (r, _) in enumerate(pairs)}
    of_later = {c: i for i, (_, c) in enumerate(pairs)}
    for row in range(len(earlier)):
        near = [c for c in of_later if gaps[row, c] <= JOIN_MM]
        if row not in of_earlier and near:
            groups[of_later[min(near, key=lambda c: gaps[row, c])]][0].append(row)
    joined = {row for own, _ in groups.values() for row in own}
    for column in range(len(later)):
        near = [r for r in of_earlier if gaps[r, column] <= JOIN_MM]
        if column not in of_later and near:
            groups[of_earlier[min(near, key=lambda r: gaps[r, column])]][1].append(column)
    seen = {column for _, own in groups.values() for column in own}
    found = [
        Pairing(
            tuple(sorted(earlier[r].number for r in own)),
            tuple(sorted(later[c].number for c in other)),
            round(float(apart[own[0], other[0]]), 1),
        )
        for own, other in groups.values()
    ]
    found += [Pairing((lesion.number,), ()) for row, lesion in enumerate(earlier) if row not in joined]
    found.sort(key=lambda pairing: pairing.earlier)
    found += [Pairing((), (lesion.number,)) for column, lesion in enumerate(later) if column not in seen]
    return found
