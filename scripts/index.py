"""Which series a scan's source holds, and whether it can be measured (rule index)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__, private=True):
    from calciflow.index import index_scan

    index_scan(
        **dict(snakemake.output.items()),
        scan=snakemake.params.scan,
        sources=snakemake.params.sources,
        ct_series=snakemake.params.ct_series,
        pet_series=snakemake.params.pet_series,
        overrides=snakemake.params.overrides,
        **snakemake.params.settings,
    )
