rule tissues:
    input:
        ct="results/{sub}/{ses}/{scan}_ct.nii.gz",
        maps=foreign_map_files,
    output:
        tissues="results/{sub}/{ses}/{scan}_space-ct_desc-tissues_dseg.nii.gz",
        tissues_tsv="results/{sub}/{ses}/{scan}_space-ct_desc-tissues_dseg.tsv",
        regions="results/{sub}/{ses}/{scan}_space-ct_desc-regions_dseg.nii.gz",
        regions_tsv="results/{sub}/{ses}/{scan}_space-ct_desc-regions_dseg.tsv",
        sources="results/{sub}/{ses}/{scan}_space-ct_desc-tissuesources_dseg.nii.gz",
        anatomy="results/{sub}/{ses}/{scan}_space-ct_desc-tissues.json",
    log:
        "logs/{sub}/{ses}/{scan}_tissues.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=memory("tissues"),
        runtime=minutes("tissues"),
    params:
        code=code("tissues.py"),
        maps=foreign_maps,
        settings=settings("tissues", "grid_mm"),
    message:
        "{wildcards.scan}: mapping tissues and regions"
    script:
        "../scripts/tissues.py"
