rule qc:
    input:
        unpack(displacement),
        ct="results/{sub}/{ses}/{scan}_ct.nii.gz",
        suv="results/{sub}/{ses}/{scan}_desc-suvbw_pet.nii.gz",
        suv_json="results/{sub}/{ses}/{scan}_desc-suvbw_pet.json",
        tissues="results/{sub}/{ses}/{scan}_space-ct_desc-tissues_dseg.nii.gz",
        anatomy="results/{sub}/{ses}/{scan}_space-ct_desc-tissues.json",
        regions="results/{sub}/{ses}/{scan}_space-ct_desc-regions_dseg.nii.gz",
        lesions="results/{sub}/{ses}/{scan}_space-ct_desc-lesions_dseg.nii.gz",
        table="results/{sub}/{ses}/{scan}_lesions.tsv",
        scores="results/{sub}/{ses}/{scan}_scores.tsv",
        xfm="results/{sub}/{ses}/{scan}_from-pet_to-ct_xfm.tfm",
        xfm_json="results/{sub}/{ses}/{scan}_from-pet_to-ct_xfm.json",
        findings="results/{sub}/{ses}/{scan}_desc-candidates_lesions.json",
        screening="results/{sub}/{ses}/{scan}_screening.json",
    output:
        page=report(
            "results/{sub}/{ses}/{scan}_qc.html",
            caption="../report/qc.rst",
            category="Scans",
            labels={"scan": "{scan}"},
        ),
        mip="results/{sub}/{ses}/{scan}_mip.png",
    log:
        "logs/{sub}/{ses}/{scan}_qc.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=2500,
        runtime=15,
    params:
        code=code("qc.py"),
        scan=identity,
    message:
        "{wildcards.scan}: drawing the quality-control page"
    script:
        "../scripts/qc.py"
