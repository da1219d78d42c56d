"""The statistics in the methods paragraph: what this run tested, how, and on whose authority."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from calciflow.pages.palette import words
from calciflow.pages.readings import outcome_words, side_words
from calciflow.pages.tables import number
from calciflow.stats.clustered import FEWEST_PEOPLE

Cite = Callable[..., str]


def _primary(primary: Any) -> str:
    if not (isinstance(primary, Sequence) and not isinstance(primary, str) and len(primary) == 3):
        return ""
    outcome, a, b = (str(part) for part in primary)
    return (
        f"One comparison was named beforehand ({outcome_words(outcome)}, {side_words(a)} against {side_words(b)}); all "
        "others are exploratory."
    )


def _agreement(cite: Cite, cohort: Mapping[str, Any]) -> str:
    weights = words(str(cohort.get("kappa_weights", "quadratic")))
    return (
        f"Agreement is Cohen's kappa with {weights} weights by region {cite('cohen')} (interval by resampling people "
        f"{cite('field')}, from {FEWEST_PEOPLE} people on), and for totals the intraclass correlation of single "
        f"ratings {cite('shrout')} and limits of agreement {cite('bland')}; below {FEWEST_PEOPLE} people these "
        "describe and test nothing."
    )


def _change(cite: Cite, change: Mapping[str, Any]) -> str:
    low, high = (number(value) for value in change.get("suv_max_limits") or (0.76, 1.32))
    return (
        "Sessions of one person were registered CT to CT and their deposits matched by place; a change of SUVmax "
        f"counts beyond {low} to {high} times, limits borrowed from bone lesions {cite('lin')}."
    )


def statistics_text(cite: Cite, cohort: Mapping[str, Any], change: Mapping[str, Any], analyses: Collection[str]) -> str:
    """Describe the statistics.

    Parameters
    ----------
    cite
        Numbers references by their key.
    cohort, change
        Sections of the config.
    analyses
        What ``statistics.tsv`` holds; only this is described, beside what every run rests on.
    """
    level = cohort.get("ci_level")
    intervals = f" (nominal level {number(100 * float(level))} %, the attained level is given)" if level else ""
    excluded = cohort.get("exclude_flags") or []
    said = []
    if excluded:
        said.append(f"Deposits flagged {', '.join(str(flag) for flag in excluded)} were set aside.")
    said.append(
        f"Paired scores were compared by the Wilcoxon signed-rank test {cite('wilcoxon')}, exact (all sign flips of "
        "midranks) and asymptotic (tie-corrected normal, no continuity correction), with the Hodges-Lehmann shift "
        f"{cite('hodges')}, its exact interval{intervals} and the matched-pairs rank-biserial correlation."
    )
    if "groups" in analyses:
        said.append(f"Groups were compared by the exact Mann-Whitney test {cite('mann')} and Cliff's delta.")
    if "detection" in analyses:
        said.append(
            "Regions with a finding were counted per person and compared by a sign-flip test over people, with the "
            f"interval of the mean that this test keeps {cite('hartigan')}, or from {FEWEST_PEOPLE} people on by "
            f"resampling people {cite('field')}."
        )
    if {"agreement", "reader_agreement"} & set(analyses):
        said.append(_agreement(cite, cohort))
    if {"hu_suv", "covariates"} & set(analyses):
        said.append(f"Correlations are Spearman's {cite('spearman')}.")
    said.append(
        "Values were summarised per person before any test, since deposits of one person are not independent"
        + (
            f"; linear mixed models with a random intercept a person {cite('laird')} look at deposits one by one."
            if "lesion_model" in analyses
            else "."
        )
    )
    if "change" in analyses:
        said.append(_change(cite, change))
    said.append("Beside each p stands the smallest that the number of people allows.")
    said.append(f"Exploratory p values were adjusted by Holm's method {cite('holm')} within each analysis.")
    said.append(_primary(cohort.get("primary")))
    return " ".join(text for text in said if text)
