"""A run of Snakemake by the launcher: on this machine, or on Slurm with what makes that safe."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from calciflow.cluster.identity import job_prefix
from calciflow.cluster.queue import LONGEST_SLEEP_S, SlurmSilent, cancel_all, detect, missing_programs, study_jobs
from calciflow.cluster.watch import Watch
from calciflow.errors import StudyError

PROFILE_BIN = Path(__file__).resolve().parents[3] / "profiles" / "slurm" / "bin"
RESTARTS = 2
FORBIDDEN = {
    "slurm-array-jobs": "a killed task of an array is taken for a finished one, and all tasks get the same memory",
    "slurm-requeue": "a requeued job runs unwatched, beside the one that replaces it",
    "slurm-jobname-prefix": "the launcher finds a study's jobs by their names",
}
"""Options of the executor with which a run hangs, loses work or takes half a file for a whole one."""
ATTEMPTS = 100_000
"""Times that a status is asked for before the executor drops its jobs; they wait out a controller that is away."""


def on_slurm(profile: Path, options: Sequence[str]) -> bool:
    """Whether the run goes to Slurm, by its profile or by an option."""
    words = [word for option in options for word in option.split("=", 1)]
    for place, word in enumerate(words[:-1]):
        if word in ("--executor", "-e"):
            return words[place + 1] == "slurm"
    return _profile(profile).get("executor") == "slurm"


def _profile(folder: Path) -> dict[str, Any]:
    import yaml

    for name in ("config.v9+.yaml", "config.yaml"):
        if (folder / name).is_file():
            return yaml.safe_load((folder / name).read_text(encoding="utf-8")) or {}
    raise StudyError(f"{folder}: no profile, since it has no config.yaml.")


def slurm_options(study: Path, profile: Path, options: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Options and environment variables that make a run on this site's Slurm safe.

    Raises
    ------
    StudyError
        If Slurm is not there or does not answer, or if an unsafe option was given.
    """
    for name, why in FORBIDDEN.items():
        given = any(option.split("=", 1)[0] == f"--{name}" for option in options)
        if given or _profile(profile).get(name):
            raise StudyError(f"--{name} is not for calciflow: {why}. Leave it out.")
    missing = missing_programs()
    if missing:
        raise StudyError(
            f"Slurm is not on this machine: {', '.join(missing)} not found. Run this on a login node of the cluster, "
            "or without `--profile slurm` to use this machine alone."
        )
    site = detect()
    if site.status_command == "squeue" and site.forgets_after_s < LONGEST_SLEEP_S:
        print(
            f"calciflow: Slurm forgets ended jobs after {site.forgets_after_s} s (MinJobAge) and has no accounting: "
            "should it forget one unseen, the run notices once the queue is empty, and starts again by itself",
            file=sys.stderr,
        )
    prefix = job_prefix(study)
    chosen = ["--executor", "slurm", "--slurm-no-requeue", "--slurm-jobname-prefix", str(prefix)]
    chosen += ["--slurm-status-command", site.status_command, "--slurm-status-attempts", str(ATTEMPTS)]
    chosen += ["--max-status-checks-per-second", "0.5"]
    environment = {
        "PATH": f"{PROFILE_BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "CALCIFLOW_PYTHON": sys.executable,
        "CALCIFLOW_SLURM_STATUS": site.status_command,
    }
    return chosen, environment


def end_leftovers(study: Path) -> int:
    """Cancel jobs that a killed run of the study left in Slurm's queue: they would write beside those of this run.

    Gives how many there were.

    Raises
    ------
    StudyError
        If there may be such jobs and Slurm does not answer, or they do not go.
    """
    prefix = job_prefix(study, make=False)
    if prefix is None:
        return 0
    if missing_programs():
        print(
            "calciflow: this study ran on Slurm before, which is not on this machine: make sure that no job of it "
            f"still runs there (squeue --me --format '%i %j', names that begin with {prefix})",
            file=sys.stderr,
        )
        return 0
    try:
        count = cancel_all(prefix)
    except SlurmSilent as silent:
        raise StudyError(f"{silent} Jobs of an earlier run may still write into {study}: run again later.") from None
    if count:
        print(f"calciflow: {count} Slurm job(s) of an earlier run were cancelled", file=sys.stderr)
    return count


def end_orphans(processes: Sequence[int]) -> list[int]:
    """End processes of this machine whose Slurm job Slurm has ended; gives those that are left alone.

    A signal that reaches Snakemake while it holds its own lock leaves it hanging on that lock, deaf to further ones;
    where Slurm does not track processes by control groups, such a process outlives its job. What belongs to no job, or
    to one that the queue still knows, is left alone.
    """
    numbers = {pid: number for pid in processes if (number := _job_number(pid)) is not None}
    if not numbers or missing_programs():
        return list(processes)
    try:
        queued = {job.number for job in study_jobs("")}
    except SlurmSilent:
        return list(processes)
    ended = {pid for pid, number in numbers.items() if number not in queued}
    for pid in sorted(ended):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        print(f"calciflow: process {pid} outlived its Slurm job {numbers[pid]} and was ended", file=sys.stderr)
    return [pid for pid in processes if pid not in ended]


def _job_number(pid: int) -> str | None:
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # ended meanwhile, or another user's
        return None
    found = [word.split(b"=", 1)[1].decode("ascii", "replace") for word in words if word.startswith(b"SLURM_JOB_ID=")]
    return found[0] if found else None


def run_snakemake(
    command: Sequence[str], environment: dict[str, str], descriptor: int, prefix: str | None, patience_s: float
) -> tuple[int, str | None]:
    """Run Snakemake to its end; gives its exit status and, if the watch had to end it, why."""
    process = subprocess.Popen(command, env=environment, pass_fds=[descriptor])
    watch = Watch(process, prefix, patience_s) if prefix else None
    with _signals_left_to(process):
        if watch:
            watch.start()
        status = process.wait()
    if watch:
        watch.stop()
    return status, watch.verdict if watch else None


@contextmanager
def _signals_left_to(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Leave Ctrl-C and a termination to Snakemake, however long it takes to cancel its jobs.

    The terminal sends Ctrl-C to both; a termination is sent on.
    """

    def forward(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGINT or not os.isatty(0):
            with suppress(ProcessLookupError):
                process.send_signal(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
