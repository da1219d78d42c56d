"""TotalSegmentator's label map of a CT (rule segment)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.segment import run_totalsegmentator

    run_totalsegmentator(
        **dict(snakemake.input.items()),
        **dict(snakemake.output.items()),
        task=snakemake.params.task,
        threads=snakemake.threads,
        **snakemake.params.settings,
    )
