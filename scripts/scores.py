"""The scoring form, region by region (rule scores)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.forms_path import form_of_job
    from calciflow.scores import score_scan

    score_scan(
        **dict(snakemake.input.items()),
        **dict(snakemake.output.items()),
        scan=snakemake.params.scan,
        form=form_of_job(snakemake.params.form, __file__),
    )
