"""Where mutual information is flat, the skeleton settles the body's position.

Legs alone look alike all along: the search by mutual information ends millimetres off along their axis, while ankles,
knees and hips still tell. So its result is refined by the skeleton's own fit, and the refinement is taken only if it is
better by more than chance.
"""

import numpy as np
from numpy.typing import NDArray

from calciflow.mapping import move
from calciflow.registration.climb import climb, turn_about
from calciflow.registration.outline import body_fit
from calciflow.registration.rigid import ENOUGH_FIRM, FIRM_LABELS
from calciflow.registration.scene import Scene
from calciflow.registration.skeleton import Pattern, agreement, compare

_TURN_STEPS_DEG, _SHIFT_STEPS_MM = (1.0, 0.5, 0.25, 0.125), (2.0, 1.0, 0.5, 0.25)
_POINTS = 8000
"""Points of the skeleton that the search looks at; a whole body has 200,000, and fixes six numbers with far fewer."""


def _thinned(skeleton: Pattern) -> Pattern:
    """The skeleton of the firm regions, or all of it where there is little, thinned to ``_POINTS``."""
    firm = np.flatnonzero(np.isin(skeleton.region, FIRM_LABELS))
    chosen = firm if len(firm) >= ENOUGH_FIRM * len(skeleton.points) else np.arange(len(skeleton.points))
    every = max(1, len(chosen) // _POINTS)
    chosen = chosen[::every]
    return Pattern(
        skeleton.points[chosen],
        skeleton.expected[chosen],
        skeleton.region[chosen],
        np.unique(skeleton.part[chosen], return_inverse=True)[1].reshape(-1),
        skeleton.point_ml * every,
    )


def settle(
    scene: Scene, skeleton: Pattern, outline: Pattern, found: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    """Refine a rigid transform (4 x 4, RAS mm, CT points to PET points) by the skeleton's fit.

    Returns ``found`` itself, None included, unless the whole skeleton fits better by more than chance and the outline,
    which the refinement does not look at, no worse.
    """
    thin = _thinned(skeleton)
    if found is None or not len(thin.points):
        return found
    known = found
    centre = np.average(thin.points, axis=0, weights=thin.expected + 1e-6)

    def score(parameters: NDArray[np.float64]) -> float:
        parts = agreement(scene, thin, move(known @ turn_about(centre, parameters), thin.points))
        said = parts[np.isfinite(parts)]
        return float(said.mean()) if len(said) else -np.inf

    best, value = climb(score, np.zeros(6), _TURN_STEPS_DEG, _SHIFT_STEPS_MM)
    if not np.isfinite(value):
        return found
    refined = np.round(known @ turn_about(centre, best), 9)
    bone = (agreement(scene, skeleton, move(matrix, skeleton.points)) for matrix in (known, refined))
    surface = body_fit(scene, outline, *(move(matrix, outline.points) for matrix in (known, refined)))
    return refined if compare(*bone).better and not surface.worse else found
