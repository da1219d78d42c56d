"""Shapes of deposits: nodules, sheets along fascia or skin, streaks along muscle fibres, lobulated masses."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from calciflow.phantom.body import SKIN_MM
from calciflow.phantom.shapes import Array
from calciflow.phantom.spec import DepositSpec


def half_length(spec: DepositSpec, radius: float) -> float:
    """Half-length (mm) of a deposit of a sphere's radius, by its form."""
    if spec.form == "sheet":
        # pi R2 t = V at a thickness of 3 mm
        return float(np.sqrt(4 / 3 * radius**3 / 3.0))
    return radius * {"nodule": 1.25, "streak": 2.1, "tumoral": 1.5}[spec.form]


def limits_of(spec: DepositSpec, fascia: Array, skin: Array, bone: Array) -> Array:
    """Distance to the compartment's own limits; negative inside."""
    out: Array = np.float32(spec.bone_gap_mm) - bone
    if spec.compartment == "subcutaneous":
        out = np.maximum(out, np.maximum(np.float32(0.4) - fascia, skin + np.float32(SKIN_MM * 0.6)))
    elif spec.compartment == "skin":
        out = np.maximum(out, np.maximum(skin, -skin - np.float32(3 * SKIN_MM)))
    elif spec.compartment == "muscle":
        out = np.maximum(out, fascia + np.float32(0.4))
    elif spec.compartment == "fascia":
        out = np.maximum(out, np.abs(fascia) - np.float32(3.0))
    return np.maximum(out, skin + np.float32(spec.skin_gap_mm))


def form_of(
    spec: DepositSpec,
    xyz: tuple[Array, Array, Array],
    centre: NDArray[np.float64],
    radius: float,
    room: float,
    fascia: Array,
    skin: Array,
    rng: np.random.Generator,
) -> Array:
    """Signed distance of the deposit's own form (mm)."""
    dx, dy, dz = (v - np.float32(o) for v, o in zip(xyz, centre, strict=True))
    across = skin if spec.compartment in ("subcutaneous", "skin") else fascia
    middle = tuple(size // 2 for size in across.shape)
    wave: Any = np.float32(0)
    for _ in range(5):
        k = rng.normal(0, 1.3 / max(radius, 1.0), 3).astype(np.float32)
        wave = wave + np.cos(k[0] * dx + k[1] * dy + k[2] * dz + np.float32(rng.uniform(0, 6.28)))
    rough = wave * np.float32(0.07 * radius)
    if spec.form == "sheet":
        half = 1.5
        flat = np.abs(across - across[middle]) - np.float32(half)
        wide = np.sqrt(dx * dx + dy * dy + dz * dz) - np.float32(np.sqrt(4 / 3 * radius**3 / (2 * half)))
        return np.maximum(flat + wave * np.float32(0.15), wide + rough * 2)
    if spec.form == "tumoral":
        out: Any = None
        for number in range(6):
            r = radius * (0.75 if number == 0 else rng.uniform(0.35, 0.6))
            shift = np.zeros(3) if number == 0 else rng.normal(0, 1, 3)
            if number:
                shift *= 0.75 * radius / np.linalg.norm(shift)
            d = np.sqrt((dx - shift[0]) ** 2 + (dy - shift[1]) ** 2 + (dz - shift[2]) ** 2) - np.float32(r)
            out = d if out is None else np.minimum(out, d)
        return (out + rough).astype(np.float32)
    if spec.form == "streak":
        a, b, c = radius * 0.65, radius * 0.75, radius * 2.05
        tilt = rng.normal(0, 0.12, 2)
        dx, dy = dx - np.float32(tilt[0]) * dz, dy - np.float32(tilt[1]) * dz
        f = np.sqrt((dx / a) ** 2 + (dy / b) ** 2 + (dz / c) ** 2)
        return ((f - 1) * np.float32(a) + rough * np.float32(0.7)).astype(np.float32)
    squeeze = rng.uniform(0.8, 1.2, 3)
    f = np.sqrt((dx / squeeze[0]) ** 2 + (dy / squeeze[1]) ** 2 + (dz / squeeze[2]) ** 2)
    return (f - np.float32(radius) + rough).astype(np.float32)
