"""A program that behaves as TotalSegmentator does at its command line, without network and weights.

It calls bone what is dense: left and right femur by the side of the patient, as its task ``total`` numbers them.
"""

import stat
import sys
from pathlib import Path

PROGRAM = """#!{python}
import argparse, json, os, sys
from pathlib import Path
import nibabel as nib
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("-i", required=True)
parser.add_argument("-o", required=True)
parser.add_argument("--ml", action="store_true")
parser.add_argument("--task", choices=["total", "tissue_types", "appendicular_bones"], default="total")
parser.add_argument("--device", default="gpu")
parser.add_argument("--fast", action="store_true")
parser.add_argument("--fastest", action="store_true")
parser.add_argument("--nr_thr_resamp", type=int, default=1)
parser.add_argument("--nr_thr_saving", type=int, default=6)
parser.add_argument("--version", action="version", version="2.99.0")
given = parser.parse_args()
assert given.ml
assert Path(given.i).is_absolute()
assert "PYTHONPATH" not in os.environ
{behaviour}
image = nib.load(given.i)
hu = np.asarray(image.dataobj)
x = nib.affines.apply_affine(image.affine, np.argwhere(np.ones(hu.shape[:1] + (1, 1))))[:, 0]
side = np.where(x < 0, 75, 76).astype(np.uint8)[:, None, None]
labels = (hu > 300) * side if given.task == "total" else ((hu > 0) & (hu < 120)) * np.uint8(3)
print("predicting", given.task, "with", os.environ["OMP_NUM_THREADS"], "threads on", given.device, given.fast)
nib.save(nib.Nifti1Image(labels.astype(np.uint8), image.affine), given.o)
"""


def install(folder: Path, behaviour: str = "") -> Path:
    """Write the program into a folder; ``behaviour`` is Python run before it works."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "TotalSegmentator"
    program.write_text(PROGRAM.replace("{python}", sys.executable).replace("{behaviour}", behaviour))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program
