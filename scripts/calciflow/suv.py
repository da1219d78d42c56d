"""Stage ``suv``: the PET in body-weight SUV, and beside it the rule, the tags and the overrides that made it so."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calciflow.files import read_json, write_json
from calciflow.images import Volume, read_volume, write_volume
from calciflow.suvrules import SuvResult, evaluate
from calciflow.suvrules.resolution import resolution

HEAD_TO_TOE = 0.95
"""A PET as long as this part of the body's height shows it from head to toe; ours."""
HEAD_TO_TOE_MM = 1600.0
"""The same where the height is not known; ours."""
PLAUSIBLE_MEAN = (0.5, 1.1)
"""Mean SUVbw of a whole body lies near 1 less what was excreted; the limits are ours."""


def apply_factors(array: NDArray[Any], factors: Sequence[float]) -> NDArray[np.float32]:
    """Multiply a volume by one factor, or each slice along axis 0 by its own.

    Raises
    ------
    ValueError
        If there are several factors, but not one a slice.
    """
    if len(factors) not in (1, array.shape[0]):
        raise ValueError(f"{len(factors)} SUV factors for {array.shape[0]} slices")
    # In double precision per slice: a factor of 2e-4 keeps all its digits, and no copy of the volume is needed.
    result = np.empty(array.shape, np.float32)
    for number in range(array.shape[0]):
        result[number] = array[number] * float(factors[number if len(factors) > 1 else 0])
    return result


def retained_fraction(suv: Volume, weight_kg: float | None) -> float | None:
    """Activity in view as a part of the activity injected: sum of SUV x ml over body weight in g.

    For a head-to-toe scan this is the mean SUVbw of the body (density 1 g/ml). None if the weight is not known.
    """
    if not weight_kg:
        return None
    return float(suv.array.sum(dtype=np.float64)) * suv.voxel_ml / (1000 * weight_kg)


def plausibility(
    fraction: float | None, length_mm: float, height_m: float | None
) -> tuple[float | None, list[dict[str, str]]]:
    """Mean SUVbw of the whole body if it is all in view, and what is implausible.

    Parameters
    ----------
    fraction
        From :func:`retained_fraction`.
    length_mm
        Extent of the PET from head to foot.
    height_m
        Body height, if known.
    """
    if fraction is None:
        return None, []
    whole = length_mm >= (HEAD_TO_TOE * 1000 * height_m if height_m else HEAD_TO_TOE_MM)
    low, high = PLAUSIBLE_MEAN
    if fraction > high or (whole and fraction < low):
        expected = f"{low:g} to {high:g} for a whole body" if whole else f"at most {high:g}"
        text = (
            f"the activity in view is {fraction:.2f} of the injected dose, expected is {expected}: "
            "check weight, dose and times."
        )
        return fraction if whole else None, [{"code": "plausibility", "text": text}]
    return fraction if whole else None, []


def _height(header: Mapping[str, Any], overrides: Mapping[str, Any]) -> float | None:
    for value in (overrides.get("height_m"), header.get("size")):
        try:
            metres = float(value) if value is not None else 0.0
        except (TypeError, ValueError):
            continue
        metres = metres / 100 if metres > 3 else metres
        if 0.3 <= metres <= 2.6:
            return metres
    return None


def sidecar(result: SuvResult, suv: Volume, header: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What stands beside the SUV image; no dates, no identity."""
    fraction = retained_fraction(suv, result.weight_kg)
    mean, doubts = plausibility(fraction, suv.array.shape[0] * suv.spacing[0], _height(header, overrides))
    width, source = resolution(header)
    content: dict[str, Any] = {"Units": "g/mL"}
    if len(result.factors) == 1:
        content["factor"] = result.factors[0]
    else:
        content["factors"] = list(result.factors)
    return content | {
        "rule": result.rule,
        "inputs": result.inputs,
        "overrides": result.overrides,
        "uptake_minutes": result.uptake_minutes,
        "warnings": [*result.warnings, *doubts],
        "activity_in_view_fraction": None if fraction is None else round(fraction, 4),
        "whole_body_mean_suv": None if mean is None else round(mean, 4),
        "fwhm_mm": width,
        "fwhm_source": source,
    }


def normalise_scan(
    *,
    selection: str,
    pet: str,
    pet_json: str,
    suv: str,
    suv_json: str,
    overrides: Mapping[str, Any],
    tracer: str,
    dose_range_mbq: Sequence[float],
    max_uptake_hours: float,
) -> None:
    """Write the SUVbw image of a scan and its sidecar.

    Parameters
    ----------
    selection
        Private JSON of ``index``; its ``suv`` holds the header values, slices in the volume's order.
    pet, pet_json
        Volume in the series' own units, and its sidecar.
    suv, suv_json
        Written: SUVbw in g/ml, float32, and its sidecar.
    overrides, tracer, dose_range_mbq, max_uptake_hours
        See :func:`calciflow.suvrules.evaluate`.

    Raises
    ------
    Refusal
        If the series cannot be turned into SUVbw (``index`` has asked the same before).
    ValueError
        If the volume's slices are not those of the header.
    """
    header = read_json(selection)["suv"]
    result = evaluate(
        header, overrides, dose_range_mbq=dose_range_mbq, max_uptake_hours=max_uptake_hours, tracer=tracer
    )
    volume = read_volume(pet)
    image = volume.like(apply_factors(volume.array, result.factors))
    content = sidecar(result, image, header, overrides)
    write_volume(suv, image, np.float32)
    write_json(suv_json, content)
    print(f"rule: {result.rule}")
    print(f"stored unit: {read_json(pet_json).get('Units')}")
    print(f"factors: {len(result.factors)}, from {min(result.factors):.6g} to {max(result.factors):.6g}")
    for warning in content["warnings"]:
        print(f"warning {warning['code']}: {warning['text']}")
