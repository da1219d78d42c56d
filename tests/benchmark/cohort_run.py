"""A cohort of tiny phantoms through the whole workflow on this machine: ``make benchmark-cohort N=200``.

    PYTHONPATH=scripts:tests/workflow python tests/benchmark/cohort_run.py SCANS [OPTIONS]

Says how many scans an hour come out, what the workflow itself costs beside its jobs, and what a scan takes of memory,
disk and files. The scans are slabs of two thighs (CT 160 x 128 x 40): a stage works for about a second on one, so that
what Snakemake costs a job shows. For the work on whole bodies see ``resources.tsv``.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
from resources import add_benchmarks

from harness import copy_code, write_sheets

LOOK_S = 0.5
FOLDERS = ("results", "private", "logs")
"""What a study keeps."""


@dataclass(frozen=True)
class Used:
    """What a run of the launcher took."""

    wall_s: float
    peak_mb: float


def make_scan(folder: Path, number: int) -> None:
    """Write one tiny phantom's DICOM."""
    from calciflow.phantom import write_dicom
    from calciflow.phantom.tiny import tiny_leg

    write_dicom(tiny_leg(number), folder / "scans" / f"{number:04}")


def make_study(folder: Path, count: int, cores: int, keep_images: bool) -> None:
    """Write the sheets and all scans of a study."""
    names = [f"{number:04}" for number in range(1, count + 1)]
    scans = "participant_id\tsession_id\tsource\n" + "".join(f"sub-{name}\tses-01\tscans/{name}\n" for name in names)
    people = "".join(f"sub-{name}\t{'DM' if int(name) % 2 else 'SSc'}\n" for name in names)
    write_sheets(folder, scans, people, f"keep_images: {str(keep_images).lower()}\n")
    with ProcessPoolExecutor(cores) as pool:
        list(pool.map(make_scan, [folder] * count, range(1, count + 1)))


def memory_mb(process: psutil.Process) -> float:
    """Memory of a process and all its children; what they share counts once for each."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.Error:  # ended meanwhile
            continue
    return total / 2**20


def run(code: Path, study: Path, cores: int, log: Path) -> Used:
    """Run a study, looking at the memory all the while.

    Raises
    ------
    RuntimeError
        If the run fails; with the end of its log.
    """
    environment = {**os.environ, "PYTHONPATH": str(code / "scripts")}
    command = [sys.executable, "-m", "calciflow.launcher", "run", str(study), "--cores", str(cores)]
    peak, ended = [0.0], threading.Event()
    start = time.monotonic()
    with log.open("wb") as handle:
        process = subprocess.Popen(command, env=environment, stdout=handle, stderr=handle)

        def look() -> None:
            while not ended.wait(LOOK_S):
                try:
                    peak[0] = max(peak[0], memory_mb(psutil.Process(process.pid)))
                except psutil.Error:
                    return

        watch = threading.Thread(target=look)
        watch.start()
        status = process.wait()
        wall = time.monotonic() - start
        ended.set()
        watch.join()
    if status:
        raise RuntimeError(f"the run ended with {status}:\n{log.read_text()[-3000:]}")
    return Used(wall, peak[0])


def jobs_of(study: Path) -> list[dict[str, str]]:
    """Rows of the benchmark files, one a job."""
    rows = []
    for path in sorted((study / "benchmarks").rglob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as handle:
            rows.append(next(csv.DictReader(handle, delimiter="\t")))
    return rows


def size_of(study: Path) -> tuple[float, int]:
    """Megabytes and number of the files that the study keeps."""
    sizes = [path.stat().st_size for name in FOLDERS for path in (study / name).rglob("*") if path.is_file()]
    return sum(sizes) / 1e6, len(sizes)


def number(text: str) -> float:
    """A cell of a benchmark file; a job too short to be looked at has none."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def figures(count: int, cores: int, used: Used, again: Used, study: Path) -> list[tuple[str, float, str]]:
    """What is reported: name, value, unit."""
    jobs = jobs_of(study)
    own = sum(number(job["s"]) for job in jobs)
    disk, files = size_of(study)
    return [
        ("scans", count, ""),
        ("cores", cores, ""),
        ("jobs", len(jobs), ""),
        ("wall time", used.wall_s, "s"),
        ("throughput", 3600 * count / used.wall_s, "scans/hour"),
        ("a scan's jobs", own / count, "core-s"),
        ("of that at work", sum(number(job["cpu_time"]) for job in jobs) / count, "CPU-s"),
        ("overhead a scan", (cores * used.wall_s - own) / count, "core-s"),
        ("overhead a job", (cores * used.wall_s - own) / len(jobs), "core-s"),
        ("share of overhead", 100 * (1 - own / (cores * used.wall_s)), "%"),
        ("nothing to do", again.wall_s, "s"),
        ("peak memory, all processes", used.peak_mb, "MB"),
        ("peak memory, largest job", max(number(job["max_rss"]) for job in jobs), "MB"),
        ("disk a scan", disk / count, "MB"),
        ("files a scan", files / count, ""),
    ]


def measure(count: int, cores: int, study: Path, *, keep_images: bool = True) -> list[tuple[str, float, str]]:
    """Make a study, run it, and run it once more with nothing to do."""
    make_study(study, count, cores, keep_images)
    with tempfile.TemporaryDirectory() as folder:
        code = copy_code(Path(folder) / "code")
        add_benchmarks(code, every_rule=True)
        used = run(code, study, cores, Path(folder) / "run.log")
        again = run(code, study, cores, Path(folder) / "again.log")
        if "Nothing to be done" not in (Path(folder) / "again.log").read_text():
            raise RuntimeError("a second run found something to do")
    return figures(count, cores, used, again, study)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=int)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tsv", type=Path, help="also write the table here")
    parser.add_argument("--study", type=Path, help="make the study here, and leave it; otherwise it goes at the end")
    parser.add_argument("--drop-images", action="store_true", help="with keep_images: false")
    given = parser.parse_args()
    if given.study and given.study.exists():
        parser.error(f"{given.study} is there already")
    scratch = Path(tempfile.mkdtemp())
    try:
        study = (given.study or scratch / "study").resolve()
        rows = measure(given.scans, given.cores, study, keep_images=not given.drop_images)
    finally:
        shutil.rmtree(scratch)
    for name, value, unit in rows:
        print(f"{name:<28}{value:>10.{0 if unit == '' and value == int(value) else 1}f} {unit}".rstrip())
    if given.tsv:
        given.tsv.parent.mkdir(parents=True, exist_ok=True)
        lines = ["what\tvalue\tunit", *(f"{name}\t{value:.2f}\t{unit or 'n/a'}" for name, value, unit in rows)]
        given.tsv.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
