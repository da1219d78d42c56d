"""PET to CT (rule register)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.register import register_scan

    register_scan(**dict(snakemake.input.items()), **dict(snakemake.output.items()), **snakemake.params.settings)
