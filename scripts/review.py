"""A person's edits override the machine's lesions (rule review)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.review import review_scan

    review_scan(
        **dict(snakemake.input.items()),
        **dict(snakemake.output.items()),
        scan=snakemake.params.scan,
        rules=snakemake.params.rules,
        places=snakemake.params.places,
    )
