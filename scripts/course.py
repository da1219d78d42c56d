"""Changes over time of all people (rule course)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.course import summarise_course

    summarise_course(
        **dict(snakemake.input.items()),
        **dict(snakemake.output.items()),
        pairs=snakemake.params.pairs,
        **snakemake.params.settings,
    )
