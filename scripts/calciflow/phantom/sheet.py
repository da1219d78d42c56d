"""Look at phantoms: ``python -m calciflow.phantom.sheet OUT.png [--real FOLDER]``.

One row a phantom: projections of CT and PET, and slices from head to foot. ``--real`` adds a row of a real scan, a
folder with ``CT`` and ``PET`` of DICOM slices, to compare with: such a picture holds a person's data and stays local.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray
from PIL import Image

from calciflow.files import whole_file
from calciflow.images import Volume
from calciflow.phantom.scan import PhantomScan, make_scan
from calciflow.phantom.spec import CtSpec, DepositSpec, PersonSpec, PetSpec, ScanSpec

PEOPLE = (
    PersonSpec(1.62, 17.5, "F", 34, "up"),
    PersonSpec(1.74, 25.0, "M", 58, "down"),
    PersonSpec(1.60, 37.0, "F", 66, "belly"),
)
"""Thin, middling and obese; arms up, down and on the belly."""

_LEVELS = (1600, 1560, 1515, 1385, 1280, 1110, 985, 880, 640, 455, 250, 70)
"""Heights of the slices (mm at 1.70 m): brain, face, jaw, shoulders, heart, kidneys, ilium, hips, and down the legs."""

_DEPOSITS = (
    DepositSpec("elbow", "right", volume_ml=0.6, count=3, hu=600, suv=10),
    DepositSpec("pelvis", "left", form="tumoral", volume_ml=8, hu=450, suv=9),
    DepositSpec("thigh", "right", form="sheet", volume_ml=3, hu=500, suv=8),
    DepositSpec("thigh", "left", compartment="muscle", form="streak", volume_ml=3, hu=400, suv=8),
    DepositSpec("lower_leg", "left", "subcutaneous", "CT-PET+", volume_ml=1.5, suv=9),
)
_WINDOW = (-180.0, 300.0)
_BONE = (50.0, 900.0)
_SUV = (0.0, 8.0)


def example(person: PersonSpec, seed: int = 9, voxel_mm: float = 2.0, slice_mm: float = 3.0) -> PhantomScan:
    """A whole body with a few deposits."""
    size = (int(760 / voxel_mm), int(500 / voxel_mm))
    ct = CtSpec(pixel_mm=voxel_mm, matrix=size, slice_mm=slice_mm, noise_hu=10)
    spec = ScanSpec(person=person, ct=ct, pet=PetSpec(pixel_mm=4.0, slice_mm=4.0), deposits=_DEPOSITS)
    return make_scan(spec, seed, strict=False)


def read_real(folder: Path) -> tuple[Volume, Volume]:
    """CT and PET of a folder with DICOM slices in ``CT`` and ``PET``, axes along RAS."""
    volumes = []
    for name in ("CT", "PET"):
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / name)))
        volume = Volume.from_sitk(sitk.DICOMOrient(reader.Execute(), "LPS"))
        affine = volume.affine.copy()
        for axis in (0, 1):  # LPS to RAS: the two in-plane axes turn round
            affine[:3, 3] += affine[:3, axis] * (volume.array.shape[2 - axis] - 1)
            affine[:3, axis] *= -1
        volumes.append(Volume(np.ascontiguousarray(volume.array[:, ::-1, ::-1]), affine))
    return volumes[0], volumes[1]


def _show(axes: Axes, plane: NDArray[np.float32], step: tuple[float, float], limits: tuple[float, float]) -> None:
    """One picture, the patient's right (high x) on the left, up at the top; ``step``: mm along rows and columns."""
    axes.imshow(
        plane[::-1, ::-1],
        cmap="gray_r" if limits == _SUV else "gray",
        vmin=limits[0],
        vmax=limits[1],
        aspect=step[0] / step[1],
        interpolation="bilinear",
    )
    axes.set_axis_off()


def _row(parts: Sequence[SubFigure], ct: Volume, pet: Volume, heights: Sequence[float]) -> None:
    """Projections into the first part, slices into the second, each cut to the body in it."""
    dz, dy, dx = ct.spacing
    views = parts[0].subplots(1, 3, gridspec_kw={"wspace": 0.02})
    _show(views[0], ct.array.max(axis=1).astype(np.float32), (dz, dx), _BONE)
    _show(views[1], ct.array.max(axis=2)[:, ::-1].astype(np.float32), (dz, dy), _BONE)
    _show(views[2], pet.array.max(axis=1).astype(np.float32), (pet.spacing[0], pet.spacing[2]), _SUV)
    slices = parts[1].subplots(3, 4, gridspec_kw={"wspace": 0.02, "hspace": 0.02})
    for axes, z in zip(slices.flat, heights, strict=True):
        axes.set_axis_off()
        k = round((z - ct.affine[2, 3]) / dz)
        if not 0 <= k < ct.array.shape[0]:
            continue
        plane = ct.array[k]
        rows, columns = (np.flatnonzero((plane > -200).any(axis=axis)) for axis in (1, 0))
        if len(rows):
            part = plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            _show(axes, part.astype(np.float32), (dy, dx), _WINDOW)
    for part in parts:
        part.subplots_adjust(left=0.005, right=0.995, top=0.99, bottom=0.01)


def draw(out: Path, people: Sequence[PersonSpec] = PEOPLE, real: Path | None = None, dpi: int = 100) -> None:
    """Draw the sheet, one row a phantom, and a last one of a real scan if there is one."""
    count = len(people) + (real is not None)
    figure = Figure(figsize=(11, 4.2 * count), facecolor="white")
    rows = np.asarray(figure.subfigures(count, 2, squeeze=False, width_ratios=[1.0, 1.3], wspace=0, hspace=0))
    for parts, person in zip(rows, people, strict=False):
        scan = example(person)
        _row(list(parts), scan.ct, scan.pet_suv, [z * person.height_m / 1.70 for z in _LEVELS])
    if real is not None:
        ct, pet = read_real(real)
        top = ct.affine[2, 3] + ct.spacing[0] * (ct.array.shape[0] - 1)
        _row(list(rows[-1]), ct, pet, np.linspace(top, ct.affine[2, 3], len(_LEVELS) + 2)[1:-1].tolist())
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    grey = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("L")
    with whole_file(out) as partial:
        grey.save(partial, format="png", optimize=True)


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m calciflow.phantom.sheet", description="Draw phantoms to look at.")
    parser.add_argument("out", type=Path, help="PNG")
    parser.add_argument("--real", type=Path, help="a folder with DICOM slices in CT and PET, drawn as a last row")
    options = parser.parse_args(arguments)
    draw(options.out, real=options.real)
    return 0


if __name__ == "__main__":
    sys.exit(main())
