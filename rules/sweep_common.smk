"""What the rules of a sweep share: which of its runs a file belongs to, and with which settings."""

SWEPT_STAGE = {
    "space-ct_desc-candidates_dseg.nii.gz": "lesions",
    "desc-candidates_lesions.tsv": "lesions",
    "desc-candidates_lesions.json": "lesions",
    "desc-machine_lesions.tsv": "compartments",
    "scores.tsv": "scores",
}
"""The stage that makes a file: it is shared by the runs of every parameter that comes into play later."""


def run_of(wildcards):
    if wildcards.run not in SWEEP:
        raise WorkflowError(
            f"results/sweep/{wildcards.run}: not in the config's sweep."
        )
    return SWEEP[wildcards.run]


def swept_file(trial, scan, name):
    """A scan's file in a run: the study's own where the run's parameter has no part in it. Scores are always the
    run's, since those of the study are of lesions that a reader may have edited."""
    stage = SWEPT_STAGE[name]
    later = STAGES.index(stage) >= STAGES.index(trial.section)
    folder = f"results/sweep/{trial.folder}"
    if stage != "scores" and (trial.own or not later):
        folder = "results"
    return f"{folder}/{path_of(scan, name).removeprefix('results/')}"


def swept(name):
    """Input function: one scan's file."""
    return lambda wildcards: swept_file(run_of(wildcards), row(wildcards), name)


def swept_accepted(name):
    """Input function: a file of every accepted scan."""
    return lambda wildcards: [
        swept_file(run_of(wildcards), scan, name) for scan in accepted()
    ]


def swept_settings(section):
    """A stage's settings in a run."""

    def given(wildcards):
        trial = run_of(wildcards)
        own = settings(section)
        return {**own, trial.name: trial.value} if trial.section == section else own

    return given


def swept_form(wildcards):
    return swept_settings("scores")(wildcards)["form"]


def every_run(name):
    """A table of the cohort, of every run."""
    return [f"results/sweep/{folder}/cohort/{name}.tsv" for folder in SWEEP]
