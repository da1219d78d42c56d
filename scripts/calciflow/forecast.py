"""``./calciflow forecast``: what a study will cost on a cluster, once its scans are indexed."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from calciflow.files import read_json
from calciflow.resources import CPU_S, Need, index_memory_mb, memory_mb, voxels
from calciflow.sheets import Scan
from calciflow.study import scan_files

LEVELS: tuple[tuple[str, ...], ...] = (
    ("convert-ct", "convert-pet"),
    ("suv", "tissues"),
    ("register",),
    ("lesions",),
    ("compartments",),
    ("review",),
    ("scores", "qc"),
)
"""The chain after ``index``; stages of one level run side by side in a scan's cluster job."""
SCANS_PER_INDEX_JOB = 8
STUDY_JOBS = 4
"""``cohort``, ``course``, ``report`` and ``audit``, and ``change`` for each follow-up; what else there is
runs where Snakemake does."""
JOB_CPU_S = 4.0
"""Two starts of Snakemake around each cluster job (measured: 3.9 CPU-seconds)."""
DISK_MB = Need(3.0, 1.3, 3.4)
"""Kept for a scan: the CT once, the PET twice (Bq/ml and SUV), compressed; maps and pages are small beside them.
Measured on the eight development phantoms (whose CT has a scanner's noise) at 1.1 and 3.0 MB a million voxels."""

WITHOUT_IMAGES_MB = Need(1.8, 0.07, 0.01)
"""Kept with ``keep_images`` off: maps, tables and pages. Measured on whole-body phantoms (2.5 to 5.0 MB at 45 to 53
million CT voxels) and deposits in real scans (1.2 to 1.9 MB at 2 to 4 million)."""


def forecast(study: Path, scans: Sequence[Scan], keep_images: bool = True) -> dict[str, float | int]:
    """Add up what is still to be done, and what the whole study keeps.

    Returns
    -------
    dict
        ``scans`` (enrolled), ``unindexed``, ``refused``, ``finished``, ``todo``; ``jobs`` and ``jobs_split`` (a job a
        stage); ``cpu_hours``; ``peak_memory_mb`` of the largest job; ``disk_gb`` and ``disk_gb_without_images``; and
        ``keep_images``, as given.
    """
    total: dict[str, float | int] = dict.fromkeys(
        ("scans", "unindexed", "refused", "finished", "todo", "jobs", "jobs_split", "peak_memory_mb"), 0
    )
    cpu_s, disk, disk_without = 0.0, 0.0, 0.0
    names = scan_files(keep_images)
    sessions: Counter[tuple[str, str | None]] = Counter()
    waiting: set[tuple[str, str | None]] = set()
    for scan in scans:
        if scan.exclude:
            continue
        total["scans"] += 1
        base = study / "results" / scan.participant_id / scan.session_id
        screening = base / f"{scan.prefix}_screening.json"
        if not screening.is_file():
            total["unindexed"] += 1
            continue
        if read_json(screening).get("verdict") != "accepted":
            total["refused"] += 1
            continue
        size = voxels(screening)
        person = (scan.participant_id, scan.acquisition)
        sessions[person] += 1
        disk += DISK_MB.of(size)
        disk_without += WITHOUT_IMAGES_MB.of(size)
        if all((base / f"{scan.prefix}_{name}").exists() for name in names):
            total["finished"] += 1
            continue
        total["todo"] += 1
        waiting.add(person)
        cpu_s += sum(CPU_S[stage].of(size) for level in LEVELS for stage in level)
        peak = max(sum(memory_mb(stage, size) for stage in level) for level in LEVELS)
        total["peak_memory_mb"] = max(total["peak_memory_mb"], peak)
    unindexed = int(total["unindexed"])
    if unindexed:
        total["peak_memory_mb"] = max(total["peak_memory_mb"], index_memory_mb())
    index_jobs = math.ceil(unindexed / SCANS_PER_INDEX_JOB)
    stages = sum(len(level) for level in LEVELS)
    busy = bool(total["todo"] or unindexed)
    others = STUDY_JOBS * busy + sum(sessions[person] - 1 for person in waiting)
    total["jobs"] = index_jobs + total["todo"] + others
    total["jobs_split"] = index_jobs + stages * total["todo"] + others
    total["cpu_hours"] = (cpu_s + JOB_CPU_S * total["jobs"]) / 3600
    total |= {"disk_gb": disk / 1000, "disk_gb_without_images": disk_without / 1000, "keep_images": keep_images}
    return total


def in_words(total: dict[str, float | int]) -> str:
    """The forecast for a terminal."""
    kept, other = total["disk_gb"], total["disk_gb_without_images"]
    if not total["keep_images"]:
        kept, other = other, kept
    lines = [
        f"{total['scans']} scans: {total['finished']} finished, {total['todo']} to do, {total['refused']} refused, "
        f"{total['unindexed']} not indexed yet",
    ]
    if total["unindexed"]:
        lines.append(
            "  What is not indexed has no size yet and is not in the sums: index first with\n"
            "    ./calciflow run STUDY [--profile slurm] screening"
        )
    lines += [
        f"cluster jobs   {total['jobs']} (with --split {total['jobs_split']})",
        f"core-hours     {total['cpu_hours']:.1f} used; up to 2 cores a job are asked for",
        f"peak memory    {total['peak_memory_mb'] / 1000:.1f} GB in the largest job, at its first try",
        f"disk           {kept:.1f} GB kept in results/ by all indexed scans together "
        f"({other:.1f} GB with keep_images: {'false' if total['keep_images'] else 'true'})",
    ]
    return "\n".join(lines)
