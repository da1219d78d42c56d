"""Motion of points."""

import numpy as np
from numpy.typing import NDArray


def kabsch(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rigid transform (4, 4) that brings points (n, 3) onto points with least squares.

    Kabsch 1976, doi 10.1107/S0567739476001873.
    """
    a, b = source.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((source - a).T @ (target - b))
    sign = np.sign(np.linalg.det(vt.T @ u.T))
    turn = vt.T @ np.diag([1.0, 1.0, sign]) @ u.T
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, b - turn @ a
    return matrix
