"""What stands before Slurm's ``sbatch`` on the path of a run: no job is lost, and none is submitted twice.

A controller that is restarted, or too busy, makes ``sbatch`` fail although nothing is wrong with the job; and when only
the answer was lost, the job is in the queue all the same: another one submitted for it would write the same files.
So each submission carries a mark of its own in its comment, and is tried again only if Slurm knows no job with that
mark. Needs nothing but the standard library (run as a file, by ``profiles/slurm/bin/sbatch``).
"""

import os
import re
import shutil
import subprocess
import sys
import time
import uuid

UNANSWERED = re.compile(
    r"unable to contact|socket timed out|connection refused|connection timed out|communication connection failure|"
    r"zero bytes were transmitted|slurm backup controller|temporarily unable to accept|transport endpoint|"
    r"insane message length|message receive failure|unexpected message received",
    re.IGNORECASE,
)
"""Errors of the way to the controller (slurm_errno.h); all others are about the job, and trying again is of no use."""


def environment_without(folder: str) -> dict[str, str]:
    """The environment, with ``folder`` taken from PATH."""
    path = os.pathsep.join(
        entry for entry in os.environ.get("PATH", "").split(os.pathsep) if os.path.realpath(entry) != folder
    )
    return {**os.environ, "PATH": path}


def marked(arguments: list[str], mark: str) -> list[str]:
    """The arguments with ``mark`` at the end of the comment."""
    changed = list(arguments)
    for place, word in enumerate(changed[:-1]):
        if word == "--comment":
            changed[place + 1] += mark
            return changed
    return [f"--comment={mark}", *changed]


def submitted(mark: str, environment: dict[str, str], until: float) -> str | None:
    """Number of the job that carries the mark, in whatever state; waits until Slurm can tell."""
    squeue = ["squeue", "--noheader", "--states=all", "--format=%i|%k"]
    while True:
        try:
            done = subprocess.run(squeue, env=environment, capture_output=True, text=True, timeout=60, check=False)
            if done.returncode == 0:
                rows = (line.split("|", 1) for line in done.stdout.splitlines() if "|" in line)
                return next(
                    (number.strip() for number, comment in rows if comment.strip().endswith(mark.strip())), None
                )
        except subprocess.TimeoutExpired:
            pass
        if time.monotonic() > until:
            # Whether the job is there is not known: better a failed run than two writers.
            sys.exit("sbatch: Slurm does not answer, and whether it took the job is unknown")
        time.sleep(2)


def main(arguments: list[str]) -> int:
    """Submit; gives the exit status."""
    here = os.path.realpath(os.environ.get("CALCIFLOW_SLURM_BIN", ""))
    environment = environment_without(here)
    program = shutil.which("sbatch", path=environment["PATH"])
    if program is None:
        print("sbatch: not found", file=sys.stderr)
        return 127
    until = time.monotonic() + float(os.environ.get("CALCIFLOW_PATIENCE_S", "1800"))
    script = sys.stdin.buffer.read() if "/dev/stdin" in arguments else b""
    mark = f" [{uuid.uuid4().hex}]"
    while True:
        done = subprocess.run(
            [program, *marked(arguments, mark)], env=environment, input=script, capture_output=True, check=False
        )
        answer = done.stderr.decode(errors="replace")
        if done.returncode == 0 or not UNANSWERED.search(answer):
            sys.stdout.buffer.write(done.stdout)
            sys.stderr.write(answer)
            return done.returncode
        print(f"calciflow: {answer.strip()}; looking whether Slurm took the job", file=sys.stderr, flush=True)
        number = submitted(mark, environment, until)
        if number is not None:
            print(number)
            return 0
        if time.monotonic() > until:
            sys.stderr.write(answer)
            return done.returncode
        time.sleep(2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
