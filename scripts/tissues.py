"""Tissue and region maps from the CT (rule tissues)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.tissues import segment_scan

    segment_scan(
        ct=snakemake.input.ct,
        **dict(snakemake.output.items()),
        maps=snakemake.params.maps,
        **snakemake.params.settings,
    )
