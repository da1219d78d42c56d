"""``./calciflow``: run a study, draft a new one, look for changed sources. Plain Snakemake works too."""

import argparse
import fcntl
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from calciflow.cluster.identity import job_prefix
from calciflow.cluster.run import RESTARTS, end_leftovers, end_orphans, on_slurm, run_snakemake, slurm_options
from calciflow.errors import StudyError
from calciflow.files import read_json
from calciflow.forecast import forecast, in_words
from calciflow.sheets import Scan, read_participants, read_scans
from calciflow.study import ask_refresh, scan_files, settle_times
from calciflow.tree import Tree, source_digest

SIGN_EVERY_S = 30.0
DEAD_AFTER_S = 120.0
DYING_S = 60.0
REPOSITORY = Path(__file__).resolve().parent.parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Run the launcher; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="calciflow",
        description="Calcinosis on whole-body 18F-NaF PET/CT, from hospital DICOM to a cohort's answer.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="run a study, or go on with it",
        description="Runs what is missing or out of date. Options not listed here go to Snakemake as they are.",
        allow_abbrev=False,
    )
    run.add_argument("study", type=Path, metavar="STUDY", help="the study's folder")
    run.add_argument("--scan", action="append", default=[], metavar="sub-01/ses-01", help="only this scan; repeatable")
    run.add_argument("--profile", default="default", help="default, slurm, or a profile folder")
    run.add_argument(
        "--patience",
        type=float,
        default=30,
        metavar="MINUTES",
        help="on Slurm: end a run for which no job is in the queue, or whose controller does not answer, for so long",
    )
    run.add_argument("--split", action="store_true", help="on Slurm: a job for each stage of a scan")
    new = commands.add_parser("new", help="draft a study's sheets from a folder of scans")
    new.add_argument("study", type=Path, metavar="STUDY")
    new.add_argument("archive", type=Path, metavar="ARCHIVE", help="folder that holds the scans' DICOM files")
    refresh = commands.add_parser(
        "refresh", help="look for scans whose source has changed; the next run reads them again"
    )
    refresh.add_argument("study", type=Path, metavar="STUDY")
    ahead = commands.add_parser("forecast", help="jobs, core-hours, memory and disk that a study will take")
    ahead.add_argument("study", type=Path, metavar="STUDY")
    known, rest = parser.parse_known_args(arguments)
    if rest and known.command != "run":
        parser.error(f"unknown option: {rest[0]}")
    try:
        if known.command == "new":
            return _new(known.study, known.archive)
        study = _study(known.study)
        if known.command == "refresh":
            return _refresh(study)
        if known.command == "forecast":
            print(in_words(forecast(study, _scans(study), _keeps_images(study))))
            return 0
        if known.split:
            rest += ["--groups", "index=index"]  # last: it takes many values, and would swallow a target behind it
        return _run(study, known.scan, known.profile, 60 * known.patience, rest)
    except StudyError as error:
        print(f"calciflow: {error}", file=sys.stderr)
        return 2


def _study(folder: Path) -> Path:
    if not (folder / "config" / "config.yaml").is_file():
        raise StudyError(
            f"{folder}: no study, since it has no config/config.yaml. "
            f"Draft one with: calciflow new {folder} FOLDER_OF_SCANS"
        )
    return folder.resolve()


def _config(study: Path) -> dict[str, Any]:
    import yaml

    return yaml.safe_load((study / "config" / "config.yaml").read_text(encoding="utf-8")) or {}


def _keeps_images(study: Path, options: Sequence[str] = ()) -> bool:
    """What the config says, or `--config keep_images=...` among the options."""
    said = [option.split("=", 1)[1] for option in options if option.startswith("keep_images=")]
    return said[-1].lower() == "true" if said else bool(_config(study).get("keep_images", True))


def _scans(study: Path) -> list[Scan]:
    content = _config(study)
    people = read_participants(study / content.get("participants", "config/participants.tsv"))
    return read_scans(study / content.get("scans", "config/scans.tsv"), people)


def targets(names: list[str], scans: list[Scan], keep_images: bool = True) -> list[str]:
    """Result files that stand for the named scans, ``sub-01/ses-01`` or ``sub-01/ses-01/acq-legs``."""
    pieces = scan_files(keep_images)
    found: list[str] = []
    for name in names:
        wanted = name.strip("/").replace("/", "_")
        matching = [
            scan
            for scan in scans
            if not scan.exclude and (scan.prefix == wanted or scan.prefix.startswith(f"{wanted}_"))
        ]
        if not matching:
            raise StudyError(f"--scan {name}: there is no such scan in the study's sheet, or it is excluded there.")
        for scan in matching:
            found += [f"results/{scan.participant_id}/{scan.session_id}/{scan.prefix}_{piece}" for piece in pieces]
    return found


def _run(study: Path, names: list[str], profile: str, patience_s: float, rest: list[str]) -> int:
    if importlib.util.find_spec("snakemake") is None:
        raise StudyError(f"{sys.executable} has no Snakemake. Make the environment with `make env`, or activate yours.")
    shipped = REPOSITORY / "profiles" / profile
    folder = shipped if shipped.is_dir() else Path(profile).resolve()
    if not folder.is_dir():
        raise StudyError(f"--profile {profile}: no profile of calciflow (default, slurm), and no folder.")
    wanted = targets(names, _scans(study), _keeps_images(study, rest)) if names else []
    # Another copy of the library on PYTHONPATH would stand before the repository's.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(study), "--workflow-profile", str(folder)]
    dry = any(option in ("-n", "--dry-run", "--dryrun") for option in rest)
    slurm = on_slurm(folder, rest) and not dry
    with _held(study) as descriptor:
        if not dry and (settled := settle_times(study, _file_clock(study / ".calciflow"))):
            print(f"calciflow: {settled} files said they are from the future; they are dated now", file=sys.stderr)
        if slurm:
            options, variables = slurm_options(study, folder, rest)
            command += options
            environment |= variables | {"CALCIFLOW_PATIENCE_S": str(patience_s)}
        status = 1
        for _ in range(RESTARTS + 1):
            _unlock(study, command, environment)
            # Targets before the user's options: one that takes many values would swallow a target behind it.
            status, verdict = run_snakemake(
                [*command, *wanted, *rest], environment, descriptor, job_prefix(study) if slurm else None, patience_s
            )
            if verdict != "forgotten":
                break
            end_leftovers(study)
    return status or (1 if verdict else 0)


def _unlock(study: Path, command: list[str], environment: dict[str, str]) -> None:
    """Clear Snakemake's lock: whoever calls this holds the study, so no process holds that lock."""
    if any((study / ".snakemake" / "locks").glob("*")):
        print("calciflow: an earlier run was killed; its lock is cleared, since no process holds it", file=sys.stderr)
        subprocess.run([*command, "--unlock"], env=environment, check=True, capture_output=True)


@contextmanager
def _held(study: Path) -> Iterator[int]:
    """Hold the study for this run; the lock goes with the processes, however they end.

    Raises
    ------
    StudyError
        If another run is going on, a killed run's jobs still write, or nothing can be written.
    """
    path = study / ".calciflow" / "lock"
    try:
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StudyError(f"{study}: cannot be written ({error.strerror}). Results lie in the study's folder.") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = path.read_text(encoding="utf-8").strip() or "unknown"
            raise StudyError(f"{study}: another run is going on ({holder}). Wait for it, or end it.") from None
        _wait_for_other_host(path)
        # Where this machine is also a node, cancelled jobs may take a moment to die, or hang.
        cancelled = end_leftovers(study)
        patience = time.monotonic() + (DYING_S if cancelled else 0)
        while (alive := writers(study)) and time.monotonic() < patience:
            time.sleep(0.5)
        if cancelled and alive:
            alive = end_orphans(alive)
        if alive:
            raise StudyError(
                f"{study}: processes still work there: {alive}. Wait for them, or end them, then run again."
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        with _signs_of_life(path):
            yield descriptor
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


@contextmanager
def _signs_of_life(path: Path) -> Iterator[None]:
    """Touch the lock's file while the run goes on, for other login nodes: not every file system shows them a lock."""
    over = threading.Event()

    def touch() -> None:
        while not over.wait(SIGN_EVERY_S):
            with suppress(OSError):
                os.utime(path)

    thread = threading.Thread(target=touch, daemon=True, name="calciflow-signs-of-life")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _wait_for_other_host(path: Path) -> None:
    """Refuse if a run on another machine has given a sign of life just now; ages by the file server's clock."""
    holder = path.read_text(encoding="utf-8").strip()
    if not holder or holder.endswith(f" on {socket.gethostname()}"):
        return
    age = (_file_clock(path.parent) - path.stat().st_mtime_ns) / 1e9
    if abs(age) < DEAD_AFTER_S:
        raise StudyError(
            f"another run may be going on: {holder} gave a sign of life {abs(age):.0f} s ago. If it was killed, "
            f"run again in {DEAD_AFTER_S:g} s."
        )


def _file_clock(folder: Path) -> int:
    """Time now in ns by the clock of the file system, which may be a server's."""
    probe = folder / "clock"
    probe.unlink(missing_ok=True)
    probe.touch()
    now = probe.stat().st_mtime_ns
    probe.unlink()
    return now


def writers(study: Path) -> list[int]:
    """Processes of this machine that run Snakemake, or a job of it, in the study (Linux; elsewhere none are seen)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            there = (entry / "cwd").resolve() == study
        except OSError:  # ended meanwhile, or another user's
            continue
        if there and int(entry.name) != os.getpid() and any(b"snakemake" in word for word in words[:4]):
            found.append(int(entry.name))
    return sorted(found)


def _refresh(study: Path) -> int:
    changed = 0
    for scan in _scans(study):
        screening = study / "results" / scan.participant_id / scan.session_id / f"{scan.prefix}_screening.json"
        if scan.exclude or not screening.is_file():
            continue
        digest = source_digest(Tree(study / path) for path in scan.sources.values())
        if read_json(screening).get("source_digest") != digest:
            print(f"{scan.prefix}: its source has changed; the next run reads it again")
            ask_refresh(study, scan.prefix, digest)
            changed += 1
    print(f"{changed} changed" if changed else "no source has changed")
    return 0


def _new(study: Path, archive: Path) -> int:
    from calciflow.draft import draft_study

    print(json.dumps(draft_study(study, archive), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
