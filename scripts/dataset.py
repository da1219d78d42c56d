"""The description of the result folder (rule dataset)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.dataset import describe

    describe(**dict(snakemake.output.items()))
