"""What stands before ``sacct`` and ``squeue`` on the path of a run, where the executor would misunderstand them.

``sacct`` says who cancelled a job (``CANCELLED by 1000``); the executor knows ``CANCELLED`` alone and waits for ever.
It also waits for a ``PREEMPTED`` job to be resumed, which never happens: no job of ours may be requeued. And the
executor goes back to ``sacct`` by itself where ``squeue`` forgets fast, also if no slurmdbd stands behind it;
CALCIFLOW_SLURM_STATUS=squeue then has ``squeue`` answer. Needs nothing but the standard library.
"""

import os
import re
import subprocess
import sys


def translated(program: str, arguments: list[str]) -> list[str]:
    """The command that answers in the place of ``sacct`` or ``squeue``."""
    if program == "sacct" and os.environ.get("CALCIFLOW_SLURM_STATUS") == "squeue" and "--name" in arguments:
        name = arguments[arguments.index("--name") + 1]
        return ["squeue", "--format=%i|%T", "--states=all", "--noheader", "--name", name]
    return [program, *arguments]


def understood(text: str) -> str:
    """Lines of number and state, in words that the executor takes as they are meant."""
    return re.sub(r"CANCELLED by \d+|(?<=\|)PREEMPTED\b", "CANCELLED", text)


def main(program: str, *arguments: str) -> int:
    """Ask; gives the exit status."""
    here = os.path.realpath(os.environ.get("CALCIFLOW_SLURM_BIN", ""))
    entries = os.environ.get("PATH", "").split(os.pathsep)
    path = os.pathsep.join(entry for entry in entries if os.path.realpath(entry) != here)
    done = subprocess.run(
        ["/usr/bin/env", *translated(program, list(arguments))],
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    sys.stdout.write(understood(done.stdout))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
