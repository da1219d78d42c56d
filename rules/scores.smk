rule scores:
    input:
        table="results/{sub}/{ses}/{scan}_lesions.tsv",
        findings="results/{sub}/{ses}/{scan}_desc-candidates_lesions.json",
        form=FORM,
    output:
        scores="results/{sub}/{ses}/{scan}_scores.tsv",
    log:
        "logs/{sub}/{ses}/{scan}_scores.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code("scores.py"),
        scan=identity,
    message:
        "{wildcards.scan}: scoring"
    script:
        "../scripts/scores.py"
