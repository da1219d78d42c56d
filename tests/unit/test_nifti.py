"""What the stages load when they start, and that nibabel does without pydicom."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calciflow.images import read_volume
from calciflow.nifti import nib

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
DECODERS = {"pydicom", "requests", "PIL"}
UNUSED = {
    "index": {"SimpleITK", "pandas", "scipy.ndimage"},
    "suv": DECODERS | {"SimpleITK", "scipy.ndimage", "pandas", "matplotlib"},
    "register": DECODERS | {"scipy.stats", "scipy.signal", "pandas", "matplotlib"},
    "lesions": DECODERS | {"scipy.stats", "scipy.signal", "pandas", "matplotlib"},
    "compartments": DECODERS | {"scipy.stats", "scipy.signal", "matplotlib"},
}


@pytest.mark.parametrize("stage", UNUSED)
def test_a_stage_loads_only_what_it_uses(stage):
    """Each scan starts each stage anew: what is loaded for nothing costs more than the smaller stages' own work."""
    program = f"import sys, calciflow.{stage}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(SCRIPTS)}
    )
    assert UNUSED[stage].isdisjoint(done.stdout.split())


def test_pydicom_can_be_imported_afterwards():
    program = "import sys, calciflow.nifti; assert 'pydicom' not in sys.modules; import pydicom; print(pydicom.Dataset)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(SCRIPTS)}
    )
    assert "Dataset" in done.stdout


def test_a_header_with_a_dicom_extension_is_read(tmp_path):
    """A corrected mask or a label map may carry one (ecode 2), and it may be no valid DICOM at all."""
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.diag([1.0, 2.0, 3.0, 1.0]))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"\x08\x00\x05\x00CS\x02\x00xx" + bytes(6)))
    nib.save(image, tmp_path / "mask.nii")
    content = bytearray((tmp_path / "mask.nii").read_bytes())
    assert content[356:360] == (6).to_bytes(4, "little")  # the code of a comment, where NIfTI-1 has it
    content[356:360] = (2).to_bytes(4, "little")
    (tmp_path / "mask.nii").write_bytes(content)
    assert read_volume(tmp_path / "mask.nii").array.sum() == np.arange(24).sum()
