rule suv:
    input:
        selection="private/{sub}/{ses}/{scan}_selection.json",
        pet="results/{sub}/{ses}/{scan}_pet.nii.gz",
        pet_json="results/{sub}/{ses}/{scan}_pet.json",
    output:
        suv=image("results/{sub}/{ses}/{scan}_desc-suvbw_pet.nii.gz"),
        suv_json="results/{sub}/{ses}/{scan}_desc-suvbw_pet.json",
    log:
        "logs/{sub}/{ses}/{scan}_suv.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=memory("suv"),
        runtime=minutes("suv"),
    params:
        code=code("suv.py"),
        overrides=lambda wildcards: row(wildcards).overrides,
        settings=settings("suv"),
    message:
        "{wildcards.scan}: normalising to SUV"
    script:
        "../scripts/suv.py"
