"""All traps by name: how each is painted, how a scan is told to have it, and where in the body it lies."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np

from calciflow.phantom import traps_calcium, traps_uptake
from calciflow.phantom.canvas import Canvas
from calciflow.phantom.model import Person
from calciflow.phantom.spec import PersonSpec, ScanSpec, Traps, replace
from calciflow.phantom.traps import DIFFUSE, TrapPainter

_PAINT: dict[str, Callable[[TrapPainter], None]] = {
    "arterial_calcification": traps_calcium.arterial_calcification,
    "costal_cartilage": traps_calcium.costal_cartilage,
    "phleboliths": traps_calcium.phleboliths,
    "granulomas": traps_calcium.granulomas,
    "oral_contrast": traps_calcium.oral_contrast,
    "intravenous_contrast": traps_calcium.intravenous_contrast,
    "enthesis_spurs": traps_calcium.enthesis_spurs,
    "arthritis": traps_uptake.arthritis,
    "hot_ureters": traps_uptake.hot_ureters,
    "urine_on_skin": traps_uptake.urine_on_skin,
    "injection_residue": traps_uptake.injection_residue,
    "dental_metal": traps_calcium.dental_metal,
    "hip_prosthesis": traps_calcium.hip_prosthesis,
    "tubes": traps_calcium.tubes,
    "myositis": traps_uptake.myositis,
    "acro_osteolysis": traps_uptake.acro_osteolysis,
    "attenuation_mismatch": traps_uptake.attenuation_mismatch,
}
SHAPES = ("scoliosis", "rotated_hips", "hands_under_buttocks")
"""Traps of the body's own shape: fields of ``PersonSpec``."""

TRAPS = (*_PAINT, *SHAPES)
"""Names of all traps."""

PLACES: dict[str, tuple[str, ...]] = {
    "arterial_calcification": ("abdomen", "pelvis"), "costal_cartilage": ("chest",), "phleboliths": ("pelvis",),
    "granulomas": ("pelvis",), "oral_contrast": ("abdomen",), "intravenous_contrast": ("chest", "abdomen"),
    "enthesis_spurs": ("knee",), "arthritis": ("fingers", "knee"), "hot_ureters": ("abdomen", "pelvis"),
    "urine_on_skin": ("pelvis",), "injection_residue": ("elbow",), "dental_metal": ("head",),
    "hip_prosthesis": ("pelvis",), "tubes": ("chest",), "myositis": ("thigh",), "acro_osteolysis": ("fingers",),
    "attenuation_mismatch": ("chest", "abdomen"), "scoliosis": ("chest", "abdomen"), "rotated_hips": ("thigh",),
    "hands_under_buttocks": ("hand", "fingers"),
}  # fmt: skip
"""Regions that show a trap: one of them must be in view for it to be there."""


def shaped(person: PersonSpec, name: str, rng: np.random.Generator) -> PersonSpec:
    """A person with one of ``SHAPES``; other names leave it as it is."""
    if name == "scoliosis":
        return replace(person, scoliosis_mm=float(rng.choice([-1, 1]) * rng.uniform(12, 32)))
    if name == "rotated_hips":
        return replace(person, hip_rotation_deg=(float(rng.uniform(20, 50)), float(rng.uniform(-20, 40))))
    if name == "hands_under_buttocks":
        return replace(person, arms="under")
    return person


def switched_on(names: set[str]) -> Traps:
    """``Traps`` with some of them on; names of ``SHAPES`` are passed over.

    Raises
    ------
    ValueError
        For a name that is no trap.
    """
    unknown = names - set(TRAPS)
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: no trap; known are {', '.join(TRAPS)}")
    return Traps(**{name: name in names for name in _PAINT})


def paint_traps(canvas: Canvas, person: Person, spec: ScanSpec, seed: int, calcium: float) -> TrapPainter:
    """Paint a scan's traps into a painted person, and give their truth."""
    painter = TrapPainter(canvas, person, seed, calcium)
    # What fills whole organs first: the calcium of others lies in their walls.
    names = sorted((item.name for item in fields(Traps)), key=lambda name: name not in DIFFUSE)
    for name in names:
        if getattr(spec.traps, name):
            painter.start(name)
            _PAINT[name](painter)
    who = spec.person
    if who.scoliosis_mm:
        painter.mark("scoliosis", f"{who.scoliosis_mm:+.0f} mm to the right in the loins")
    if any(who.hip_rotation_deg):
        right, left = who.hip_rotation_deg
        painter.mark("rotated_hips", f"outwards by {right:.0f} (right) and {left:.0f} (left) degrees")
    if who.arms == "under":
        painter.mark("hands_under_buttocks", "both hands")
    return painter
