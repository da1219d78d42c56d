FIGURES = ("scores", "agreement", "burden", "regions", "uptake")


rule cohort:
    input:
        screening="results/screening.tsv",
        tables=of_accepted("lesions.tsv"),
        scores=of_accepted("scores.tsv"),
        findings=of_accepted("desc-candidates_lesions.json"),
        participants=SETTINGS.participants,
        clinical_scores=SETTINGS.clinical_scores or [],
    output:
        lesions_out=report(
            "results/cohort/lesions.tsv",
            caption="../report/lesions.rst",
            category="Tables",
        ),
        scores_out=report(
            "results/cohort/scores.tsv",
            caption="../report/scores.rst",
            category="Tables",
        ),
        participants_out="results/cohort/participants.tsv",
        statistics_out=report(
            "results/cohort/statistics.tsv",
            caption="../report/statistics.rst",
            category="Tables",
        ),
        comparison_out="results/cohort/comparison.tsv",
        figures=report(
            expand("results/cohort/figures/{name}.svg", name=FIGURES),
            caption="../report/figures.rst",
            category="Figures",
        ),
        figure_tables=expand("results/cohort/figures/{name}.tsv", name=FIGURES),
    log:
        "logs/cohort.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    params:
        code=code("cohort.py"),
        settings=settings("cohort"),
    message:
        "summarising the cohort"
    script:
        "../scripts/cohort.py"
