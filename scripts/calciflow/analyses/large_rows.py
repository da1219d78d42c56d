"""Statistics on single lesions, for cohorts large enough to allow for people: mixed models from 20 people on."""

import math

import numpy as np
import pandas as pd

from calciflow.analyses.rows import Row, describe
from calciflow.lesion_table import has_part
from calciflow.stats.clustered import FEWEST_PEOPLE, MixedEffect, random_intercept

_METHOD = "linear mixed model of log10, random intercept a person (restricted likelihood; Wald t on people - 1); ratio"


def _logs(values: pd.Series) -> np.ndarray:
    numbers = pd.to_numeric(values).astype(float).to_numpy(np.float64)
    return np.log10(np.where(numbers > 0, numbers, np.nan))


def _row(outcome: str, a: str, b: str | None, fit: MixedEffect, level: float, note: str) -> Row:
    ends = [10**value if math.isfinite(value) else math.nan for value in (fit.estimate, fit.ci_low, fit.ci_high)]
    known = math.isfinite(fit.estimate)
    return describe(
        "lesion_model",
        outcome,
        a,
        b,
        n=fit.n_people,
        estimate=ends[0],
        ci_low=ends[1],
        ci_high=ends[2],
        ci_level=level if known else math.nan,
        statistic=fit.t,
        p_asymptotic=fit.p,
        method=_METHOD,
        notes=[
            f"{fit.n_rows} lesions in {fit.n_people} people; {note}",
            "" if known else "the model could not be fitted",
        ],
    )


def model_rows(lesions: pd.DataFrame, smallest_ml: float, level: float) -> list[Row]:
    """Muscle against subcutaneous deposits, and SUV by HU, lesion by lesion; none under 20 people.

    Parameters
    ----------
    lesions
        Counted lesions of the sessions that speak for a person, with ``volume_ml``.
    smallest_ml
        Smallest CT volume for SUV by HU, in ml.
    """
    rows: list[Row] = []
    if lesions["participant_id"].nunique() < FEWEST_PEOPLE:
        return rows
    for outcome, modality in (("suv_max", "pet"), ("hu_max", "ct"), ("volume_ml", "petct")):
        own = lesions[has_part(lesions, modality) & lesions["compartment"].isin(["muscle", "subcutaneous"])]
        own = own.assign(y=_logs(own[outcome])).dropna(subset=["y"])
        if own["participant_id"].nunique() < FEWEST_PEOPLE or own["compartment"].nunique() < 2:
            continue
        muscle = np.asarray(own["compartment"] == "muscle", dtype=np.float64)
        fit = random_intercept(own["y"].to_numpy(np.float64), muscle, own["participant_id"].tolist(), level)
        rows.append(_row(outcome, "muscle", "subcutaneous", fit, level, "ratio of muscle to subcutaneous"))
    large = lesions[pd.to_numeric(lesions["ct_volume_ml"]).fillna(0) >= smallest_ml]
    large = large.assign(y=_logs(large["suv_mean"]), hu=_logs(large["hu_mean"]), size=_logs(large["ct_volume_ml"]))
    large = large.dropna(subset=["y", "hu", "size"])
    if large["participant_id"].nunique() >= FEWEST_PEOPLE:
        columns = [large[name].to_numpy(np.float64) for name in ("y", "hu", "size")]
        # log10(2): the slope then is the change of SUV when HU doubles
        double = math.log10(2)
        fit = random_intercept(columns[0], columns[1] / double, large["participant_id"].tolist(), level, columns[2])
        note = f"ratio of SUV when HU doubles, volume held fixed; lesions of {smallest_ml:g} ml and more on CT"
        rows.append(_row("suv_mean", "hu_mean", None, fit, level, note))
    return rows
