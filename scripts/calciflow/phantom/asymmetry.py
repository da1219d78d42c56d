"""Bones of the two sides that are not each other's mirror image.

A smooth displacement field moves the knots that bones' shapes are made of. It is drawn for the person, not for a side,
so what it does on one side says nothing about the other. Spine and skull, which have no twin, stay as they are.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from calciflow.phantom.shapes import Cone, Ellipsoid, Shape, Triangle, Union

_WAVES = 6
_WAVELENGTH_MM = (60.0, 200.0)
"""From the length of a joint to that of half a long bone: neighbours move together and keep their gaps."""

SMALL = 1 / 3
"""Hands' and feet's share: their bones are a third as thick, and fingers hold no more than that within their skin."""

_LONG = ("humerus", "ulna", "radius", "femur", "patella", "tibia", "fibula")


@lru_cache(maxsize=32)
def _waves(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wave vectors (3, n, 3) in 1/mm and phases (3, n) of a person's field."""
    rng = np.random.default_rng([seed, 51])
    k = rng.standard_normal((3, _WAVES, 3))
    k *= 2 * np.pi / rng.uniform(*_WAVELENGTH_MM, (3, _WAVES, 1)) / np.linalg.norm(k, axis=-1, keepdims=True)
    return k, rng.uniform(0, 2 * np.pi, (3, _WAVES))


def displacement(points: NDArray[np.float64], seed: int, rms_mm: float) -> NDArray[np.float64]:
    """Displacement (..., 3) in mm at RAS points (..., 3) in mm, with ``rms_mm`` along each axis."""
    k, phase = _waves(seed)
    waves = np.sin(np.einsum("anc,...c->...an", k, points) + phase)
    return np.asarray(rms_mm * np.sqrt(2 / _WAVES) * waves.sum(axis=-1))


def share_of(name: str) -> float:
    """How much of the displacement a bone gets, from its name: all for a side's long, girdle and rib bones."""
    if not name.startswith(("left ", "right ")):
        return 0.0
    return 1.0 if name.endswith(_LONG) or any(part in name for part in ("scapula", "clavicle", "hip", "rib")) else SMALL


def bent(shape: Shape, seed: int, rms_mm: float) -> Shape:
    """The shape with its knots moved; ``ValueError`` for a shape that has none to move."""
    if not rms_mm:
        return shape

    def moved(point: NDArray[np.float64]) -> NDArray[np.float64]:
        return point + displacement(np.asarray(point, float), seed, rms_mm)

    if isinstance(shape, Union):
        return Union(tuple(bent(child, seed, rms_mm) for child in shape.shapes), shape.blend)
    if isinstance(shape, Cone):
        return replace(shape, a=moved(shape.a), b=moved(shape.b))
    if isinstance(shape, Ellipsoid):
        return replace(shape, centre=moved(shape.centre))
    if isinstance(shape, Triangle):
        return replace(shape, a=moved(shape.a), b=moved(shape.b), c=moved(shape.c))
    raise ValueError(f"a {type(shape).__name__} cannot be bent")
