"""A session's lesions beside those of the session before (rule change)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.change import follow_scan

    follow_scan(
        **dict(snakemake.input.items()),
        **dict(snakemake.output.items()),
        scan=snakemake.params.scan,
        before=snakemake.params.before,
        **snakemake.params.settings,
    )
