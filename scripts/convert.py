"""One volume of a scan (rule convert)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__, private=True):
    from calciflow.convert import convert_volume

    convert_volume(
        **dict(snakemake.input.items()), **dict(snakemake.output.items()), modality=snakemake.wildcards.modality
    )
