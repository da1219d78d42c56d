checkpoint screen:
    input:
        screenings=[path_of(scan, "screening.json") for scan in ENROLLED.values()],
    output:
        table="results/screening.tsv",
    log:
        "logs/screen.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        code=code("screen.py"),
        scans=[{**scan.identity, "exclude": scan.exclude} for scan in SCANS.values()],
    message:
        "screening all scans"
    script:
        "../scripts/screen.py"
