"""Each lesion's tissue and region (rule compartments)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.compartments import classify_scan

    classify_scan(**dict(snakemake.input.items()), **dict(snakemake.output.items()), **snakemake.params.settings)
