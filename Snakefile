"""calciflow: from hospital DICOM to a cohort's answer about calcinosis. One stage, one file in rules/."""

from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/index.smk"
include: "rules/screen.smk"
include: "rules/convert.smk"
include: "rules/suv.smk"
include: "rules/segment.smk"
include: "rules/tissues.smk"
include: "rules/register.smk"
include: "rules/lesions.smk"
include: "rules/compartments.smk"
include: "rules/review.smk"
include: "rules/scores.smk"
include: "rules/qc.smk"
include: "rules/cohort.smk"
include: "rules/change_common.smk"
include: "rules/change.smk"
include: "rules/course.smk"
include: "rules/sweep_common.smk"
include: "rules/sweep.smk"
include: "rules/report.smk"
include: "rules/audit.smk"


# A run that fails has no audit at its end; its logs and results are looked through all the same.
onerror:
    audit_what_is_there()


save_memory(FINGERPRINTS)


# Small enough for a login node: a queue would cost more.
localrules:
    all,
    screening,
    suv_images,
    screen,
    dataset,
    internal,


rule all:
    default_target: True
    input:
        "results/dataset_description.json",
        "results/report.html",
        "results/audit.json",
        every_scan_file,
        crashed_in_index,
    message:
        "the study is complete"


rule screening:
    input:
        "results/screening.tsv",
    message:
        "the sources are screened"


# SUV images alone: also of scans that lack nothing but a CT.
rule suv_images:
    input:
        suv_images_possible,
    message:
        "the SUV images are there"
