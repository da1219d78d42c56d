"""What a stage needs on a cluster, from the size of the scan as ``index`` measured it.

Memory and time grow with the voxels of CT and PET; the lines were fitted (``python -m calciflow.resources``) to what
``tests/benchmark/resources.py`` measured over small and large scans (``tests/benchmark/resources.tsv``). Sizes of input
files are no guide: in a job that holds a scan's whole chain, most of them are not there yet.
"""

import csv
import json
import math
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

MILLION = 1e6
SNAKEMAKE_MB = 250
"""Two processes of Snakemake stand around the payload in a cluster job, of 100 MB each."""
MARGIN = 1.25
"""On memory: the fit is through the largest of what was measured, and bodies differ."""
SLOWER = 4.0
"""On time: a node may be that much slower than the machine of the fit, or busy."""
START_MIN = 5
INDEX_MIN = 15
"""Time for ``index``: it alone reads thousands of small files from an archive, which takes waiting more than work."""
UNKNOWN = {"ct": 512 * 512 * 1000, "pet": 256 * 256 * 1000}
"""Voxels of a scan that is not indexed yet: a large one (a whole adult in slices of 2 mm, and PET no coarser), so that
no more than one scan in twenty of a hospital's archive exceeds it."""


@dataclass(frozen=True)
class Need:
    """A line: ``base`` and so much more for each million voxels of CT and PET."""

    base: float
    per_ct: float
    per_pet: float

    def of(self, size: dict[str, int]) -> float:
        """Its value for a scan of so many voxels."""
        return self.base + (self.per_ct * size["ct"] + self.per_pet * size["pet"]) / MILLION


MEMORY_MB: dict[str, Need] = {
    "compartments": Need(228.9, 6.09, 0.0),
    "convert-ct": Need(362.77, 7.52, 0.0),
    "convert-pet": Need(174.32, 0.01, 4.11),
    "index": Need(939.77, 5.31, 12.37),
    "lesions": Need(263.05, 6.72, 76.72),
    "qc": Need(266.01, 7.87, 6.59),
    "register": Need(261.02, 5.3, 17.44),
    "review": Need(261.0, 0.0, 0.0),
    "scores": Need(75.13, 0.01, 0.04),
    "suv": Need(174.54, 0.0, 8.12),
    "tissues": Need(312.43, 19.73, 11.64),
}
CPU_S: dict[str, Need] = {
    "compartments": Need(1.04, 0.01, 0.0),
    "convert-ct": Need(0.53, 0.02, 0.01),
    "convert-pet": Need(0.53, 0.0, 0.01),
    "index": Need(1.17, 0.02, 0.03),
    "lesions": Need(1.71, 0.04, 0.87),
    "qc": Need(1.52, 0.03, 0.07),
    "register": Need(1.76, 0.06, 0.24),
    "review": Need(1.58, 0.0, 0.0),
    "scores": Need(0.46, 0.0, 0.0),
    "suv": Need(0.48, 0.0, 0.02),
    "tissues": Need(1.55, 0.25, 0.2),
}


def voxels(screening: Path) -> dict[str, int]:
    """Voxels of a scan's CT and PET, by its ``screening.json``; those of a large scan while there is none."""
    try:
        time = screening.stat().st_mtime_ns
    except OSError:
        return dict(UNKNOWN)
    return dict(_voxels(screening, time))


@lru_cache(maxsize=100_000)
def _voxels(screening: Path, time: int) -> tuple[tuple[str, int], ...]:
    try:
        size = json.loads(screening.read_text(encoding="utf-8"))["size"]
        return tuple((kind, math.prod(size.get(kind, (0,)))) for kind in ("ct", "pet"))
    except (OSError, ValueError, KeyError, TypeError):
        return tuple(UNKNOWN.items())


def memory_mb(stage: str, size: dict[str, int], attempt: int = 1) -> int:
    """Memory to ask for, MB in steps of 100; so much again at each further try."""
    return 100 * math.ceil((MARGIN * MEMORY_MB[stage].of(size) + SNAKEMAKE_MB) / 100) * attempt


def runtime_min(stage: str, size: dict[str, int], attempt: int = 1) -> int:
    """Time to ask for, minutes."""
    return math.ceil(START_MIN + SLOWER * CPU_S[stage].of(size) / 60) * attempt


def index_memory_mb(attempt: int = 1) -> int:
    """Memory to ask for ``index``, which runs before anything is known of the scan: that of a large one."""
    return memory_mb("index", UNKNOWN, attempt)


def index_runtime_min(attempt: int = 1) -> int:
    """Time to ask for ``index``, minutes."""
    return max(INDEX_MIN, runtime_min("index", UNKNOWN)) * attempt


def table() -> str:
    """Give the markdown table of the lines, and of what is asked for a usual scan."""
    usual = {"ct": 512 * 512 * 400, "pet": 200 * 200 * 500}
    lines = [
        "| stage | measured memory, MB | measured CPU time, s | asked for at 512 x 512 x 400 and 200 x 200 x 500 |",
        "| --- | --- | --- | --- |",
    ]
    for stage, need in MEMORY_MB.items():
        terms = [" + ".join(_terms(one)) for one in (need, CPU_S[stage])]
        asked = f"{memory_mb(stage, usual)} MB, {runtime_min(stage, usual)} min"
        if stage == "index":
            asked = f"{index_memory_mb()} MB, {index_runtime_min()} min, whatever the size"
        if stage == "review":
            asked = "what `lesions` asks for: a reader's edits take the same images"
        lines.append(f"| `{stage}` | {terms[0]} | {terms[1]} | {asked} |")
    lines += ["", "ct, pet: million voxels. Asked for: 1.25 times the memory and 250 MB; 4 times the time and 5 min."]
    return "\n".join(lines) + "\n"


def _terms(need: Need) -> list[str]:
    more = ((need.per_ct, "ct"), (need.per_pet, "pet"))
    return [f"{need.base:g}", *(f"{value:g} {name}" for value, name in more if value)]


def fit(rows: list[dict[str, str]], column: str) -> dict[str, Need]:
    """Fit each stage's line, no coefficient below zero, and lift it until nothing measured lies above it."""
    from scipy.optimize import nnls

    found = {}
    for stage in sorted({row["stage"] for row in rows}):
        mine = [row for row in rows if row["stage"] == stage]
        design = np.array([[1.0, int(row["ct_voxels"]) / MILLION, int(row["pet_voxels"]) / MILLION] for row in mine])
        measured = np.array([float(row[column]) for row in mine])
        # Relative errors count, so that small scans are met as well as large ones.
        weights = 1 / np.maximum(measured, 1.0)
        line, _ = nnls(design * weights[:, None], measured * weights)
        line *= max(1.0, float((measured / np.maximum(design @ line, 1e-9)).max()))
        found[stage] = Need(*(round(float(value), 2) for value in line))
    return found


def read_measured(path: Path) -> list[dict[str, str]]:
    """Rows of ``tests/benchmark/resources.tsv``."""
    with open(path, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def main() -> int:
    """Print the fits of a table of measurements."""
    rows = read_measured(Path(sys.argv[1]))
    for title, column in (("MEMORY_MB", "max_rss_mb"), ("CPU_S", "cpu_seconds")):
        print(f"{title}: dict[str, Need] = {{")
        for stage, need in fit(rows, column).items():
            print(f'    "{stage}": Need({need.base}, {need.per_ct}, {need.per_pet}),')
        print("}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
