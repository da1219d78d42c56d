rule register:
    input:
        ct="results/{sub}/{ses}/{scan}_ct.nii.gz",
        suv="results/{sub}/{ses}/{scan}_desc-suvbw_pet.nii.gz",
        tissues="results/{sub}/{ses}/{scan}_space-ct_desc-tissues_dseg.nii.gz",
        regions="results/{sub}/{ses}/{scan}_space-ct_desc-regions_dseg.nii.gz",
        anatomy="results/{sub}/{ses}/{scan}_space-ct_desc-tissues.json",
    output:
        **(
            {"field": "results/{sub}/{ses}/{scan}_from-pet_to-ct_xfm.nii.gz"}
            if mode_has_field()
            else {}
        ),
        xfm="results/{sub}/{ses}/{scan}_from-pet_to-ct_xfm.tfm",
        xfm_json="results/{sub}/{ses}/{scan}_from-pet_to-ct_xfm.json",
    log:
        "logs/{sub}/{ses}/{scan}_register.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=memory("register"),
        runtime=minutes("register"),
    params:
        code=code("register.py"),
        settings=settings("register"),
    message:
        "{wildcards.scan}: registering PET to CT"
    script:
        "../scripts/register.py"
