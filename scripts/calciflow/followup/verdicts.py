"""What has become of a lesion between two sessions, held against how well its numbers repeat."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from calciflow.lesion_table import has_part

BORROWED = "Lin et al. 2016: bone lesions, SUV > 15, > 1.5 cm3: borrowed"
"""Where the limits of uptake come from: nobody has measured how NaF uptake of calcinosis repeats."""

OURS = "ours: errors of volume in phantoms, two measurements"
"""Where the limits of volume come from."""

SMALL_ML, THIN_SLICE_MM = 0.1, 3.3
VOLUME_ERRORS = {"thin": 0.09, "thick": 0.15, "small": 0.26}
"""Relative errors of a volume at the local half-maximum: 9 % at slices up to 3.3 mm, 15 % at 5 mm, 26 % below 0.1 ml
(measured on this project's phantoms; the worse end of each range)."""

MISSED_ML = 0.05
"""Smaller ones are found less surely, so that one is new, or gone, is no more than likely; ours."""


@dataclass(frozen=True)
class Limits:
    """Ratios, later over earlier, that repeating a measurement alone gives."""

    suv_max: tuple[float, float] = (0.76, 1.32)
    suv_mean: tuple[float, float] = (0.88, 1.14)
    tlf: tuple[float, float] = (0.63, 1.71)


def volume_error(volume_ml: float, slice_mm: float) -> float:
    """Relative error of one CT volume."""
    if volume_ml < SMALL_ML:
        return VOLUME_ERRORS["small"]
    return VOLUME_ERRORS["thin" if slice_mm <= THIN_SLICE_MM else "thick"]


def volume_limits(before_ml: float, after_ml: float, slices_mm: tuple[float, float]) -> tuple[float, float]:
    """95 % limits of the ratio of two volumes of one unchanged deposit: exp(+-1.96 sqrt(e1^2 + e2^2))."""
    errors = [volume_error(volume, step) for volume, step in zip((before_ml, after_ml), slices_mm, strict=True)]
    half = 1.96 * math.hypot(*errors)
    return math.exp(-half), math.exp(half)


def side_of(ratio: float | None, limits: tuple[float, float], words: tuple[str, str]) -> str | None:
    """``words`` for a ratio below and above its limits, ``within limits`` between; None without a ratio."""
    if ratio is None or not math.isfinite(ratio):
        return None
    return words[0] if ratio < limits[0] else words[1] if ratio > limits[1] else "within limits"


def together(rows: pd.DataFrame) -> dict[str, Any]:
    """One session's lesions of a pairing as one: amounts add up, peaks are the highest, means weigh by volume."""
    on_ct, on_pet = rows[has_part(rows, "ct")], rows[has_part(rows, "pet")]

    def total(part: pd.DataFrame, name: str) -> float | None:
        values = part[name].astype(float).dropna()
        return float(values.sum()) if len(values) else None

    def highest(part: pd.DataFrame, name: str) -> float | None:
        values = part[name].astype(float).dropna()
        return float(values.max()) if len(values) else None

    volume, tlf = total(on_pet, "pet_volume_ml"), total(on_pet, "tlf")
    statuses = set(rows["pet_status"].dropna())
    return {
        "ct_volume_ml": total(on_ct, "ct_volume_ml"),
        "hydroxyapatite_mg": total(on_ct, "hydroxyapatite_mg"),
        "pet_volume_ml": volume,
        "suv_max": highest(on_pet, "suv_max"),
        "suv_mean": None if not volume or tlf is None else tlf / volume,
        "tlf": tlf,
        "recovery": _recovery(on_pet),
        "on_ct": bool(len(on_ct)),
        "pet_status": "positive" if len(on_pet) else ("negative" if statuses == {"negative"} else "indeterminate"),
    }


def _recovery(rows: pd.DataFrame) -> float | None:
    """Share of the true uptake that the PET's resolution leaves in the hottest of the lesions; None if not known."""
    if "pet_recovery" not in rows or not rows["suv_max"].notna().any():
        return None
    value = rows["pet_recovery"].iloc[int(np.nanargmax(rows["suv_max"].astype(float)))]
    return None if value is None or pd.isna(value) else float(value)


def _ratio(before: Any, after: Any) -> float | None:
    if before is None or after is None or not before > 0 or not after > 0:
        return None
    return float(after) / float(before)


def judge(
    before: dict[str, Any], after: dict[str, Any], slices_mm: tuple[float, float], limits: Limits
) -> dict[str, Any]:
    """Compare a lesion that both sessions show.

    Parameters
    ----------
    before, after
        ``together`` of its rows.
    slices_mm
        Slice increments of the two CTs.
    """
    volume = _ratio(before["ct_volume_ml"], after["ct_volume_ml"])
    low, high = (None, None)
    if volume is not None:
        low, high = volume_limits(before["ct_volume_ml"], after["ct_volume_ml"], slices_mm)
    if before["on_ct"] and after["on_ct"]:
        size = None if low is None or high is None else side_of(volume, (low, high), ("shrunk", "grown"))
    else:
        size = "calcified" if after["on_ct"] else "calcium gone" if before["on_ct"] else None
    recovery = _ratio(before["recovery"], after["recovery"])
    peak, mean, tlf = (_ratio(before[name], after[name]) for name in ("suv_max", "suv_mean", "tlf"))
    activity = _activity(before["pet_status"], after["pet_status"], peak, limits)
    note = None
    # The larger a small deposit, the more of its uptake survives the blur: that alone is no change of activity.
    moved = activity in ("more active", "less active") and peak is not None and recovery is not None
    if moved and side_of(peak / recovery, limits.suv_max, ("less", "more")) == "within limits":  # type: ignore[operator]
        activity, note = "open", "the change of its size explains that of SUVmax (partial volume)"
    return {
        "size": size,
        "activity": activity,
        "recovery_ratio": recovery,
        "note": note,
        "ct_volume_ratio": volume,
        "ct_volume_limit_low": low,
        "ct_volume_limit_high": high,
        "hydroxyapatite_ratio": _ratio(before["hydroxyapatite_mg"], after["hydroxyapatite_mg"]),
        "suv_max_ratio": peak,
        "suv_mean_ratio": mean,
        "suv_mean_change": side_of(mean, limits.suv_mean, ("lower", "higher")),
        "tlf_ratio": tlf,
        "tlf_change": side_of(tlf, limits.tlf, ("lower", "higher")),
    }


def _activity(before: str, after: str, peak: float | None, limits: Limits) -> str | None:
    if before == after == "positive":
        return side_of(peak, limits.suv_max, ("less active", "more active"))
    if before == after == "negative":
        return "inactive"
    if (before, after) == ("negative", "positive"):
        return "became active"
    if (before, after) == ("positive", "negative"):
        return "no longer active"
    return "open"


def missed_note(rows: pd.DataFrame, which: str) -> str | None:
    """A caveat for small deposits that only one session shows; ``which`` is the other one, ``earlier`` or ``later``."""
    volumes = rows[["ct_volume_ml", "pet_volume_ml"]].astype(float).max(axis=1)
    if np.nansum(volumes) >= MISSED_ML:
        return None
    return f"small: the {which} session may have missed it"


def joined_note(earlier: Sequence[int], later: Sequence[int]) -> str | None:
    """Say that lesions have merged or split."""
    if len(earlier) > 1 and len(later) > 1:
        return f"{len(earlier)} lesions and {len(later)} later ones cannot be told apart"
    if len(earlier) > 1:
        return f"{len(earlier)} lesions have become one"
    return f"one lesion has become {len(later)}" if len(later) > 1 else None
