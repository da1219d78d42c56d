rule report:
    input:
        screening="results/screening.tsv",
        lesions="results/cohort/lesions.tsv",
        scores="results/cohort/scores.tsv",
        participants="results/cohort/participants.tsv",
        statistics="results/cohort/statistics.tsv",
        comparison="results/cohort/comparison.tsv",
        figures=expand("results/cohort/figures/{name}.svg", name=FIGURES),
        figure_tables=expand("results/cohort/figures/{name}.tsv", name=FIGURES),
        mips=of_accepted("mip.png"),
        pages=of_accepted("qc.html"),
        findings=of_accepted("desc-candidates_lesions.json"),
        records=of_accepted("desc-review_lesions.tsv"),
        reviews=of_accepted("desc-review_lesions.json"),
        sweep="results/sweep/sweep.tsv" if SWEEP else [],
        changes="results/cohort/change.tsv",
        course="results/cohort/course.tsv",
        change_figure="results/cohort/figures/change.svg",
        follow_ups=of_follow_ups("desc-change_lesions.json"),
        screenings=of_accepted("screening.json"),
        suv=of_accepted("desc-suvbw_pet.json"),
        registrations=of_accepted("from-pet_to-ct_xfm.json"),
    output:
        page=report(
            "results/report.html", caption="../report/report.rst", category="Report"
        ),
    log:
        "logs/report.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=15,
    params:
        code=code("report.py"),
        parameters=SETTINGS.model_dump(mode="json"),
        form_content=FORM_CONTENT,
        unfinished=unfinished,
        stray_edits=stray_edits(Path.cwd(), SCANS),
    message:
        "writing the report"
    script:
        "../scripts/report.py"


rule dataset:
    output:
        description="results/dataset_description.json",
    log:
        "logs/dataset.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=300,
        runtime=5,
    params:
        code=code("dataset.py"),
    message:
        "describing the result folder"
    script:
        "../scripts/dataset.py"
