rule compartments:
    input:
        ct="results/{sub}/{ses}/{scan}_ct.nii.gz",
        tissues="results/{sub}/{ses}/{scan}_space-ct_desc-tissues_dseg.nii.gz",
        regions="results/{sub}/{ses}/{scan}_space-ct_desc-regions_dseg.nii.gz",
        anatomy="results/{sub}/{ses}/{scan}_space-ct_desc-tissues.json",
        lesions="results/{sub}/{ses}/{scan}_space-ct_desc-candidates_dseg.nii.gz",
        candidates="results/{sub}/{ses}/{scan}_desc-candidates_lesions.tsv",
        xfm_json="results/{sub}/{ses}/{scan}_from-pet_to-ct_xfm.json",
    output:
        table="results/{sub}/{ses}/{scan}_desc-machine_lesions.tsv",
    log:
        "logs/{sub}/{ses}/{scan}_compartments.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=memory("compartments"),
        runtime=minutes("compartments"),
    params:
        code=code("compartments.py"),
        settings=settings("compartments"),
    message:
        "{wildcards.scan}: placing lesions in compartments"
    script:
        "../scripts/compartments.py"
