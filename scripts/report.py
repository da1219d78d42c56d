"""The cohort's report (rule report)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.forms_path import form_of_job
    from calciflow.report import write_report

    write_report(
        **dict(snakemake.input.items()),
        page=snakemake.output.page,
        parameters=snakemake.params.parameters,
        form=form_of_job(snakemake.params.parameters["scores"]["form"], __file__),
        unfinished=snakemake.params.unfinished,
        stray_edits=snakemake.params.stray_edits,
    )
