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
LabelMap = Literal[
    "totalsegmentator_total",
    "totalsegmentator_v1_total",
    "totalsegmentator_tissue_types",
    "totalsegmentator_tissue_4_types",
    "totalsegmentator_appendicular_bones",
    "totalsegmentator_body",
    "moose_body",
    "moose_body_composition",
    "moose_cardiac",
    "moose_digestive",
    "moose_lungs",
    "moose_muscles",
    "moose_organs",
    "moose_peripheral_bones",
    "moose_ribs",
    "moose_vertebrae",
    "boa_body_regions",
    "boa_tissues",
    "boa_body_parts",
]
"""Kinds of maps of other programs: the tables of ``maps/labels.tsv``; a test holds the two together."""


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

    mode: Literal["header", "rigid", "limbs"] = setting(
        "limbs",
        "-",
        "`header`: the scanner's own alignment; `rigid`: correct the whole body where that provably helps; `limbs`: "
        "then each limb on its own.",
    )
    block_mm: Annotated[float, Field(ge=2, le=8)] = setting(
        5.0, "mm", "The CT is averaged over blocks of about this size for registration."
    )
    max_shift_mm: Positive = setting(20.0, "mm", "A correction that shifts the body's centre more is rejected.")
    max_rotation_deg: Positive = setting(6.0, "degrees", "A correction that turns the body more is rejected.")
    min_shift_mm: Annotated[float, Field(ge=0)] = setting(
        1.0, "mm", "A whole-body correction that moves 95 % of the body less is not needed."
    )
    min_limb_shift_mm: Annotated[float, Field(ge=0)] = setting(
        2.0, "mm", "A limb nearer to its uptake needs no correction (mode `limbs`)."
    )
    max_limb_shift_mm: Positive = setting(25.0, "mm", "A limb's correction that is longer is rejected (mode `limbs`).")
    tolerance_mm: Annotated[float, Field(ge=0)] = setting(
        3.0,
        "mm",
        "A region whose skeleton lies further from its uptake is reported as misregistered; CT and PET findings of one "
        "deposit may lie this far apart.",
    )


class Segment(Section):
    """TotalSegmentator, where `tissues.engine` asks for it."""

    command: str = setting(
        "TotalSegmentator",
        "-",
        "The installed program: its name, its path, or a command that starts it in its own environment, as "
        "`conda run -n totalseg TotalSegmentator`.",
    )
    tasks: tuple[Literal["total", "tissue_types", "appendicular_bones"], ...] = setting(
        ("total",),
        "-",
        "Tasks to run; where two of them label a voxel, the first named counts. tissue_types and appendicular_bones "
        "need a licence number (free for non-commercial use).",
    )
    device: Literal["cpu", "gpu"] = setting("cpu", "-", "Where to compute; gpu asks the cluster for one.")
    model: Literal["normal", "fast", "fastest"] = setting(
        "normal",
        "-",
        "Resolution of the task total: 1.5, 3 or 6 mm; a whole body at 1.5 mm takes hours without a GPU. 6 mm is too "
        "coarse for fingers.",
    )


class Tissues(Section):
    """Tissue and region maps."""

    engine: Literal["builtin", "labelmap", "totalsegmentator"] = setting(
        "builtin",
        "-",
        "What makes the maps. builtin: from the CT alone; labelmap: from the files that labelmaps names; "
        "totalsegmentator: runs that program (section segment). The built-in step fills in what a map lacks.",
    )
    labelmaps: dict[LabelMap, str] = setting(
        {},
        "-",
        "Where the maps of other programs lie, by kind of map: a path, relative to the study, with {participant_id}, "
        "{session_id}, {acquisition}, {scan} or {labelmap} (a column of scans.tsv) in it; a file or a folder of masks. "
        "Where several label a voxel, the first named counts.",
    )
    grid_mm: Annotated[float, Field(ge=2, le=8)] = setting(
        4.0, "mm", "Block size of the coarse grid on which outline, soft tissue and regions are found."
    )


class Lesions(Section):
    """Deposits on CT, foci on PET, and their matching."""

    hu_floor: Positive = setting(
        130.0,
        "HU",
        "Lowest threshold for calcium at 120 kVp; raised where the CT is noisier and at lower kVp.",
    )
    noise_factor: Annotated[float, Field(ge=0)] = setting(
        4.0, "-", "The CT threshold lies at least that many standard deviations of the noise above muscle (50 HU)."
    )
    min_volume_ml: Annotated[float, Field(ge=0)] = setting(
        0.005, "ml", "Smaller CT deposits are left out; that noise passes for a deposit is tested apart from it."
    )
    merge_mm: Annotated[float, Field(ge=0)] = setting(
        2.0, "mm", "Pieces of calcium with a smaller gap between them are one deposit."
    )
    hydroxyapatite_mg_per_hu_ml: Positive | None = setting(
        None,
        "mg/(HU ml)",
        "Calibration of the CT by a hydroxyapatite phantom, at the kVp of the scans. None: 0.8 x kVp / 120 is assumed, "
        "and the mass is marked as uncalibrated.",
    )
    pet_threshold: Literal["relative", "SUV10", "SUV15", "41%", "50%", "absolute"] = setting(
        "relative",
        "-",
        "What counts as uptake. relative: above local background and blood pool, drawn at half height; 41% and 50%: "
        "found likewise, drawn at that share of the maximum; SUV10, SUV15, absolute: a fixed SUV (the first two are "
        "meant for bone lesions).",
    )
    suv_absolute: Positive = setting(4.0, "g/ml", "The SUV of pet_threshold: absolute.")
    pet_rise: Annotated[float, Field(ge=0)] = setting(
        0.3,
        "blood pools",
        "Uptake must rise above its local background by at least that share of the blood pool's SUV.",
    )
    pet_z: Positive = setting(
        5.2, "SD", "Uptake must rise above its local background by that many standard deviations of the filtered noise."
    )
    pet_min_volume_ml: Annotated[float, Field(ge=0)] = setting(
        0.05, "ml", "Smaller foci are left out: a point source fills 0.1 ml at half height."
    )
    pet_fwhm_mm: Positive | None = setting(
        None, "mm", "Resolution of the reconstructed PET. None: as the suv stage estimated or assumed it."
    )
    tolerance_mm: Annotated[float, Field(ge=0)] | None = setting(
        None, "mm", "Distance that PET and CT may be apart after registration. None: what the registration measured."
    )
    bone_spill_max: Fraction = setting(
        0.5,
        "fraction",
        "Where bone's blurred uptake makes up more of the uptake at a CT deposit, its PET status is indeterminate; "
        "without a deposit it is no lesion.",
    )
    suv_peak: Literal["percist", "ibsi"] = setting(
        "percist", "-", "Definition of the column suv_peak; both stand in columns of their own."
    )
    positive_z: Positive = setting(
        3.0, "SE", "Uptake fitted in a deposit's footprint counts as positive from that many standard errors on."
    )
    negative_ratio: Positive = setting(
        2.5,
        "blood pools",
        "A deposit without visible uptake is negative if its true SUV surely lies below that many times the blood "
        "pool's; otherwise it is indeterminate.",
    )
    injection_sites: tuple[str, ...] = setting(
        (), "-", "Regions with side, as left elbow, where uptake without calcification is taken for the injection."
    )


class Compartments(Section):
    """Each lesion's tissue and region."""

    shell_mm: Positive = setting(3.0, "mm", "Thickness of the shell around a lesion whose tissues decide.")
    capsule_mm: Annotated[float, Field(ge=0)] = setting(
        3.0, "mm", "A lesion that near to a joint's capsule, and deep to fat, is periarticular."
    )
    midline_mm: Annotated[float, Field(ge=0)] = setting(
        15.0, "mm", "A lesion of head, neck or trunk that near to the middle plane has the side midline."
    )


class Scores(Section):
    """The scoring form."""

    form: str = setting(
        "extent",
        "-",
        "Scoring form: a name (config/forms/NAME.yaml, looked for in the study, then in the repository). extent, "
        "presence and activity come with calciflow; all are the project's own.",
    )


class Change(Section):
    """Two sessions of one person."""

    match_mm: Annotated[float, Field(ge=0)] = setting(
        8.0,
        "mm",
        "Lesions of two sessions are the same if their outlines come that near after registration, and as near as its "
        "residual where that is worse.",
    )
    suv_max_limits: tuple[Positive, Positive] = setting(
        (0.76, 1.32),
        "ratio",
        "Later over earlier SUVmax that repeating the scan alone gives (Lin et al. 2016: bone lesions, SUV > 15, > 1.5 "
        "cm3: borrowed).",
    )
    suv_mean_limits: tuple[Positive, Positive] = setting(
        (0.88, 1.14), "ratio", "The same of SUVmean (borrowed likewise)."
    )
    tlf_limits: tuple[Positive, Positive] = setting(
        (0.63, 1.71), "ratio", "The same of the total lesion fluoride (borrowed likewise)."
    )


class Cohort(Section):
    """Tables and statistics over all accepted scans."""

    primary: tuple[str, str, str] = setting(
        ("total_score", "petct", "clinical"),
        "-",
        "The one comparison named beforehand: outcome, group_a, group_b as in statistics.tsv; the rest is exploratory.",
    )
    ci_level: Annotated[float, Field(gt=0.5, lt=1)] = setting(
        0.95, "fraction", "Confidence level of intervals; where n is too small to reach it, the interval is n/a."
    )
    groups: tuple[str, ...] = setting(
        (), "-", "Groups to compare two by two, in this order; none named: all groups of the sheet, by the alphabet."
    )
    covariates: tuple[str, ...] = setting(
        (), "-", "Columns of the people's sheet to relate to scores and burden; only these reach the results."
    )
    exclude_flags: tuple[str, ...] = setting(
        ("possible myositis",),
        "-",
        "Lesions with one of these flags stay out of burden and statistics; their number is given apart.",
    )
    session: Literal["first", "last"] = setting(
        "first", "-", "The session that speaks for a person where there are several."
    )
    kappa_weights: Literal["linear", "quadratic"] = setting("quadratic", "-", "Weights of kappa.")
    correlation_min_ml: Positive = setting(
        1.0, "ml", "Smallest CT volume of a lesion for HU against SUV: below, partial volume makes them correlate."
    )


class Report(Section):
    """The cohort's report."""

    title: str = setting("Calcinosis on 18F-NaF PET/CT", "-", "Heading of the report; no names of people.")
    max_lesion_rows: Annotated[int, Field(ge=0)] = setting(
        2000, "rows", "Lesions in the report's table; all of them are in results/cohort/lesions.tsv."
    )


class Audit(Section):
    """The search of results and logs for identifiers of the sources."""

    ignore: tuple[str, ...] = setting(
        (),
        "-",
        "Words that the sources' headers hold and that may stand in results all the same, since they name nobody.",
    )


class Config(Section):
    """A study's config."""

    participants: str = setting("config/participants.tsv", "path", "Sheet of the people, relative to the study.")
    scans: str = setting("config/scans.tsv", "path", "Sheet of the scans, relative to the study.")
    clinical_scores: str | None = setting(None, "path", "Sheet of the clinicians' scores; none by default.")
    allow_incomplete: bool = setting(
        False, "-", "Summarise the scans that are finished at this moment, although others failed."
    )
    keep_images: bool = setting(
        True,
        "-",
        "Keep each scan's CT, PET and SUV volumes. false removes them once nothing needs them any more: 5 MB stay of a "
        "whole body's 50 to 350 MB, but then a change to a scan starts at its conversion.",
    )
    sweep: dict[str, tuple[Any, ...]] = setting(
        {},
        "-",
        "Values to try beside the study's own, one parameter at a time, such as {lesions.hu_floor: [100, 200], "
        "lesions.pet_threshold: [41%, SUV10]}; keys of lesions, compartments and scores. Each runs in "
        "results/sweep/NAME=VALUE, without readers' edits, and the report shows how the answer moves.",
    )
    convert: Convert = Convert()
    suv: Suv = Suv()
    register: Register = Register()
    segment: Segment = Segment()
    tissues: Tissues = Tissues()
    lesions: Lesions = Lesions()
    compartments: Compartments = Compartments()
    scores: Scores = Scores()
    change: Change = Change()
    cohort: Cohort = Cohort()
    report: Report = Report()
    audit: Audit = Audit()
