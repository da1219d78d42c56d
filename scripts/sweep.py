"""How the answer moves with a parameter's value (rule sweep)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.sweep import compare_runs

    compare_runs(**dict(snakemake.input.items()), **dict(snakemake.output.items()), runs=snakemake.params.runs)
