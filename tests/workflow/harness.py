"""A study's folder and a copy of the code that runs it, for tests that run the workflow."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from dry_run import dry_run

REPOSITORY = Path(__file__).resolve().parents[2]
TREE = ("Snakefile", "calciflow", "rules", "scripts", "profiles", "envs", "report", "config/forms")


@dataclass(frozen=True)
class Study:
    """A study's folder and the copy of the repository that runs it."""

    folder: Path
    code: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.code / "scripts")}

    def run(self, *options: str, command: str = "run", check: bool = True) -> str:
        """Run the launcher; gives all it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "calciflow.launcher", command, str(self.folder), *options],
            env=self.environment,
            cwd=self.folder.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(f"calciflow {command} {' '.join(options)} ended with {done.returncode}:\n{done.stdout}")
        return f"{done.stdout}\nexit status {done.returncode}\n"

    def planned(self, *options: str) -> dict[str, int]:
        """Jobs of a dry run by rule, `all` left out."""
        with tempfile.TemporaryDirectory() as folder:
            printed = Path(folder) / "printed.txt"
            status = dry_run(self.code, self.folder, self.environment, options, printed)
            text = printed.read_text()
        if status:
            pytest.fail(f"calciflow run --dry-run {' '.join(options)} ended with {status}:\n{text}")
        return self.jobs(text)

    @staticmethod
    def jobs(text: str) -> dict[str, int]:
        """Jobs by rule in what a dry run printed, `all` left out."""
        jobs = dict(re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE))
        return {rule: int(count) for rule, count in jobs.items() if rule not in ("all", "total")}

    def finished(self, *options: str, check: bool = True) -> dict[str, int]:
        """Jobs that a real run finished, by rule, `all` left out."""
        rules = re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)$", self.run(*options, check=check), re.MULTILINE)
        return {rule: rules.count(rule) for rule in sorted(set(rules)) if rule != "all"}

    def set_config(self, text: str) -> None:
        (self.folder / "config" / "config.yaml").write_text(text)

    def path(self, scan: str, name: str) -> Path:
        """A result file; ``scan`` as in sub-01_ses-01."""
        subject, session = scan.split("_")[:2]
        return self.folder / "results" / subject / session / f"{scan}_{name}"


def copy_code(target: Path) -> Path:
    """Copy what runs a study, so that a test may edit it."""
    for name in TREE:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    return target


def write_sheets(folder: Path, scans: str, people: str = "", config: str = "") -> None:
    """Write a study's sheets."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    people = people or "".join(f"sub-0{n}\t{'DM' if n % 2 else 'SSc'}\n" for n in range(1, 6))
    (folder / "config" / "participants.tsv").write_text("participant_id\tgroup\n" + people)
    (folder / "config" / "scans.tsv").write_text(scans)
    (folder / "config" / "config.yaml").write_text(config or "clinical_scores: config/clinical_scores.tsv\n")
