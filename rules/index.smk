rule index:
    output:
        series="results/{sub}/{ses}/{scan}_series.tsv",
        screening="results/{sub}/{ses}/{scan}_screening.json",
        selection="private/{sub}/{ses}/{scan}_selection.json",
    log:
        "logs/{sub}/{ses}/{scan}_index.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        # Nothing is known of the scan yet: a large one is taken for granted.
        mem_mb=lambda wildcards, attempt: index_memory_mb(attempt),
        runtime=lambda wildcards, attempt: index_runtime_min(attempt),
        # Scans that share a cluster job are read one after the other: profiles/slurm gives one turn a job.
        turn=1,
    params:
        code=code("index.py"),
        scan=identity,
        sources=lambda wildcards: row(wildcards).sources,
        present=sources,
        ct_series=lambda wildcards: row(wildcards).ct_series,
        pet_series=lambda wildcards: row(wildcards).pet_series,
        overrides=lambda wildcards: row(wildcards).overrides,
        settings=settings("suv", "tracer", "dose_range_mbq", "max_uptake_hours"),
        refreshed=lambda wildcards: REFRESH.get(wildcards.scan),
    message:
        "{wildcards.scan}: reading the headers"
    script:
        "../scripts/index.py"


# Asked for only where index ended in a bug: it fails, so that the run does, and makes index run again next time.
rule internal:
    input:
        "results/screening.tsv",
    output:
        never="logs/{sub}/{ses}/{scan}_internal.done",
    log:
        "logs/{sub}/{ses}/{scan}_internal.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=300,
        runtime=5,
    params:
        index_log="logs/{sub}/{ses}/{scan}_index.log",
    message:
        "{wildcards.scan}: index hit a bug"
    script:
        "../scripts/internal.py"
