"""Slurm's queue, as far as the launcher asks it: a study's jobs, what the site has, cancelling."""

import getpass
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from calciflow.errors import StudyError

PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol")
LONGEST_SLEEP_S = 180
"""The executor asks at least this often (its own constant); a job must stay known for longer than that."""
ANSWER_WITHIN_S = 60
GONE_WITHIN_S = 300
"""KillWait (30 s by default) and an epilog; a node that does not answer keeps a job in the list for longer."""


@dataclass(frozen=True)
class Job:
    """A job that Slurm knows and that has not ended."""

    number: str
    name: str
    state: str
    reason: str


@dataclass(frozen=True)
class Site:
    """What a site's Slurm offers.

    Attributes
    ----------
    status_command
        ``squeue`` or ``sacct``: what can tell how a job ended.
    forgets_after_s
        Seconds for which ``squeue`` still knows a job that has ended (MinJobAge).
    accounting
        Whether slurmdbd answers, so that ``sacct`` is of use.
    """

    status_command: str
    forgets_after_s: int
    accounting: bool


class SlurmSilent(StudyError):
    """Slurm's controller does not answer."""


def missing_programs() -> list[str]:
    """Slurm's programs that are not on the path."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


def ask(command: Sequence[str], timeout: float = ANSWER_WITHIN_S) -> str:
    """Run one of Slurm's programs and give what it printed.

    Raises
    ------
    SlurmSilent
        If it fails or does not answer in time.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise SlurmSilent(f"Slurm did not answer `{command[0]}` within {timeout:g} s.") from None
    except OSError as error:
        raise SlurmSilent(f"`{command[0]}` cannot be run: {error.strerror}.") from None
    if done.returncode:
        words = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise SlurmSilent(f"Slurm did not answer `{command[0]}`: {words}")
    return done.stdout


def study_jobs(prefix: str) -> list[Job]:
    """Jobs of this user whose name starts with ``prefix`` and which have not ended."""
    text = ask(["squeue", "--noheader", "--user", getpass.getuser(), "--format", "%i|%j|%T|%r"])
    rows = [line.strip().split("|", 3) for line in text.splitlines() if line.count("|") >= 3]
    return [Job(*row) for row in rows if row[1].startswith(prefix)]


def cancel_all(prefix: str, wait_s: float = GONE_WITHIN_S) -> int:
    """Cancel a study's jobs and wait until none of them can write any more; gives how many there were.

    Raises
    ------
    SlurmSilent
        If Slurm does not answer.
    StudyError
        If a job is still there after ``wait_s``.
    """
    jobs = study_jobs(prefix)
    found = {job.number for job in jobs}
    deadline = time.monotonic() + wait_s
    while jobs:
        for start in range(0, len(jobs), 200):  # a command line has an end
            # A job that has ended meanwhile makes scancel fail: the list that follows is what counts.
            subprocess.run(
                ["scancel", *(job.number for job in jobs[start : start + 200])],
                capture_output=True,
                timeout=ANSWER_WITHIN_S,
                check=False,
            )
        time.sleep(0.5)
        jobs = study_jobs(prefix)
        found |= {job.number for job in jobs}
        if jobs and time.monotonic() > deadline:
            names = ", ".join(f"{job.number} ({job.state})" for job in jobs[:5])
            raise StudyError(
                f"Slurm jobs of an earlier run of this study are still there {wait_s:g} s after they were cancelled: "
                f"{names}. They may write into results/: run again once squeue does not show them."
            )
    return len(found)


def detect() -> Site:
    """Find out what can tell how a job ended.

    ``squeue`` where it remembers ended jobs for longer than the executor's longest pause; else ``sacct``, but only
    where slurmdbd answers: without it the executor would ask for ever. Where neither holds, ``squeue``.
    """
    config = ask(["scontrol", "show", "config"])
    age = re.search(r"^MinJobAge\s*=\s*(\d+)", config, re.MULTILINE)
    forgets = int(age.group(1)) if age else 0
    accounting = bool(re.search(r"^AccountingStorageType\s*=\s*accounting_storage/slurmdbd", config, re.MULTILINE))
    if accounting:
        try:
            ask(["sacct", "-X", "--noheader", "--user", getpass.getuser(), "--format", "JobIdRaw"])
        except SlurmSilent:
            accounting = False
    enough = forgets >= LONGEST_SLEEP_S + ANSWER_WITHIN_S
    return Site("squeue" if enough or not accounting else "sacct", forgets, accounting)
