rule review:
    input:
        unpack(edits_and_images),
        candidates_map="results/{sub}/{ses}/{scan}_space-ct_desc-candidates_dseg.nii.gz",
        machine="results/{sub}/{ses}/{scan}_desc-machine_lesions.tsv",
        findings="results/{sub}/{ses}/{scan}_desc-candidates_lesions.json",
    output:
        lesions="results/{sub}/{ses}/{scan}_space-ct_desc-lesions_dseg.nii.gz",
        table="results/{sub}/{ses}/{scan}_lesions.tsv",
        record="results/{sub}/{ses}/{scan}_desc-review_lesions.tsv",
        summary="results/{sub}/{ses}/{scan}_desc-review_lesions.json",
    log:
        "logs/{sub}/{ses}/{scan}_review.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        # With a reader's edits, it holds the images that `lesions` holds.
        mem_mb=memory("lesions"),
        runtime=minutes("lesions"),
    params:
        code=code("review.py"),
        scan=identity,
        rules=settings("lesions"),
        places=settings("compartments"),
    message:
        "{wildcards.scan}: applying a reader's edits"
    script:
        "../scripts/review.py"
