"""The name under which a study's jobs stand in Slurm's queue."""

import hashlib
import secrets
from pathlib import Path

from calciflow.files import write_text


def job_prefix(study: Path, make: bool = True) -> str | None:
    """Prefix of the names of a study's jobs; None if the study was never on Slurm and ``make`` is False.

    It is made from a random number that lies in the study and from its folder's inode: a study that is moved keeps
    its name, one that is seen under another path on another login node too, and a copy has another one, so that a run
    of a copy never cancels jobs of the original.
    """
    path = study / ".calciflow" / "slurm-study"
    if not path.exists():
        if not make:
            return None
        write_text(path, f"{secrets.token_hex(16)}\n")
    key = f"{path.read_text(encoding='utf-8').strip()} {path.parent.stat().st_ino}"
    return f"calciflow-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
