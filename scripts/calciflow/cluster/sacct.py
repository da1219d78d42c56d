"""What stands before Slurm's ``sacct`` on the path of a run, where the executor would misunderstand it.

``sacct`` says who cancelled a job (``CANCELLED by 1000``); the executor knows ``CANCELLED`` alone and waits for ever.
And the executor goes back to ``sacct`` by itself where ``squeue`` forgets fast, also if no slurmdbd stands behind it;
CALCIFLOW_SLURM_STATUS=squeue then has ``squeue`` answer. Needs nothing but the standard library.
"""

import os
import re
import subprocess
import sys


def translated(arguments: list[str]) -> list[str]:
    """The command that answers in the place of ``sacct``."""
    if os.environ.get("CALCIFLOW_SLURM_STATUS") == "squeue" and "--name" in arguments:
        name = arguments[arguments.index("--name") + 1]
        return ["squeue", "--format=%i|%T", "--states=all", "--noheader", "--name", name]
    return ["sacct", *arguments]


def main(arguments: list[str]) -> int:
    """Ask; gives the exit status."""
    here = os.path.realpath(os.environ.get("CALCIFLOW_SLURM_BIN", ""))
    entries = os.environ.get("PATH", "").split(os.pathsep)
    path = os.pathsep.join(entry for entry in entries if os.path.realpath(entry) != here)
    done = subprocess.run(
        ["/usr/bin/env", *translated(arguments)],
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    sys.stdout.write(re.sub(r"CANCELLED by \d+", "CANCELLED", done.stdout))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
