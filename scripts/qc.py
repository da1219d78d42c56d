"""One page per scan for quality control (rule qc)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.qc import draw_scan

    draw_scan(**dict(snakemake.input.items()), **dict(snakemake.output.items()), scan=snakemake.params.scan)
