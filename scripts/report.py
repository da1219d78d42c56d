"""The cohort's report (rule report)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.report import write_report

    write_report(
        **dict(snakemake.input.items()),
        page=snakemake.output.page,
        parameters=snakemake.params.parameters,
        unfinished=snakemake.params.unfinished,
        stray_edits=snakemake.params.stray_edits,
    )
