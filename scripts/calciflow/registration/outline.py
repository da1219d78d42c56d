"""The body's outline on CT against soft tissue on PET: a measure that neither search looks at.

The whole body is moved by mutual information of HU and uptake, a limb by its skeleton. Whether soft tissue then fills
the outline is a question of its own, and one that a wrong hot spot cannot answer: uptake is cut at that of soft tissue.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calciflow.registration.scene import Scene, sample
from calciflow.registration.skeleton import CHANCE_Z, RESOLUTION_ML, Comparison, Pattern, compare, correlations, pattern

SEEN_OUTLINE = 0.3
"""Correlation below which the PET shows no outline: another tracer's background, or noise; ours."""
SEEN_BODY, LOST_OUTLINE = 0.7, 0.5
"""Where the body's outline is seen (0.94 to 0.98 in place on phantoms, 0.8 at 5 mm), a limb's below 0.5 means that most
of the limb is elsewhere: 10 mm of a thin limb, 15 of a hand. Asked only where the skeleton cannot tell; ours."""
_INSIDE = 0.5


def outline_of(scene: Scene) -> Pattern:
    """Take the body's surface out of a scene; outside, a point belongs to the region that it is nearest to."""
    mask = scene.around_outline
    points, region = scene.points(mask), scene.regions[mask]
    inside = scene.body[mask] > _INSIDE
    if inside.any() and not inside.all():
        nearest = cKDTree(points[inside]).query(points[~inside])[1]
        region[~inside] = region[inside][nearest]
    return pattern(scene, points, scene.soft[mask], region)


def _cap(expected: NDArray[np.float32], *seen: NDArray[np.float32]) -> float:
    """Uptake of soft tissue: the median within the outline, under the alignment that has more of it there."""
    levels = [values[(expected > _INSIDE) & np.isfinite(values)] for values in seen]
    return max((float(np.median(level)) for level in levels if len(level)), default=0.0)


@dataclass(frozen=True)
class Fit:
    """How a part of the body's outline fits before and after a step; None where nothing can be said.

    Attributes
    ----------
    before, after
        Correlation of uptake, cut at that of soft tissue, with the outline.
    z
        The gain in standard errors.
    """

    before: float | None = None
    after: float | None = None
    z: float = 0.0

    @property
    def told(self) -> bool:
        """Whether the PET shows an outline at all."""
        return max(self.before or 0.0, self.after or 0.0) >= SEEN_OUTLINE

    @property
    def better(self) -> bool:
        """Whether the outline fits better by more than chance."""
        return self.told and self.z >= CHANCE_Z


NO_FIT = Fit()


def limb_fit(
    scene: Scene,
    outline: Pattern,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    labels: tuple[int, ...],
) -> Fit:
    """Compare two places of a limb's outline.

    ``before`` and ``after``: where the outline's points of these labels come to lie in the PET, RAS mm, (m, 3), in the
    order of the outline. Fisher's transform, as if the correlations came of two samples: errs towards chance.
    """
    chosen = np.isin(outline.region, labels)
    expected = outline.expected[chosen]
    first, second = sample(scene.pet, before), sample(scene.pet, after)
    cap = _cap(expected, first, second)
    old, new = (float(correlations(expected, values[None], cap)[0]) for values in (first, second))
    if not np.isfinite(old) or not np.isfinite(new) or max(old, new) < SEEN_OUTLINE:
        return Fit(old if np.isfinite(old) else None, new if np.isfinite(new) else None)
    independent = max(4.0, chosen.sum() * outline.point_ml / RESOLUTION_ML)
    rise = np.arctanh(min(new, 0.999)) - np.arctanh(min(old, 0.999))
    return Fit(old, new, float(rise * np.sqrt((independent - 3) / 2)))


def body_fit(scene: Scene, outline: Pattern, before: NDArray[np.float64], after: NDArray[np.float64]) -> Comparison:
    """Compare two places of the whole outline part by part.

    ``before`` and ``after``: where the outline's points come to lie in the PET, RAS mm, (n, 3).
    """
    seen = [sample(scene.pet, points) for points in (before, after)]
    order = np.argsort(outline.part, kind="stable")
    counts = np.bincount(outline.part) if len(order) else np.zeros(0, int)
    groups = np.split(order, np.cumsum(counts)[:-1]) if len(counts) else []
    found = np.full((2, len(groups)), np.nan)
    for number, group in enumerate(groups):
        cap = _cap(outline.expected[group], *(values[group] for values in seen))
        for row, values in enumerate(seen):
            found[row, number] = correlations(outline.expected[group], values[None, group], cap)[0]
    return compare(found[0], found[1])
