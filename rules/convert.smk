rule convert:
    input:
        selection="private/{sub}/{ses}/{scan}_selection.json",
    output:
        volume=image("results/{sub}/{ses}/{scan}_{modality}.nii.gz"),
        sidecar="results/{sub}/{ses}/{scan}_{modality}.json",
    log:
        "logs/{sub}/{ses}/{scan}_convert-{modality}.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=memory("convert-{modality}"),
        runtime=minutes("convert-{modality}"),
    params:
        code=code("convert.py"),
    message:
        "{wildcards.scan}: converting the {wildcards.modality}"
    script:
        "../scripts/convert.py"
