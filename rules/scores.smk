rule scores:
    input:
        table="results/{sub}/{ses}/{scan}_lesions.tsv",
        findings="results/{sub}/{ses}/{scan}_desc-candidates_lesions.json",
    output:
        scores="results/{sub}/{ses}/{scan}_scores.tsv",
    log:
        "logs/{sub}/{ses}/{scan}_scores.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=memory("scores"),
        runtime=minutes("scores"),
    params:
        code=code("scores.py"),
        scan=identity,
        form=SETTINGS.scores.form,
        form_content=FORM_CONTENT,
    message:
        "{wildcards.scan}: scoring"
    script:
        "../scripts/scores.py"
