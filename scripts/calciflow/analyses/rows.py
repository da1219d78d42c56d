"""Rows of ``statistics.tsv``: each kind of result with its numbers, its method in words, and its caveats."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from calciflow.stats.adjust import holm
from calciflow.stats.proportions import FEWEST_A_GROUP, difference_interval
from calciflow.stats.signed_rank import signed_rank
from calciflow.stats.two_sample import rank_sum

STATISTICS_COLUMNS = (
    "analysis outcome group_a group_b n estimate ci_low ci_high ci_level effect_size statistic p_exact p_asymptotic "
    "p_attainable p_adjusted method note"
).split()

LIMIT = 0.05
"""The customary limit that notes speak of; no decision is made with it."""

MOST_SHOWN = 6
"""Groups of up to so many people have their values written out in the note."""

Row = dict[str, Any]
Floats = npt.NDArray[np.floating[Any]]


def number(value: float) -> str:
    """A number for prose: three significant digits."""
    return f"{value:.3g}"


def p_value(value: float) -> str:
    """A p for prose: four significant digits, which tell 0.03125 from 0.03."""
    return f"{value:.4g}"


def join(notes: Sequence[str]) -> str | None:
    """Notes as one cell."""
    return "; ".join(note for note in notes if note) or None


def finite(values: Sequence[float] | Floats) -> npt.NDArray[np.float64]:
    """The values that are there."""
    array = np.asarray(values, dtype=np.float64)
    return array[np.isfinite(array)]


def describe(
    analysis: str,
    outcome: str,
    group_a: str,
    group_b: str | None = None,
    *,
    n: int,
    method: str,
    estimate: float = math.nan,
    notes: Sequence[str] = (),
    **cells: Any,
) -> Row:
    """A row without a test."""
    return {
        "analysis": analysis,
        "outcome": outcome,
        "group_a": group_a,
        "group_b": group_b,
        "n": n,
        "estimate": estimate,
        "method": method,
        "note": join(notes),
        **cells,
    }


def _caveats(p_exact: float, p_attainable: float) -> list[str]:
    if not math.isfinite(p_exact):
        return ["too many for the exact test: the asymptotic p is right at this n"]
    if p_attainable > LIMIT:
        return [f"smallest attainable p {p_value(p_attainable)}: cannot reach {LIMIT}"]
    if p_exact <= p_attainable * (1 + 1e-9):
        return [f"p is the smallest that this n allows ({p_value(p_attainable)})"]
    return []


def paired(
    analysis: str,
    outcome: str,
    group_a: str,
    group_b: str | None,
    differences: Sequence[float] | Floats,
    level: float,
    notes: Sequence[str] = (),
    unit: str = "people",
) -> Row:
    """Signed-rank row of paired differences a - b (or of single values against 0)."""
    result = signed_rank(finite(differences), level)
    remarks = list(notes)
    if result.n == 0:
        remarks.append("no pairs")
    else:
        if result.n_nonzero < result.n:
            remarks.append(f"{result.n - result.n_nonzero} of {result.n} differences are zero and leave the test")
        remarks += _caveats(result.p_exact, result.p_attainable)
        if not math.isfinite(result.ci_low):
            remarks.append(f"no {100 * level:g} % interval exists at n = {result.n}")
        if abs(result.rank_biserial) == 1:
            remarks.append(
                "all differences but zeros have one sign: the effect size is at its limit, without an interval"
            )
    return describe(
        analysis,
        outcome,
        group_a,
        group_b,
        n=result.n,
        estimate=result.estimate,
        ci_low=result.ci_low,
        ci_high=result.ci_high,
        ci_level=result.ci_level,
        effect_size=result.rank_biserial,
        statistic=result.w_plus,
        p_exact=result.p_exact,
        p_asymptotic=result.p_asymptotic,
        p_attainable=result.p_attainable,
        method=(
            f"Wilcoxon signed rank over {unit} (exact: all sign flips of midranks; asymptotic: tie-corrected normal, "
            "no continuity correction); Hodges-Lehmann shift, Walsh interval; matched-pairs rank-biserial"
        ),
        notes=remarks,
    )


def listed(name: str, values: Floats) -> str:
    """The values of a small group, or their median and range."""
    if not len(values):
        return f"{name}: none"
    if len(values) <= MOST_SHOWN:
        return f"{name}: {', '.join(number(v) for v in np.sort(values)[::-1])}"
    return f"{name}: median {number(float(np.median(values)))} ({number(values.min())} to {number(values.max())})"


def two_groups(
    analysis: str,
    outcome: str,
    group_a: str,
    group_b: str,
    values_a: Sequence[float] | Floats,
    values_b: Sequence[float] | Floats,
    level: float,
    notes: Sequence[str] = (),
    *,
    yes_no: bool = False,
) -> Row:
    """Rank-sum row of two independent groups, a - b; of ``yes_no`` values (1, 0) the shift is one of proportions."""
    first, second = finite(values_a), finite(values_b)
    result = rank_sum(first, second, level)
    shown = ((group_a, first), (group_b, second))
    if yes_no:
        values = [f"{name}: {int(v.sum())} of {len(v)}" for name, v in shown]
    else:
        values = [listed(name, v) for name, v in shown]
    remarks = [f"{result.n_a} against {result.n_b}", *values, *notes]
    if result.n_a and result.n_b:
        remarks += _caveats(result.p_exact, result.p_attainable)
        if not math.isfinite(result.ci_low) and not yes_no:
            remarks.append(f"no {100 * level:g} % interval exists at {result.n_a} against {result.n_b}")
    else:
        remarks.append("one group has nobody to compare")
    low, high, reached = result.ci_low, result.ci_high, result.ci_level
    shift = "Hodges-Lehmann shift, exact interval"
    if yes_no:
        low, high = difference_interval(int(first.sum()), result.n_a, int(second.sum()), result.n_b, level)
        reached = level if math.isfinite(low) else math.nan
        shift = "difference of proportions, Newcombe's interval (nominal level)"
        if not math.isfinite(low):
            remarks.append(f"no interval of proportions under {FEWEST_A_GROUP} people a group")
    return describe(
        analysis,
        outcome,
        group_a,
        group_b,
        n=result.n_a + result.n_b,
        estimate=result.delta if yes_no else result.estimate,
        ci_low=low,
        ci_high=high,
        ci_level=reached,
        effect_size=result.delta,
        statistic=result.u,
        p_exact=result.p_exact,
        p_asymptotic=result.p_asymptotic,
        p_attainable=result.p_attainable,
        method=(
            "Mann-Whitney over people (exact: all divisions of midranks; asymptotic: tie-corrected normal, no "
            f"continuity correction); {shift}; Cliff's delta"
        ),
        notes=remarks,
    )


def _tested(row: Row) -> float:
    """The p that counts: the exact one, or the asymptotic one where n is too large for an exact one."""
    exact: float = row.get("p_exact", math.nan)
    asymptotic: float = row.get("p_asymptotic", math.nan)
    return exact if math.isfinite(exact) else asymptotic


def adjust(rows: Sequence[Row], primary: tuple[str, str, str]) -> list[Row]:
    """Name the primary comparison, and adjust the others' p by Holm within each analysis (exact p where there is one).

    Parameters
    ----------
    rows
        Statistics in order.
    primary
        Outcome, group_a and group_b of the one comparison that was named beforehand; its p is not adjusted.

    Returns
    -------
    The rows, the primary first. If no row fits, a row without numbers says so.
    """
    chosen: Row | None = None
    rest: list[Row] = []
    for row in rows:
        testable = "p_exact" in row
        if chosen is None and testable and (row["outcome"], row["group_a"], row["group_b"]) == primary:
            chosen = {**row, "analysis": "primary", "note": join(["named beforehand: not adjusted", row["note"] or ""])}
        else:
            rest.append(dict(row))
    if chosen is None:
        chosen = describe(
            "primary",
            *primary,
            n=0,
            method="none",
            notes=["the data hold no such comparison (cohort.primary in the config)"],
        )
    for analysis in dict.fromkeys(row["analysis"] for row in rest):
        family = [row for row in rest if row["analysis"] == analysis and math.isfinite(_tested(row))]
        adjusted = holm([_tested(row) for row in family])
        attainable = [row.get("p_attainable", math.nan) for row in family]
        least = min(holm([p if math.isfinite(p) else 0.0 for p in attainable]), default=math.nan)
        for row, p in zip(family, adjusted, strict=True):
            row["p_adjusted"] = p
            remark = f"exploratory, Holm over {len(family)}" if len(family) > 1 else "exploratory"
            if len(family) > 1 and least > LIMIT:
                remark += f": smallest attainable adjusted p {p_value(least)}: cannot reach {LIMIT}"
            row["note"] = join([row["note"] or "", remark])
    return [chosen, *rest]
