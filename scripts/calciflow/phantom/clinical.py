"""What a clinician would have scored: a model of examination by eye and hand.

A clinician finds a deposit by its size and by how deep it lies, and cannot see uptake: what is not calcified is felt
less often. A deposit is found with the probability of a logistic in its diameter and depth (half-way at 5 mm across
just under the skin; each further millimetre of depth asks for one of diameter). The score of a region has the grades of
the form ``extent``: by number (1; 2 to 4; 5 to 9; 10 and more) or by volume (2 from 0.5 ml, 3 from 2 ml, 4 from 10 ml),
whichever is larger, over what was found; sizes are judged with an error of 30 %. No published model of this examination
is known: this one is ours, for the demo, and is no evidence about clinicians.
"""

import numpy as np
import pandas as pd

from calciflow.labels import AXIAL_REGIONS, REGIONS

CLINICAL_COLUMNS = ("participant_id", "session_id", "region", "side", "score", "reader")
READER = "examiner"

_HALF_MM = 5.0
_SLOPE_MM = 1.5
_UNCALCIFIED_PENALTY_MM = 4.0
_SIZE_ERROR = 0.3
_NUMBER_GRADES = ((1, 1), (2, 2), (5, 3), (10, 4))
_VOLUME_GRADES = ((0.5, 2), (2.0, 3), (10.0, 4))


def detection_probability(volume_ml: float, depth_mm: float, calcified: bool) -> float:
    """Probability that a clinician finds a deposit of this volume whose surface lies ``depth_mm`` below the skin's."""
    diameter = (6 * volume_ml * 1000 / np.pi) ** (1 / 3)
    margin = diameter - _HALF_MM - max(depth_mm - 2.0, 0.0) - (0.0 if calcified else _UNCALCIFIED_PENALTY_MM)
    return float(1 / (1 + np.exp(-margin / _SLOPE_MM)))


def grade(number: int, volume_ml: float) -> int:
    """Grade 0 to 4 of a region by the number and total volume of what was found."""
    by_number = max([points for start, points in _NUMBER_GRADES if number >= start], default=0)
    by_volume = max([points for start, points in _VOLUME_GRADES if volume_ml >= start], default=0)
    return max(by_number, by_volume)


def places() -> list[tuple[str, str]]:
    """Region and side of each row of the sheet: trunk and head once, limbs by side."""
    return [(r, s) for r in REGIONS for s in (("midline",) if r in AXIAL_REGIONS else ("left", "right"))]


def clinical_rows(participant_id: str, session_id: str, deposits: pd.DataFrame, seed: int) -> list[dict[str, object]]:
    """Rows of ``clinical_scores.tsv`` for one scan from its true deposits.

    Parameters
    ----------
    deposits
        Truth table, see ``calciflow.phantom.deposits.DEPOSIT_COLUMNS``.
    seed
        Each deposit has its own random numbers, so that one more deposit changes no other's fate.
    """
    found: dict[tuple[str, str], list[float]] = {place: [] for place in places()}
    for row in deposits.to_dict("records"):
        rng = np.random.default_rng([seed, 21, int(row["label"])])
        chance = detection_probability(
            float(row["volume_ml"]), float(row["distance_to_skin_mm"]), str(row["concordance"]).startswith("CT+")
        )
        seen = rng.uniform() < chance
        size = float(row["volume_ml"]) * float(np.exp(rng.normal(0, _SIZE_ERROR)))
        if seen:
            side = "midline" if row["region"] in AXIAL_REGIONS else str(row["side"])
            found[(str(row["region"]), side)].append(size)
    return [
        {
            "participant_id": participant_id,
            "session_id": session_id,
            "region": region,
            "side": side,
            "score": grade(len(sizes), sum(sizes)),
            "reader": READER,
        }
        for (region, side), sizes in found.items()
    ]
