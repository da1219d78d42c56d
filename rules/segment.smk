# Other people's program, with its own weights; it runs only where tissues.engine asks for it.
rule segment:
    input:
        ct="results/{sub}/{ses}/{scan}_ct.nii.gz",
    output:
        labels="results/{sub}/{ses}/{scan}_space-ct_seg-{task}_dseg.nii.gz",
        told="results/{sub}/{ses}/{scan}_space-ct_seg-{task}_dseg.json",
    log:
        "logs/{sub}/{ses}/{scan}_segment-{task}.log",
    conda:
        "../envs/calciflow.yaml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=480,
        gpu=int(SETTINGS.segment.device == "gpu"),
    params:
        code=code("segment.py"),
        task=lambda wildcards: SEGMENT_TASKS[wildcards.task],
        settings=settings("segment", "command", "device", "model"),
    message:
        "{wildcards.scan}: running TotalSegmentator ({wildcards.task})"
    script:
        "../scripts/segment.py"
