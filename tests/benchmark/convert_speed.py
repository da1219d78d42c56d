"""Time and memory of index and convert beside dcm2niix, on the same whole-body CT in the same run.

``make benchmark-convert``. The scan is made: 512 x 512 slices of a body with noise as scanners have it, written as
uncompressed DICOM, with a small PET beside it (without one there is no scan to index). Each round runs, one after the
other and each as a process of its own,

- calciflow: ``index`` (headers of all files, every chosen slice decoded once) and ``convert`` of the CT to .nii.gz;
- ``dcm2niix -z y`` on the CT's folder.

Exit status 1 if calciflow's time over dcm2niix's, start of Python included, is above ``LIMIT_RATIO``, or its peak
memory, Python and libraries included, above ``LIMIT_MEMORY`` times the size of the int16 volume.
"""

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from calciflow.images import read_volume

LIMIT_RATIO = 0.25
LIMIT_MEMORY = 2.0

CHILD = """
import json, sys, time
from pathlib import Path
start = time.perf_counter()
from calciflow.convert import convert_volume
from calciflow.index import index_scan
imported = time.perf_counter()
source, out = sys.argv[1:]
index_scan(
    series=out + "/series.tsv", screening=out + "/screening.json", selection=out + "/selection.json",
    scan={"participant_id": "sub-01", "session_id": "ses-01"}, sources={"source": source},
)
indexed = time.perf_counter()
convert_volume(
    selection=out + "/selection.json", volume=out + "/ct.nii.gz", sidecar=out + "/ct.json", modality="ct"
)
done = time.perf_counter()
# Not ru_maxrss: that of a child begins with its parent's peak. Linux's VmHWM is this program's own.
status = Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
print(json.dumps({"import": imported - start, "index": indexed - imported, "convert": done - indexed, "peak": peak}))
"""


def _maker() -> types.ModuleType:
    path = Path(__file__).resolve().parent.parent / "dicom_scans.py"
    spec = importlib.util.spec_from_file_location("dicom_scans", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["dicom_scans"] = module
    spec.loader.exec_module(module)
    return module


def make_scan(folder: Path, slices: int, size: int = 512) -> None:
    """Write CT and PET under ``folder/ct`` and ``folder/pet``.

    The CT: an elliptic body of fat, muscle and a little bone that tapers along z, in air, with correlated noise of
    about 20 HU in tissue and less in air, stored as 12 of 16 bits with an intercept of -1024.
    """
    make = _maker()
    random = np.random.default_rng(0)
    noises = []
    for _ in range(8):
        white = sitk.GetImageFromArray(random.normal(0, 1, (size, size)).astype(np.float32))
        smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(white, 0.7))
        noises.append(smooth * (20.0 / smooth.std()))
    y, x = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
    for k in range(slices):
        width = 0.36 - 0.12 * abs(k / slices - 0.4)
        radius = np.hypot(x / width, y / (0.65 * width))
        tissue = np.full((size, size), -1000, np.float32)
        tissue[radius < 1] = -100
        tissue[radius < 0.85] = 50
        tissue[(np.abs(x) < 0.25 * width) & (np.abs(y) < 0.1)] = -60
        tissue[np.hypot(x, y - 0.12) < 0.04] = 400
        shift = random.integers(0, size, 2)
        noise = np.roll(noises[k % 8], shift, (0, 1)) * np.where(radius < 1, 1, 0.4)
        stored = np.clip(np.rint(tissue + noise) + 1024, 0, 4095).astype(np.uint16)
        data = make.image("CT", k, stored, origin=(-256, -256, 0), spacing=(1.0, 1.0), increment=1.0)
        make.write(folder / "ct", [data], start=k)
    place = {"origin": (-250, -250, 0), "spacing": (8.0, 8.0), "increment": 5.0}
    make.write(folder / "pet", make.pet(max(slices // 5, 4), shape=(64, 64), **place))


def _run(command: list[str], cores: int | None = None) -> tuple[float, str]:
    start = time.perf_counter()
    pin = None if cores is None else (lambda: os.sched_setaffinity(0, set(list(os.sched_getaffinity(0))[:cores])))
    result = subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=pin)
    return time.perf_counter() - start, result.stdout


def check_equal(ours: Path, theirs: Path) -> None:
    """Both programs must have done the same work: the same voxels in the same places."""
    one, two = read_volume(ours), read_volume(theirs)
    # dcm2niix keeps the slices' own rows; both images are axial and differ by flips of whole axes.
    signs = np.sign(np.diag(two.affine)[:3])[::-1].astype(int)
    flipped = two.array[tuple(slice(None, None, sign) for sign in signs)]
    first = two.world(
        np.array([[0 if sign > 0 else size - 1 for sign, size in zip(signs, two.array.shape, strict=True)]])
    )
    if not np.array_equal(one.array, flipped) or np.abs(first - one.affine[:3, 3]).max() > 0.01:
        raise SystemExit("the two programs did not write the same voxels in the same places")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=580, help="of 512 x 512 (default: 580)")
    parser.add_argument("--rounds", type=int, default=3, help="alternating runs of each program (default: 3)")
    parser.add_argument("--cores", type=int, help="let both programs use only so many cores")
    parser.add_argument("--folder", help="where to write the scan, 300 MB (default: the system's temporary folder)")
    arguments = parser.parse_args()
    program = shutil.which("dcm2niix")
    if program is None:
        print("dcm2niix is not on this machine (Debian: apt-get install dcm2niix): nothing to compare with")
        return 2
    with tempfile.TemporaryDirectory(prefix="calciflow-benchmark-", dir=arguments.folder) as name:
        return compare(Path(name), program, arguments.slices, arguments.rounds, arguments.cores)


def compare(folder: Path, program: str, slices: int, rounds: int, cores: int | None) -> int:
    """Run both programs in turn and print the table; the exit status."""
    source, out = folder / "scan", folder / "out"
    out.mkdir()
    make_scan(source, slices)
    volume = 512 * 512 * slices * 2
    ours, theirs, peaks = [], [], []
    print(f"CT of 512 x 512 x {slices}, {volume / 2**20:.0f} MiB as int16; cores: {cores or os.cpu_count()}")
    for number in range(1, rounds + 1):
        seconds, text = _run([sys.executable, "-c", CHILD, str(source), str(out)], cores)
        parts = json.loads(text.splitlines()[-1])
        ours.append(seconds)
        peaks.append(parts["peak"] / volume)
        command = [program, "-z", "y", "-b", "y", "-w", "1", "-f", "theirs", "-o", str(out), str(source / "ct")]
        theirs.append(_run(command, cores)[0])
        print(
            f"round {number}: calciflow {seconds:.2f} s (start {parts['import']:.2f}, index {parts['index']:.2f}, "
            f"convert {parts['convert']:.2f}), peak memory {parts['peak'] / 2**20:.0f} MiB; "
            f"dcm2niix -z y {theirs[-1]:.2f} s",
            flush=True,
        )
    check_equal(out / "ct.nii.gz", out / "theirs.nii.gz")
    written = (out / "ct.nii.gz").read_bytes()
    _run([sys.executable, "-c", CHILD, str(source), str(out)], 1)
    if (out / "ct.nii.gz").read_bytes() != written:
        raise SystemExit("calciflow's file depends on the number of cores")
    sizes = [(out / f"{name}.nii.gz").stat().st_size / 2**20 for name in ("ct", "theirs")]
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"size of the .nii.gz: calciflow {sizes[0]:.0f} MiB, dcm2niix {sizes[1]:.0f} MiB")
    print("both wrote the same voxels, and calciflow the same bytes on one core")
    print(f"time, calciflow over dcm2niix (medians): {ratio:.3f} (limit {LIMIT_RATIO})")
    print(f"peak memory over the volume's size: {max(peaks):.2f} (limit {LIMIT_MEMORY})")
    return int(ratio > LIMIT_RATIO or max(peaks) > LIMIT_MEMORY)


if __name__ == "__main__":
    sys.exit(main())
