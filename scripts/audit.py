"""The identity audit of results and logs (rule audit)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.audit import audit_study

    audit_study(
        identifiers=snakemake.input.identifiers,
        told=snakemake.output.told,
        private=snakemake.params.private,
        labels=snakemake.params.labels,
        ignore=snakemake.params.ignore,
    )
