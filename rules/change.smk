rule change:
    input:
        unpack(both_sessions),
    output:
        changes="results/{sub}/{ses}/{scan}_desc-change_lesions.tsv",
        report="results/{sub}/{ses}/{scan}_desc-change_lesions.json",
    log:
        "logs/{sub}/{ses}/{scan}_change.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        # The maps of two sessions, one read after the other; the search takes its time whatever the size.
        mem_mb=lambda wildcards, attempt: 2 * memory("compartments")(wildcards, attempt),
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code("change.py"),
        scan=identity,
        before=lambda wildcards: before(wildcards).session_id,
        settings=settings("change"),
    message:
        "{wildcards.scan}: comparing with the session before"
    script:
        "../scripts/change.py"
