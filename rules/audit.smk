# Last of all: searches results and logs for what identifies the people in the sources, and fails if it finds any.
rule audit:
    input:
        every_scan_file,
        "results/dataset_description.json",
        "results/report.html",
        identifiers=identifier_lists(),
    output:
        told="results/audit.json",
    log:
        "logs/audit.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=code("audit.py"),
        labels=words_of_sheets(),
        ignore=SETTINGS.audit.ignore,
        private="private/audit.tsv",
    message:
        "searching results and logs for identifiers"
    script:
        "../scripts/audit.py"
