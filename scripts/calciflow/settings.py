"""Every setting of the workflow: its default, unit and description, in this one place.

``config/config.yaml`` (commented), ``config/schema.json`` and the tables of ``config/README.md`` are generated from
these models; a test fails when they drift apart. No stage imports this module: a rule passes what a stage uses.
"""

import warnings
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# "register" is a stage's name here; that pydantic's metaclass has an attribute of this name does no harm.
warnings.filterwarnings("ignore", message='Field name "register"', category=UserWarning)

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A section of the config: unknown keys and values of the wrong type are errors."""

    model_config = ConfigDict(extra="forbid", strict=False, frozen=True)


def setting(default: Any, unit: str, description: str) -> Any:
    """Declare a setting; ``unit`` is ``-`` where there is none."""
    return Field(default, description=description, json_schema_extra={"unit": unit})


class Convert(Section):
    """Volumes from DICOM."""


class Suv(Section):
    """Standardised uptake values."""

    tracer: Literal["warn", "refuse", "ignore"] = setting(
        "warn", "-", "What to do with a PET whose header does not say 18F-fluoride."
    )
    dose_range_mbq: tuple[Positive, Positive] = setting(
        (15.0, 1000.0), "MBq", "Injected activity outside this range is refused as a typing error."
    )
    max_uptake_hours: Positive = setting(6.0, "h", "A longer time from injection to scan is refused.")


class Register(Section):
    """PET to CT."""


class Tissues(Section):
    """Tissue and region maps."""


class Lesions(Section):
    """Deposits on CT, foci on PET, and their matching."""


class Compartments(Section):
    """Each lesion's tissue and region."""


class Scores(Section):
    """The scoring form."""


class Cohort(Section):
    """Tables and statistics over all accepted scans."""


class Report(Section):
    """The cohort's report."""


class Config(Section):
    """A study's config."""

    participants: str = setting("config/participants.tsv", "path", "Sheet of the people, relative to the study.")
    scans: str = setting("config/scans.tsv", "path", "Sheet of the scans, relative to the study.")
    clinical_scores: str | None = setting(None, "path", "Sheet of the clinicians' scores; none by default.")
    allow_incomplete: bool = setting(
        False, "-", "Summarise the scans that are finished at this moment, although others failed."
    )
    convert: Convert = Convert()
    suv: Suv = Suv()
    register: Register = Register()
    tissues: Tissues = Tissues()
    lesions: Lesions = Lesions()
    compartments: Compartments = Compartments()
    scores: Scores = Scores()
    cohort: Cohort = Cohort()
    report: Report = Report()
