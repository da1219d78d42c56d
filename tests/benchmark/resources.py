"""Memory and time of every stage by the size of the scan, from Snakemake's ``benchmark:`` files.

    PYTHONPATH=scripts:tests/workflow python tests/benchmark/resources.py STUDY ... > tests/benchmark/resources.tsv

Each STUDY runs once with one core in a copy of the code in which every rule has a benchmark file. What is printed is
what ``scripts/calciflow/resources.py`` is fitted to (``python -m calciflow.resources`` fits it).
"""

import csv
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import copy_code

LOOK_OFTEN = """
# Snakemake looks at a job's memory each 30 s only, once it has run for a while.
import snakemake.benchmark

snakemake.benchmark.benchmarked.__wrapped__.__defaults__ = (None, None, 0.5)
"""
BENCHMARK = r'\g<0>\1benchmark:\n\2"benchmarks/\3.tsv"\n'
COLUMNS = ("stage", "scan", "ct_voxels", "pet_voxels", "max_rss_mb", "seconds", "cpu_seconds")


def add_benchmarks(code: Path, *, every_rule: bool = False) -> None:
    """Give each rule of a scan, or every rule, of a copy of the code a benchmark file named as its log."""
    with (code / "Snakefile").open("a") as handle:
        handle.write(LOOK_OFTEN)
    log = r'( +)log:\n( +)"logs/(.*)\.log",\n' if every_rule else r'( +)log:\n( +)"logs/(.*\{scan\}.*)\.log",\n'
    for rules in (code / "rules").glob("*.smk"):
        rules.write_text(re.sub(log, BENCHMARK, rules.read_text()))


def measure(study: Path) -> list[dict[str, object]]:
    """Run a study and read its benchmark files."""
    with tempfile.TemporaryDirectory() as folder:
        code = copy_code(Path(folder))
        add_benchmarks(code)
        command = [sys.executable, "-m", "calciflow.launcher", "run", str(study), "--cores", "1", "--forceall"]
        done = subprocess.run(command, env={"PYTHONPATH": str(code / "scripts"), "PATH": "/usr/bin:/bin"}, check=False)
        if done.returncode:
            print(f"{study}: ended with {done.returncode}", file=sys.stderr)
    rows: list[dict[str, object]] = []
    for path in sorted((study / "benchmarks").rglob("*.tsv")):
        scan, stage = path.stem.rsplit("_", 1)
        subject, session = scan.split("_")[:2]
        size = json.loads((study / "results" / subject / session / f"{scan}_screening.json").read_text())["size"]
        voxels = {kind: size[kind][0] * size[kind][1] * size[kind][2] for kind in ("ct", "pet") if kind in size}
        with path.open() as handle:
            one = next(csv.DictReader(handle, delimiter="\t"))
        rows.append(
            {
                "stage": stage,
                "scan": f"{study.name}/{scan}",
                "ct_voxels": voxels.get("ct", 0),
                "pet_voxels": voxels.get("pet", 0),
                "max_rss_mb": one["max_rss"],
                "seconds": one["s"],
                "cpu_seconds": one["cpu_time"],
            }
        )
    return rows


if __name__ == "__main__":
    writer = csv.DictWriter(sys.stdout, COLUMNS, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    for name in sys.argv[1:]:
        writer.writerows(measure(Path(name).resolve()))
        sys.stdout.flush()
