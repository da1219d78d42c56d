"""TotalSegmentator, installed by the user, run on a CT.

Wasserthal 2023, doi 10.1148/ryai.230024. The program, its weights (downloaded at its first run) and the licence number
that some tasks need are the user's; nothing of it comes with calciflow.
"""

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from calciflow.errors import ScanError
from calciflow.files import write_json
from calciflow.images import read_volume, write_volume
from calciflow.maps.reading import read_map

LICENSED = ("tissue_types", "appendicular_bones")
"""Tasks whose weights need a licence number, free for non-commercial use."""

HOW_TO_INSTALL = (
    "Install it into an environment of its own (python -m venv totalseg && totalseg/bin/pip install TotalSegmentator), "
    "download its weights once (totalseg/bin/totalseg_download_weights -t {task}), and name it in config/config.yaml: "
    "segment: {{command: /path/to/totalseg/bin/TotalSegmentator}}."
)
HOW_TO_LICENSE = (
    "The task {task} needs a licence number (free for non-commercial use, from backend.totalsegmentator.com/"
    "license-academic), set once with: totalseg_set_license -l NUMBER."
)


def arguments(command: str, ct: str, output: str, task: str, device: str, model: str, threads: int) -> list[str]:
    """Give the command line; ``model`` chooses among the resolutions that the task total has."""
    line = [*shlex.split(command), "-i", ct, "-o", output, "--ml", "--task", task, "--device", device]
    if task == "total" and model != "normal":
        line.append(f"--{model}")
    # Saving several volumes side by side multiplies memory, and one label map is one volume.
    return [*line, "--nr_thr_resamp", str(threads), "--nr_thr_saving", "1"]


def environment(threads: int) -> dict[str, str]:
    """The user's environment for the program, without what belongs to this workflow's Python."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        kept[name] = str(threads)
    return {**kept, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(threads)}


def run_totalsegmentator(
    *,
    ct: str,
    labels: str,
    told: str,
    task: str,
    command: str = "TotalSegmentator",
    device: str = "cpu",
    model: str = "normal",
    threads: int = 1,
) -> None:
    """Run the program on a CT and keep its label map (the stage ``segment``).

    What the program prints goes to the rule's log. The map is checked and written anew, so that the same labels give
    the same bytes.

    Raises
    ------
    ScanError
        If the program is not there, fails, or leaves no map of this CT; says how to install what is missing.
    """
    program = shlex.split(command)[:1]
    if not program or shutil.which(program[0]) is None:
        raise ScanError(f"TotalSegmentator was not found (segment.command). {HOW_TO_INSTALL.format(task=task)}")
    with tempfile.TemporaryDirectory(prefix="calciflow-segment-") as folder:
        output = Path(folder) / "labels.nii.gz"
        line = arguments(command, str(Path(ct).resolve()), str(output), task, device, model, threads)
        done = subprocess.run(line, cwd=folder, env=environment(threads), stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            hint = f" {HOW_TO_LICENSE.format(task=task)}" if task in LICENSED else ""
            raise ScanError(
                f"TotalSegmentator ended with status {done.returncode}; what it said stands in the log. It downloads "
                f"weights at its first run, which needs a network: totalseg_download_weights -t {task} gets them "
                f"beforehand. On a lack of memory use segment.model: fast.{hint}"
            )
        # Versions differ in what they make of a file's name given as output.
        found = sorted(path for path in Path(folder).rglob("*.nii*") if path.is_file())
        if len(found) != 1:
            raise ScanError(f"TotalSegmentator left {len(found)} files instead of one label map (version 2 does).")
        volume = read_volume(ct)
        result = read_map(f"totalsegmentator_{task}", str(found[0]), volume)
        write_volume(labels, volume.like(result.labels), np.uint8)
    content = {"program": "TotalSegmentator", "version": _version(command, threads), "task": task}
    write_json(told, {**content, "model": model if task == "total" else "normal", "device": device})


def _version(command: str, threads: int) -> str | None:
    """What the program calls itself; None if it does not say."""
    try:
        done = subprocess.run(
            [*shlex.split(command), "--version"],
            env=environment(threads),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[-1][:40] if done.returncode == 0 and lines else None
