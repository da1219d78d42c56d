"""Which parameter values a study tries beside its own: the config's ``sweep``, one run for each value."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from calciflow.errors import StudyError
from calciflow.settings import Config

STAGES = ("lesions", "compartments", "scores")
"""Sections whose keys can be swept, in the order of the workflow: what comes before them is shared by all runs."""

_PLAIN = re.compile(r"[A-Za-z0-9.,%+_-]+")


@dataclass(frozen=True)
class Run:
    """One value of one parameter.

    Attributes
    ----------
    parameter
        Dotted key, such as ``lesions.hu_floor``.
    value
        The value as the stage takes it.
    text
        The value as a folder's name and a table's cell.
    own
        Whether it is the study's own value: its results are those of the study before a reader's edits.
    """

    parameter: str
    value: Any
    text: str
    own: bool

    @property
    def section(self) -> str:
        """Section of the key, which is the first stage that runs again."""
        return self.parameter.split(".")[0]

    @property
    def name(self) -> str:
        """The key inside its section."""
        return self.parameter.split(".")[1]

    @property
    def folder(self) -> str:
        """Name of the run's folder in ``results/sweep``."""
        return f"{self.parameter}={self.text}"


def sweep_runs(config: Config, name: str = "config/config.yaml") -> list[Run]:
    """Runs of a study, in the order of the config; the study's own value is among those of each parameter.

    Raises
    ------
    StudyError
        For a key that does not exist or cannot be swept, and for a value that the key does not take.
    """
    runs: list[Run] = []
    for parameter, values in config.sweep.items():
        section, _, key = parameter.partition(".")
        if section not in STAGES or key not in type(getattr(config, section)).model_fields:
            known = [f"{stage}.{own}" for stage in STAGES for own in type(getattr(config, stage)).model_fields]
            near = difflib.get_close_matches(parameter, known, 1)
            meant = f"Is `{near[0]}` meant?" if near else f"Keys of {', '.join(STAGES)} can be."
            raise StudyError(f"{name}: key `sweep`: `{parameter}` cannot be swept. {meant}")
        own = Run(parameter, *_checked(getattr(config, section), parameter, key, None, name), True)
        found = [own]
        for value in values:
            run = Run(parameter, *_checked(getattr(config, section), parameter, key, {"value": value}, name), False)
            if run.text not in {other.text for other in found}:
                found.append(run)
        if all(isinstance(run.value, int | float) for run in found):
            found.sort(key=lambda run: float(run.value))
        runs += found
    return runs


def _checked(
    section: BaseModel, parameter: str, key: str, given: Mapping[str, Any] | None, name: str
) -> tuple[Any, str]:
    """A value as its stage takes it, and as a folder's name; the section's own without one."""
    content = section.model_dump(mode="json")
    if given is not None:
        try:
            content = type(section).model_validate({**content, key: given["value"]}).model_dump(mode="json")
        except ValidationError as error:
            said = error.errors()[0]["msg"]
            raise StudyError(f"{name}: key `sweep`: {given['value']!r} is no `{parameter}`. {said}.") from None
    value = content[key]
    text = _text(value)
    if not _PLAIN.fullmatch(text):
        raise StudyError(f"{name}: key `sweep`: `{text}` of `{parameter}` cannot be the name of a folder.")
    return value, text


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:.10g}"
    if isinstance(value, list | tuple):
        return ",".join(_text(item) for item in value) or "none"
    return str(value).replace(" ", "_").replace("/", "_")
