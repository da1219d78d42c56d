"""Dry runs from a process that has loaded Snakemake already: loading it takes longer than the plan of a small study.

The test process starts one server of forks, which imports what other projects wrote and nothing of calciflow; each dry
run is a fork of it that imports the study's own copy of the code. What the launcher would start as a process,
``python -m snakemake ...``, runs within the fork, with the same arguments and environment.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["snakemake.cli", "snakemake_executor_plugin_slurm", "pandas", "pydantic", "yaml"])


def dry_run(code: Path, folder: Path, environment: Mapping[str, str], options: Sequence[str], printed: Path) -> int:
    """Run ``calciflow run --dry-run``; gives its exit status, and writes all it prints to a file."""
    process = FORKS.Process(target=_fork, args=(code, folder, dict(environment), list(options), printed))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _fork(code: Path, folder: Path, environment: dict[str, str], options: list[str], printed: Path) -> None:
    target = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.chdir(folder.parent)
    os.environ.clear()
    os.environ.update(environment)
    assert not [name for name in sys.modules if name.partition(".")[0] == "calciflow"]
    sys.path.insert(0, str(code / "scripts"))
    from calciflow import launcher

    launcher.run_snakemake = _here
    sys.exit(launcher.main(["run", str(folder), "--dry-run", *options]))


def _here(command: Sequence[str], environment: Mapping[str, str], *_: object) -> tuple[int, None]:
    """What stands for ``launcher.run_snakemake``: the same command, without a process of its own."""
    from snakemake import cli

    assert list(command[1:3]) == ["-m", "snakemake"]
    os.environ.clear()
    os.environ.update(environment)
    # A process of its own would not find the library there, before the Snakefile says where it is.
    for name in [name for name in sys.modules if name.partition(".")[0] == "calciflow"]:
        del sys.modules[name]
    sys.path.pop(0)
    try:
        cli.main(command[3:])
    except SystemExit as ending:
        return int(ending.code or 0), None
    return 0, None
