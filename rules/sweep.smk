"""One parameter at a time: each value of the config's `sweep` in results/sweep/NAME=VALUE, on shared earlier steps."""


use rule lesions as sweep_lesions with:
    output:
        lesions="results/sweep/{run}/{sub}/{ses}/{scan}_space-ct_desc-candidates_dseg.nii.gz",
        candidates="results/sweep/{run}/{sub}/{ses}/{scan}_desc-candidates_lesions.tsv",
        findings="results/sweep/{run}/{sub}/{ses}/{scan}_desc-candidates_lesions.json",
    log:
        "logs/sweep/{run}/{sub}/{ses}/{scan}_lesions.log",
    params:
        code=code("lesions.py"),
        scan=identity,
        settings=swept_settings("lesions"),
    message:
        "{wildcards.run}, {wildcards.scan}: finding deposits and foci"


use rule compartments as sweep_compartments with:
    input:
        ct="results/{sub}/{ses}/{scan}_ct.nii.gz",
        tissues="results/{sub}/{ses}/{scan}_space-ct_desc-tissues_dseg.nii.gz",
        regions="results/{sub}/{ses}/{scan}_space-ct_desc-regions_dseg.nii.gz",
        anatomy="results/{sub}/{ses}/{scan}_space-ct_desc-tissues.json",
        lesions=swept("space-ct_desc-candidates_dseg.nii.gz"),
        candidates=swept("desc-candidates_lesions.tsv"),
        xfm_json="results/{sub}/{ses}/{scan}_from-pet_to-ct_xfm.json",
    output:
        table="results/sweep/{run}/{sub}/{ses}/{scan}_desc-machine_lesions.tsv",
    log:
        "logs/sweep/{run}/{sub}/{ses}/{scan}_compartments.log",
    params:
        code=code("compartments.py"),
        settings=swept_settings("compartments"),
    message:
        "{wildcards.run}, {wildcards.scan}: placing lesions in compartments"


use rule scores as sweep_scores with:
    input:
        table=swept("desc-machine_lesions.tsv"),
        findings=swept("desc-candidates_lesions.json"),
    output:
        scores="results/sweep/{run}/{sub}/{ses}/{scan}_scores.tsv",
    log:
        "logs/sweep/{run}/{sub}/{ses}/{scan}_scores.log",
    params:
        code=code("scores.py"),
        scan=identity,
        form=swept_form,
        form_content=lambda wildcards: form_content(swept_form(wildcards)),
    message:
        "{wildcards.run}, {wildcards.scan}: scoring"


use rule cohort as sweep_cohort with:
    input:
        screening="results/screening.tsv",
        tables=swept_accepted("desc-machine_lesions.tsv"),
        scores=swept_accepted("scores.tsv"),
        findings=swept_accepted("desc-candidates_lesions.json"),
        participants=SETTINGS.participants,
        clinical_scores=SETTINGS.clinical_scores or [],
    output:
        lesions_out="results/sweep/{run}/cohort/lesions.tsv",
        scores_out="results/sweep/{run}/cohort/scores.tsv",
        participants_out="results/sweep/{run}/cohort/participants.tsv",
        statistics_out="results/sweep/{run}/cohort/statistics.tsv",
        comparison_out="results/sweep/{run}/cohort/comparison.tsv",
    log:
        "logs/sweep/{run}/cohort.log",
    params:
        code=code("cohort.py"),
        settings=settings("cohort"),
    message:
        "{wildcards.run}: summarising the cohort"


rule sweep:
    input:
        participants=every_run("participants"),
        statistics=every_run("statistics"),
    output:
        table="results/sweep/sweep.tsv",
    log:
        "logs/sweep.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code("sweep.py"),
        runs=[
            {"parameter": trial.parameter, "value": trial.text, "own": trial.own}
            for trial in SWEEP.values()
        ],
    message:
        "comparing the runs of the sweep"
    script:
        "../scripts/sweep.py"
