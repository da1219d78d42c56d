"""What all rules share: the study's sheets and config, the code's fingerprint, and who was accepted."""

import csv
import sys
from pathlib import Path

REPOSITORY = Path(workflow.basedir)
sys.path.insert(0, str(REPOSITORY / "scripts"))

import yaml
from snakemake.exceptions import WorkflowError

from calciflow.config_file import read_config
from calciflow.errors import StudyError
from calciflow.fingerprint import fingerprint, load_memory, save_memory
from calciflow.forms import load_form
from calciflow.forms_path import find_form
from calciflow.maps.masks import files_of
from calciflow.maps.paths import check_patterns, find_map
from calciflow.resources import (
    index_memory_mb,
    index_runtime_min,
    memory_mb,
    runtime_min,
    voxels,
)
from calciflow.sheets import read_clinical_scores, read_participants, read_scans
from calciflow.sweeps import STAGES, sweep_runs
from calciflow.study import (
    edit_files,
    refresh_tokens,
    results_without_memory,
    scan_files,
    stray_edits,
)

try:
    SETTINGS = read_config(config)
    PEOPLE = read_participants(Path(SETTINGS.participants))
    SCANS = {scan.prefix: scan for scan in read_scans(Path(SETTINGS.scans), PEOPLE)}
    FORM = find_form(SETTINGS.scores.form, Path.cwd(), REPOSITORY)
    FORM_CONTENT = yaml.safe_load(Path(FORM).read_text(encoding="utf-8"))
    SWEEP = {trial.folder: trial for trial in sweep_runs(SETTINGS)}
    for trial in SWEEP.values():
        if trial.parameter == "scores.form":
            load_form(find_form(trial.value, Path.cwd(), REPOSITORY))
    FORM_REGIONS = {line.region for line in load_form(FORM).rows}
    check_patterns(SETTINGS.tissues.engine, SETTINGS.tissues.labelmaps)
    if SETTINGS.clinical_scores:
        read_clinical_scores(
            Path(SETTINGS.clinical_scores), SCANS.values(), FORM_REGIONS
        )
except StudyError as error:
    raise WorkflowError(f"the study cannot be read.\n{error}") from None

ENROLLED = {prefix: scan for prefix, scan in SCANS.items() if scan.exclude is None}
REFRESH = refresh_tokens(Path.cwd())
PIECES = (
    "lesions.tsv",
    "scores.tsv",
    "qc.html",
    "mip.png",
    "desc-candidates_lesions.json",
)

if results_without_memory(Path.cwd()):
    logger.warning(
        "Results are here, but not what Snakemake knew of them (.snakemake): they will be made again. To keep them, "
        "put the .snakemake folder of the run that made them beside them."
    )

for name in stray_edits(Path.cwd(), SCANS):
    logger.warning(
        f"edits/{name} belongs to no scan of {SETTINGS.scans}: it is not applied. Names are like "
        "sub-01_ses-01_lesions.tsv and sub-01_ses-01_desc-lesions_dseg.nii.gz."
    )


wildcard_constraints:
    sub="sub-[A-Za-z0-9]+",
    ses="ses-[A-Za-z0-9]+",
    scan="sub-[A-Za-z0-9]+_ses-[A-Za-z0-9]+(_acq-[A-Za-z0-9]+)?",
    modality="ct|pet",
    run="(lesions|compartments|scores)\\.[a-z0-9_]+=[A-Za-z0-9.,%+_-]+",
    task="total|tissuetypes|appendicularbones",


FINGERPRINTS = Path(".calciflow") / "fingerprints.json"
load_memory(FINGERPRINTS)


def code(shim):
    """Fingerprint of the code behind a shim: a change in it reruns the rule."""
    return fingerprint(REPOSITORY / "scripts" / shim, REPOSITORY / "scripts")


def settings(section, *keys):
    """The values of a section's keys; all keys if none is named."""
    values = getattr(SETTINGS, section).model_dump(mode="json")
    return {key: values[key] for key in keys} if keys else values


def form_content(name):
    """Content of a scoring form: a change in it, but for comments, reruns the scores."""
    form = find_form(name, Path.cwd(), REPOSITORY)
    return yaml.safe_load(Path(form).read_text(encoding="utf-8"))


def row(wildcards):
    """The scan's row of scans.tsv."""
    if wildcards.scan not in ENROLLED:
        raise WorkflowError(
            f"{wildcards.scan} is not in {SETTINGS.scans}, or excluded there."
        )
    return ENROLLED[wildcards.scan]


def sources(wildcards):
    """Paths of the scan's sources that exist; a missing one is a fault of this scan, found by index.

    They are no inputs to Snakemake: a folder that says it is from tomorrow would make the job fail, since what it
    wrote is older. That a source has changed is seen by `calciflow refresh`, not by its time.
    """
    return [path for path in row(wildcards).sources.values() if Path(path).exists()]


def identity(wildcards):
    return row(wildcards).identity


def path_of(scan, name):
    """A result file of a scan."""
    return f"results/{scan.participant_id}/{scan.session_id}/{scan.prefix}_{name}"


def image(path):
    """A large volume that later stages need and nobody else: kept where the user wants it."""
    return path if SETTINGS.keep_images else temp(path)


def voxels_of(wildcards):
    """Voxels of the scan's CT and PET, as index measured them."""
    return voxels(
        Path(f"results/{wildcards.sub}/{wildcards.ses}/{wildcards.scan}_screening.json")
    )


def stage_of(stage, wildcards):
    """The stage as calciflow.resources knows it: convert has a line for each modality."""
    return stage.format(modality=getattr(wildcards, "modality", ""))


def memory(stage):
    """Memory by the scan's size; more at each further try, after a job ran out of it."""
    return lambda wildcards, attempt: memory_mb(
        stage_of(stage, wildcards), voxels_of(wildcards), attempt
    )


def minutes(stage):
    """Time by the scan's size; more at each further try, after a job ran out of it."""
    return lambda wildcards, attempt: runtime_min(
        stage_of(stage, wildcards), voxels_of(wildcards), attempt
    )


def verdicts():
    """Rows of screening.tsv by prefix; Snakemake comes back here once it is written."""
    with open(
        checkpoints.screen.get().output.table, encoding="utf-8", newline=""
    ) as handle:
        rows = list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    key = lambda scan: (scan.participant_id, scan.session_id, scan.acquisition or "n/a")
    found = {
        (item["participant_id"], item["session_id"], item["acquisition"]): item
        for item in rows
    }
    return {
        prefix: found[key(scan)]
        for prefix, scan in ENROLLED.items()
        if key(scan) in found
    }


def accepted():
    """Accepted scans; those that are finished at this moment only, where the user allowed that."""
    scans = [
        SCANS[prefix]
        for prefix, item in verdicts().items()
        if item["verdict"] == "accepted"
    ]
    if SETTINGS.allow_incomplete:
        scans = [scan for scan in scans if finished(scan)]
    return scans


def finished(scan):
    return all(Path(path_of(scan, name)).exists() for name in PIECES)


def unfinished(wildcards):
    """Accepted scans that are left out of an incomplete cohort."""
    if not SETTINGS.allow_incomplete:
        return []
    names = [
        prefix for prefix, item in verdicts().items() if item["verdict"] == "accepted"
    ]
    return [prefix for prefix in names if not finished(SCANS[prefix])]


def every_scan_file(wildcards):
    """A file of every stage of every accepted scan."""
    names = scan_files(SETTINGS.keep_images)
    return [path_of(scan, name) for scan in accepted() for name in names]


def of_accepted(name):
    """Input function: one result file of every accepted scan."""
    return lambda wildcards: [path_of(scan, name) for scan in accepted()]


def suv_images_possible(wildcards):
    """SUV images of accepted scans, and of those that lack nothing but a CT."""
    if not SETTINGS.keep_images:
        raise WorkflowError(
            "suv_images makes images, and keep_images says to keep none: add --config keep_images=true"
        )
    return [
        path_of(SCANS[prefix], "desc-suvbw_pet.nii.gz")
        for prefix, item in verdicts().items()
        if item["verdict"] == "accepted" or item["code"] == "no_ct"
    ]


def crashed_in_index(wildcards):
    """A file that is never made for each scan whose index hit a bug: the run ends with an error, and tries it again."""
    return [
        f"logs/{SCANS[prefix].participant_id}/{SCANS[prefix].session_id}/{prefix}_internal.done"
        for prefix, item in verdicts().items()
        if item["code"] == "internal"
    ]


SEGMENT_TASKS = {name.replace("_", ""): name for name in SETTINGS.segment.tasks}


def foreign_maps(wildcards):
    """Kind and path of each map of another program, in the order that they count."""
    if SETTINGS.tissues.engine == "totalsegmentator":
        name = "results/{sub}/{ses}/{scan}_space-ct_seg-{task}_dseg.nii.gz"
        return [
            (f"totalsegmentator_{kind}", name.format(**wildcards, task=task))
            for task, kind in SEGMENT_TASKS.items()
        ]
    if SETTINGS.tissues.engine == "labelmap":
        patterns = SETTINGS.tissues.labelmaps.items()
        return [(kind, find_map(text, row(wildcards))) for kind, text in patterns]
    return []


def foreign_map_files(wildcards):
    """Their files. One that is missing is a fault of this scan, which its job explains."""
    found = foreign_maps(wildcards)
    if SETTINGS.tissues.engine == "totalsegmentator":
        return [path for _, path in found]
    return [file for _, path in found for file in files_of(path)]


def mode_has_field():
    return SETTINGS.register.mode == "limbs"


def edits_and_images(wildcards):
    """A reader's edits of a scan, with the images that applying them takes; nothing where there are none."""
    found = edit_files(Path.cwd(), wildcards.scan)
    if not found:
        return {}
    names = {
        "ct": "ct.nii.gz",
        "ct_json": "ct.json",
        "suv": "desc-suvbw_pet.nii.gz",
        "tissues": "space-ct_desc-tissues_dseg.nii.gz",
        "regions": "space-ct_desc-regions_dseg.nii.gz",
        "anatomy": "space-ct_desc-tissues.json",
        "xfm": "from-pet_to-ct_xfm.tfm",
        "xfm_json": "from-pet_to-ct_xfm.json",
    }
    images = {key: path_of(row(wildcards), name) for key, name in names.items()}
    return {**found, **images, **displacement(wildcards)}


def displacement(wildcards):
    """The limb-wise displacement field, where the mode makes one."""
    if not mode_has_field():
        return {}
    return {
        "field": f"results/{wildcards.sub}/{wildcards.ses}/{wildcards.scan}_from-pet_to-ct_xfm.nii.gz"
    }


def words_of_sheets():
    """What the user chose to stand in results: labels, sessions, groups, named covariates, reasons of exclusion."""
    chosen = {
        word
        for scan in SCANS.values()
        for word in (*scan.identity.values(), scan.exclude)
        if word
    }
    columns = ("group", *SETTINGS.cohort.covariates)
    return sorted(
        chosen
        | {person.get(name, "") for person in PEOPLE.values() for name in columns}
    )


def identifier_lists():
    """The private files in which index listed identifiers, of all enrolled scans."""
    return [
        f"private/{scan.participant_id}/{scan.session_id}/{prefix}_selection.json"
        for prefix, scan in ENROLLED.items()
    ]


def audit_what_is_there():
    from calciflow.audit import audit_study

    lists = [path for path in identifier_lists() if Path(path).exists()]
    labels = words_of_sheets()
    try:
        audit_study(
            identifiers=lists,
            told=None,
            private="private/audit.tsv",
            labels=labels,
            ignore=SETTINGS.audit.ignore,
        )
    except StudyError as error:
        logger.error(str(error))
