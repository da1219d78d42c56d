"""Deposits on CT, foci on PET, matched (rule lesions)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.lesions import find_lesions

    find_lesions(
        **dict(snakemake.input.items()),
        **dict(snakemake.output.items()),
        scan=snakemake.params.scan,
        **snakemake.params.settings,
    )
