"""Two independent converters of DICOM, SimpleITK's GDCM reader and dcm2niix, beside calciflow's own.

Loaded by path: test files are no package.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from calciflow.convert import convert_volume
from calciflow.dicom.headers import quiet, read_listing
from calciflow.dicom.pixels import open_slice, stored_values
from calciflow.dicom.series import _measure, group
from calciflow.dicom.volume import fill
from calciflow.images import Volume, read_volume
from calciflow.index import index_scan

Converter = Callable[[Path, Path], Volume]


def by_simpleitk(folder: Path, _: Path) -> Volume:
    """SimpleITK's series reader: GDCM sorts, decodes and rescales."""
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(folder))
    assert names, "SimpleITK finds no series"
    reader.SetFileNames(names)
    return Volume.from_sitk(reader.Execute())


def by_dcm2niix(folder: Path, out: Path) -> Volume:
    """dcm2niix with its defaults; the one image it writes, read by nibabel."""
    program = shutil.which("dcm2niix")
    if program is None:
        pytest.skip("dcm2niix is not on this machine (Debian: apt-get install dcm2niix)")
    out.mkdir(parents=True, exist_ok=True)
    command = [program, "-z", "n", "-b", "n", "-f", "theirs", "-o", str(out), str(folder)]
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    found = sorted(out.glob("*.nii"))
    assert len(found) == 1, told.stdout
    image = nib.load(found[0])
    return Volume(np.asanyarray(image.dataobj).T, image.affine)


CONVERTERS: dict[str, Converter] = {"SimpleITK": by_simpleitk, "dcm2niix": by_dcm2niix}


def assert_agree(ours: Volume, theirs: Volume, tolerance: float = 0.01) -> None:
    """The same voxels in the same places; the corners bound the distance of all others, since both maps are affine."""
    size = np.array(theirs.array.shape)
    corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]) * (size - 1)
    points = theirs.world(corners)
    places = np.rint(ours.index(points)).astype(int)
    far = np.linalg.norm(ours.world(places) - points, axis=1).max()
    assert far <= tolerance, f"{far:.4f} mm apart"
    # Which of our axes each of theirs is, and which way it runs: read off two corners.
    steps = places[[4, 2, 1]] - places[0]
    assert (np.count_nonzero(steps, axis=1) <= 1).all()
    axes = [int(np.argmax(np.abs(step))) for step in steps]
    assert sorted(axes) == [0, 1, 2]
    assert [ours.array.shape[axis] for axis in axes] == size.tolist()
    signs = [int(np.sign(step[axis])) or 1 for step, axis in zip(steps, axes, strict=True)]
    turned = ours.array.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]
    if ours.array.dtype == np.float32:
        # Activities: a product of an integer and a decimal slope, each program's own rounding to float32.
        np.testing.assert_allclose(turned, theirs.array, rtol=3e-7, atol=0)
    else:
        # CT below air (-2000, -3024: outside the field of view) is -1024 here by design.
        lowest = -1024 if ours.array.dtype == np.int16 else theirs.array.min()
        assert np.array_equal(turned, np.maximum(theirs.array, lowest))


def through_stages(source: Path, out: Path, modality: str, *, require_ct: bool = True) -> Volume:
    """The volume that the stages index and convert leave on disk."""
    index_scan(
        series=str(out / "series.tsv"),
        screening=str(out / "screening.json"),
        selection=str(out / "selection.json"),
        scan={"participant_id": "sub-01", "session_id": "ses-01"},
        sources={"source": str(source)},
        require_ct=require_ct,
    )
    screening = json.loads((out / "screening.json").read_text())
    assert screening["verdict"] == "accepted", screening["reason"]
    volume = str(out / f"{modality}.nii.gz")
    selection = str(out / "selection.json")
    convert_volume(selection=selection, volume=volume, sidecar=str(out / "x.json"), modality=modality)
    return read_volume(volume)


def assert_same_as(converter: str, folder: Path, out: Path) -> None:
    """The one series of a folder agrees with another converter's."""
    assert_agree(one_series(folder), CONVERTERS[converter](folder, out))


def one_series(folder: Path) -> Volume:
    """The one series of a folder as convert makes it; a kind of image that no study may use with its own scaling."""
    (item,) = group([("source", read_listing(folder).headers)])
    if not (item.is_ct or item.is_pet):
        _measure(item)
    assert item.grid is not None, item.fault
    headers = [item.headers[slot[0]] for slot in item.grid.slots]
    if item.is_ct or item.is_pet:
        places = [{"path": h.entry.path, "member": "", "frame": h.frame, "ordinal": 1} for h in headers]
        return fill(str(folder), places, item.grid, pet=item.is_pet)
    scaled = any(h.slope not in (None, 1.0) for h in headers)
    array = np.zeros(item.grid.shape, np.float32 if scaled else np.int32)
    view = item.grid.slices_of(array)
    with quiet():
        for index, h in enumerate(headers):
            stored = stored_values(open_slice((folder / h.entry.path).read_bytes()))
            view[index] = stored * h.slope + h.intercept if h.slope and h.intercept is not None else stored
    return Volume(array, item.grid.affine)
