"""A watch over Slurm's queue while Snakemake runs, so that no run waits in silence or for ever."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from calciflow.cluster.queue import Job, SlurmSilent, study_jobs

NEVER_BY_THEMSELVES = (
    "BadConstraints",
    "DependencyNeverSatisfied",
    "InvalidAccount",
    "InvalidQOS",
    "JobHeldAdmin",
    "JobHeldUser",
    "PartitionDown",
    "PartitionInactive",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "launch_failed_requeued_held",
)
"""Reasons (squeue(1), JOB REASON CODES) for which somebody must do something before the job can start."""
SAY_EVERY_S = 600
END_WITHIN_S = 60
BUSY = 0.3
"""Share of a core above which Snakemake is at work by itself (it builds the graph of a large study)."""


class Watch(threading.Thread):
    """Say what Slurm does with a study's jobs; end Snakemake if Slurm has forgotten them or is gone.

    The executor waits for ever for a job that Slurm no longer knows (purged from its memory, or lost with the
    controller's state), and says nothing while the controller is away.

    Parameters
    ----------
    process
        Snakemake.
    prefix
        Of the names of the study's jobs.
    patience_s
        Seconds without any job in the queue, or without an answer, after which Snakemake is ended.
    interval_s
        Between two looks at the queue.
    """

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        prefix: str,
        patience_s: float,
        interval_s: float | None = None,
        queue: Callable[[str], list[Job]] = study_jobs,
    ) -> None:
        super().__init__(daemon=True, name="calciflow-slurm-watch")
        self.process = process
        self.prefix = prefix
        self.patience_s = patience_s
        self.interval_s = interval_s or max(0.5, min(60.0, patience_s / 6))
        self.queue = queue
        self.verdict: str | None = None
        self._over = threading.Event()
        self._said: dict[str, float] = {}
        self._used = 0.0

    def stop(self) -> None:
        """End the watch."""
        self._over.set()
        self.join()

    def run(self) -> None:
        """Look at the queue until Snakemake has ended."""
        answered = occupied = time.monotonic()
        while not self._over.wait(self.interval_s):
            busy = self._busy()
            now = time.monotonic()
            try:
                jobs = self.queue(self.prefix)
            except SlurmSilent as silent:
                occupied += time.monotonic() - now + self.interval_s  # what is not seen is not counted as empty
                self._say("silent", f"{silent} Waiting for it ({now - answered:.0f} s).")
                if now - answered > self.patience_s:
                    self._end("silent", f"Slurm has not answered for {now - answered:.0f} s")
                continue
            answered = now
            if jobs or busy:
                occupied = now
            if now - occupied > self.patience_s:
                self._end("forgotten", f"Snakemake waits, but no job is in Slurm's queue for {now - occupied:.0f} s")
            self._report(jobs)

    def _report(self, jobs: list[Job]) -> None:
        waiting = [job for job in jobs if job.state == "PENDING"]
        for job in waiting:
            if job.reason in NEVER_BY_THEMSELVES:
                self._say(job.number, f"job {job.number} will not start by itself: {job.reason}.")
        if waiting:
            reasons = ", ".join(
                f"{reason} {count}" for reason, count in Counter(j.reason for j in waiting).most_common()
            )
            self._say("queue", f"{len(waiting)} job(s) waiting ({reasons}), {len(jobs) - len(waiting)} running.")

    def _say(self, what: str, text: str) -> None:
        now = time.monotonic()
        if now - self._said.get(what, -SAY_EVERY_S) >= SAY_EVERY_S:
            self._said[what] = now
            print(f"calciflow: Slurm: {text}", file=sys.stderr, flush=True)

    def _end(self, verdict: str, text: str) -> None:
        self.verdict = verdict
        print(f"calciflow: {text}: this run of Snakemake is ended.", file=sys.stderr, flush=True)
        # SIGTERM would make Snakemake wait for its jobs first.
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._over.set()

    def _busy(self) -> bool:
        """Whether Snakemake has computed since the last look (Linux; elsewhere it never seems to)."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        except OSError:
            return False
        used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        before, self._used = self._used, used
        return used - before > BUSY * self.interval_s
