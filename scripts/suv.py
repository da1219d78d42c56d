"""Standardised uptake values (rule suv)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__, private=True):
    from calciflow.suv import normalise_scan

    normalise_scan(
        **dict(snakemake.input.items()),
        **dict(snakemake.output.items()),
        overrides=snakemake.params.overrides,
        **snakemake.params.settings,
    )
