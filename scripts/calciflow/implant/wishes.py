"""Which deposits a host is asked to take: drawn at random by its seed, as far as its tissues have room."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calciflow.labels import AXIAL_REGIONS, TISSUES, region_of
from calciflow.phantom.deposits import draw_volume
from calciflow.phantom.spec import DepositSpec, Form

COMPARTMENTS = ("subcutaneous", "muscle", "fascia", "skin", "periarticular")
_CHANCES = (0.4, 0.32, 0.12, 0.06, 0.1)
_CLASSES = ("CT+PET+", "CT+PET-", "CT-PET+")
_CLASS_CHANCES = (0.55, 0.25, 0.2)
_FORMS: dict[str, tuple[Form, ...]] = {
    "subcutaneous": ("nodule", "nodule", "sheet"),
    "muscle": ("streak", "nodule"),
    "fascia": ("sheet",),
    "skin": ("nodule",),
    "periarticular": ("nodule", "tumoral"),
}
_SMALL = ("hand", "fingers", "foot", "toes")
_LEAST_ML = 30.0
"""A region with less soft tissue in view than this gets no deposit. Ours."""


def soft_regions(tissues: NDArray[np.uint8], regions: NDArray[np.uint8], voxel_ml: float) -> dict[int, float]:
    """Soft tissue (ml) of each region label that has enough of it in view; head and neck are left out."""
    soft = np.isin(tissues, (TISSUES["skin"], TISSUES["subcutaneous_fat"], TISSUES["muscle"]))
    counts = np.bincount(regions[soft], minlength=256) * voxel_ml
    out = {}
    for label in np.flatnonzero(counts):
        if label and region_of(int(label))[0] not in AXIAL_REGIONS[:2] and counts[label] >= _LEAST_ML:
            out[int(label)] = float(counts[label])
    return out


def draw_wishes(
    rng: np.random.Generator, regions: dict[int, float], count: int, only: Sequence[str] = COMPARTMENTS
) -> list[DepositSpec]:
    """Draw ``count`` deposits with the spread of size, density and uptake of the benchmark's phantoms.

    Parameters
    ----------
    regions
        Region labels and how much soft tissue each has: larger ones get more deposits.
    only
        Compartments to choose from.

    Raises
    ------
    ValueError
        If no region has room.
    """
    if not regions:
        raise ValueError("the host shows no region with enough soft tissue")
    labels = list(regions)
    weights = np.sqrt(np.array([regions[label] for label in labels]))
    chances = np.array([_CHANCES[COMPARTMENTS.index(word)] for word in only])
    out = []
    for _ in range(count):
        region, word = region_of(labels[int(rng.choice(len(labels), p=weights / weights.sum()))])
        side: Literal["left", "right"] = "left" if word == "left" else "right"
        compartment = str(only[int(rng.choice(len(only), p=chances / chances.sum()))])
        if compartment == "periarticular" and region in AXIAL_REGIONS[:4]:
            compartment = "subcutaneous"
        forms = _FORMS[compartment]
        form = forms[int(rng.integers(len(forms)))]
        small = region in _SMALL
        out.append(
            DepositSpec(
                region=region,
                side=side,
                compartment=compartment,
                concordance=_CLASSES[int(rng.choice(3, p=_CLASS_CHANCES))],
                form="nodule" if small else form,
                volume_ml=draw_volume(rng, 0.08 if small or compartment == "skin" else 0.5, 1.0, 0.02, 20.0),
                hu=float(np.clip(np.exp(rng.normal(np.log(450), 0.5)), 150, 1200)),
                suv=float(np.clip(np.exp(rng.normal(np.log(6.0), 0.6)), 1.0, 20)),
                bone_gap_mm=float(rng.uniform(1.0, 4.0)),
            )
        )
    return out
