"""A study's folder: what lies in it beside the results, and whether Snakemake's memory of them is there."""

import os
from collections.abc import Iterable
from pathlib import Path

from calciflow.files import write_text

SCAN_FILES = (
    "ct.nii.gz",
    "pet.nii.gz",
    "desc-suvbw_pet.nii.gz",
    "space-ct_desc-tissues_dseg.nii.gz",
    "from-pet_to-ct_xfm.tfm",
    "space-ct_desc-candidates_dseg.nii.gz",
    "desc-machine_lesions.tsv",
    "space-ct_desc-lesions_dseg.nii.gz",
    "lesions.tsv",
    "scores.tsv",
    "qc.html",
)
"""One file of every stage. A run asks for all of them by name: Snakemake does not miss what lies between a source and
a result that is newer, so what a failed job left out would never be made again."""

IMAGES = ("ct.nii.gz", "pet.nii.gz", "desc-suvbw_pet.nii.gz")
"""The large ones among them, which later stages need and tables, pages and the report do not: with ``keep_images`` off
they are removed, and no run may ask for them."""

EDIT_FOLDER = Path("edits")
EDIT_FILES = {"edits": "lesions.tsv", "mask": "desc-lesions_dseg.nii.gz"}
"""What a reader may put into the study's ``edits`` folder, after the scan's prefix."""

TIMED_FOLDERS = ("results", "private", "edits", "config")
"""Where the inputs and outputs lie whose times Snakemake compares."""

REFRESH_FOLDER = Path(".calciflow") / "refresh"


def settle_times(study: Path, now_ns: int) -> int:
    """Give files of the study that say they are from the future the present time; gives how many.

    After the clock went backwards (or a file came from a machine whose clock is ahead), whatever is made from such a
    file is older than it: Snakemake would end the job with an error, and make it again at every run.

    Parameters
    ----------
    now_ns
        Nanoseconds since the epoch, by the clock of the file system.
    """
    settled = 0
    for name in TIMED_FOLDERS:
        for folder, folders, names in os.walk(study / name):
            for path in (Path(folder) / entry for entry in [*folders, *names]):
                try:
                    status = path.stat(follow_symlinks=False)
                    if status.st_mtime_ns > now_ns:
                        os.utime(path, ns=(status.st_atime_ns, now_ns), follow_symlinks=False)
                        settled += 1
                except OSError:  # gone meanwhile, or another user's
                    continue
    return settled


def scan_files(keep_images: bool) -> tuple[str, ...]:
    """Names of the files that a run asks for, of each scan."""
    return tuple(name for name in SCAN_FILES if keep_images or name not in IMAGES)


def edit_files(study: Path, prefix: str) -> dict[str, str]:
    """A scan's files of edits that exist, relative to the study: ``edits`` and ``mask``."""
    names = {kind: EDIT_FOLDER / f"{prefix}_{name}" for kind, name in EDIT_FILES.items()}
    return {kind: path.as_posix() for kind, path in names.items() if (study / path).is_file()}


def stray_edits(study: Path, prefixes: Iterable[str]) -> list[str]:
    """Names in the folder of edits that belong to no scan: a mistyped name must not leave an edit out silently."""
    known = {f"{prefix}_{name}" for prefix in prefixes for name in EDIT_FILES.values()}
    return sorted(
        path.name
        for path in (study / EDIT_FOLDER).glob("*")
        if path.name not in known and not path.name.startswith(".")
    )


def refresh_tokens(study: Path) -> dict[str, str]:
    """Tokens of scans that are to be indexed anew: a token that index has not seen makes it run again."""
    folder = study / REFRESH_FOLDER
    return {path.name: path.read_text(encoding="utf-8").strip() for path in sorted(folder.glob("sub-*"))}


def ask_refresh(study: Path, prefix: str, token: str) -> None:
    """Leave a token for a scan, in a file of its own: jobs side by side must not disturb each other."""
    write_text(study / REFRESH_FOLDER / prefix, f"{token}\n")


def results_without_memory(study: Path) -> bool:
    """Whether there are results but not the ``.snakemake`` folder that knows how they were made."""
    return (study / "results" / "screening.tsv").exists() and not (study / ".snakemake" / "metadata").is_dir()
