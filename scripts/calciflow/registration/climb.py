"""A search that climbs a smooth hill over small rigid motions: slow in many points, the same on every machine."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

_MAX_TURN_DEG = 30.0
"""A hand of 18 cm whose middle moves by 20 mm about a still wrist turns by 15 degrees, a shorter one by 20."""
_ROUNDS = 6


def turn_about(centre: NDArray[np.float64], parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """4 x 4 of a rotation vector (degrees) about ``centre`` and a shift (mm)."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(parameters[:3], degrees=True).as_matrix()
    matrix[:3, 3] = centre + parameters[3:] - matrix[:3, :3] @ centre
    return matrix


def climb(
    score: Callable[[NDArray[np.float64]], float],
    start: NDArray[np.float64],
    turns: tuple[float, ...],
    steps: tuple[float, ...],
) -> tuple[NDArray[np.float64], float]:
    """Coordinate search, largest steps first: six parameters, a smooth hill, the same result on every machine."""
    best, value = start, score(start)
    for turn, step in zip(turns, steps, strict=True):
        for _ in range(_ROUNDS):
            improved = False
            for axis in range(6):
                for sign in (-1.0, 1.0):
                    trial = best.copy()
                    trial[axis] += sign * (turn if axis < 3 else step)
                    if np.linalg.norm(trial[:3]) > _MAX_TURN_DEG:
                        continue
                    found = score(trial)
                    if found > value + 1e-6:
                        best, value, improved = trial, found, True
            if not improved:
                break
    return best, value
