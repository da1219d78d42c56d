rule course:
    input:
        participants=SETTINGS.participants,
        tables=of_follow_ups("desc-change_lesions.tsv"),
        reports=of_follow_ups("desc-change_lesions.json"),
    output:
        changes="results/cohort/change.tsv",
        course="results/cohort/course.tsv",
        figure=report(
            "results/cohort/figures/change.svg",
            caption="../report/figures.rst",
            category="Figures",
        ),
        figure_table="results/cohort/figures/change.tsv",
    log:
        "logs/course.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code("course.py"),
        pairs=lambda wildcards: [
            (earlier.session_id, scan.session_id) for scan, earlier in follow_ups()
        ],
        settings=settings("cohort", "exclude_flags"),
    message:
        "summarising changes over time"
    script:
        "../scripts/course.py"
