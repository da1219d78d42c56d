"""End in an error for a scan whose index hit a bug, and have it tried again next time (rule internal)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.internal import fail_and_retry

    fail_and_retry(prefix=snakemake.wildcards.scan, index_log=snakemake.params.index_log)
