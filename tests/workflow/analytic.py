"""A scan of plain cylinders and spheres, written as DICOM by pydicom alone.

It shares no code with the workflow or with its phantom, so that what the workflow reads, measures and places is
checked against geometry that can be worked out on paper.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage, generate_uid


@dataclass(frozen=True)
class Sphere:
    """A deposit: centre in LPS mm, radius in mm, HU (None: not calcified), SUV (None: as its surroundings)."""

    centre: tuple[float, float, float]
    radius: float
    hu: float | None
    suv: float | None

    @property
    def ml(self) -> float:
        return 4 / 3 * np.pi * self.radius**3 / 1000


@dataclass(frozen=True)
class Limb:
    """A thigh: skin and fat outside, muscle inside, a femur with marrow in the middle; along z."""

    x: float
    y: float = 0.0
    outer: float = 85.0
    muscle: float = 62.0
    bone: float = 14.0
    marrow: float = 7.0


WEIGHT_KG = 72.0
DOSE_BQ = 370e6
HALF_LIFE_S = 6586.2
UPTAKE_S = 3600.0


def grid(size: tuple[int, int, int], spacing: tuple[float, float, float], centre: tuple[float, float, float]):
    """Coordinates in LPS mm of every voxel, as arrays that broadcast to (z, y, x)."""
    axes = [(np.arange(n) - (n - 1) / 2) * s + c for n, s, c in zip(size, spacing, centre, strict=True)]
    return axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]


def render(axes, limbs, spheres, values, blank, kind):
    """Values of tissue and deposits on a grid, with each voxel the mean over 3 x 3 x 3 points in it."""
    z, y, x = axes
    steps = [np.ravel(axis) for axis in (z, y, x)]
    pitch = [float(abs(step[1] - step[0])) for step in steps]
    total = np.zeros((z.size, y.size, x.size), np.float32)
    for dz in (-1 / 3, 0, 1 / 3):
        for dy in (-1 / 3, 0, 1 / 3):
            for dx in (-1 / 3, 0, 1 / 3):
                zz, yy, xx = z + dz * pitch[0], y + dy * pitch[1], x + dx * pitch[2]
                image = np.full(total.shape, blank, np.float32)
                for limb in limbs:
                    r = np.hypot(xx - limb.x, yy - limb.y) + 0 * zz
                    for name, radius in (("fat", limb.outer), ("muscle", limb.muscle), ("bone", limb.bone)):
                        image[r < radius] = values[name]
                    image[r < limb.marrow] = values["marrow"]
                for sphere in spheres:
                    value = getattr(sphere, kind)
                    if value is not None:
                        cx, cy, cz = sphere.centre
                        inside = (xx - cx) ** 2 + (yy - cy) ** 2 + (zz - cz) ** 2 < sphere.radius**2
                        image[inside] = value
                total += image / 27
    return total


def blurred(image, spacing, fwhm):
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(image, [fwhm / 2.3548 / step for step in spacing])


def _common(modality, sop_class, seed, frame):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.SOPClassUID = sop_class
    dataset.Modality = modality
    dataset.PatientName, dataset.PatientID = "Nobody^Known", "N0B0DY"
    dataset.PatientSex, dataset.PatientWeight, dataset.PatientSize = "F", WEIGHT_KG, 1.68
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[seed, "study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[seed, modality])
    dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=[seed, frame])
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = "20240531"
    dataset.SeriesTime = dataset.AcquisitionTime = "110000"
    dataset.StudyTime = "100000"
    dataset.Manufacturer, dataset.PatientPosition = "Analytic", "FFS"
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    return dataset


def _write_slices(folder, template, image, axes, spacing, slopes):
    folder.mkdir(parents=True, exist_ok=True)
    z, y, x = (np.ravel(axis) for axis in axes)
    order = np.random.default_rng(0).permutation(len(z))  # files in no order
    for name, k in enumerate(order):
        dataset = Dataset()
        dataset.update(template)
        dataset.file_meta = template.file_meta
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[template.SeriesInstanceUID, str(k)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.InstanceNumber = int(k) + 1
        dataset.ImagePositionPatient = [float(x[0]), float(y[0]), float(z[k])]
        dataset.PixelSpacing, dataset.SliceThickness = [spacing[1], spacing[2]], spacing[0]
        dataset.Rows, dataset.Columns = image.shape[1:]
        dataset.RescaleSlope, dataset.RescaleIntercept = slopes[k]
        stored = np.rint((image[k] - slopes[k][1]) / slopes[k][0])
        dataset.PixelRepresentation = 1
        dataset.PixelData = stored.astype("<i2").tobytes()
        dataset.save_as(folder / f"{name:04d}", enforce_file_format=True)


def write_scan(folder: Path, limbs, spheres, seed="analytic", slices=40, noise_hu=12.0, fwhm=6.0, slice_mm=3.0) -> None:
    """Write CT and PET of limbs with deposits; z runs from -60 to 60 mm."""
    rng = np.random.default_rng(7)
    length = slices * slice_mm
    ct_axes = grid((slices, 130, 200), (slice_mm, 1.6, 1.6 * 1.25), (0, 0, 0))
    ct_spacing = (slice_mm, 1.6, 2.0)
    hu = {"fat": -100.0, "muscle": 55.0, "bone": 1100.0, "marrow": 150.0}
    ct = render(ct_axes, limbs, spheres, hu, -1000.0, "hu")
    ct = blurred(ct, ct_spacing, 1.6) + rng.normal(0, noise_hu, ct.shape).astype(np.float32)
    template = _common("CT", CTImageStorage, seed, "frame")
    template.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    template.SeriesNumber, template.KVP, template.ConvolutionKernel = 2, 120, "B30f"
    _write_slices(folder / "a", template, ct, ct_axes, ct_spacing, [(1, -1024)] * slices)

    count = round(length / 4) + 2
    pet_axes = grid((count, 60, 100), (4.0, 4.0, 4.0), (1, 0.5, -0.5))
    suv = {"fat": 0.25, "muscle": 0.6, "bone": 5.0, "marrow": 4.0}
    pet = blurred(render(pet_axes, limbs, spheres, suv, 0.0, "suv"), (4, 4, 4), fwhm)
    pet = pet + rng.normal(0, 0.04, pet.shape).astype(np.float32) * np.sqrt(np.maximum(pet, 0) + 0.05)
    # SUV 1 is the injected activity, decayed from injection to the start of the scan, over the weight in g.
    becquerel_per_ml = np.maximum(pet, 0) * DOSE_BQ * 2 ** (-UPTAKE_S / HALF_LIFE_S) / (WEIGHT_KG * 1000)
    template = _common("PT", PositronEmissionTomographyImageStorage, seed, "frame")
    template.ImageType, template.SeriesNumber = ["ORIGINAL", "PRIMARY"], 5
    template.Units, template.DecayCorrection = "BQML", "START"
    template.CorrectedImage = ["DECY", "ATTN", "SCAT", "DTIM", "RAN", "NORM"]
    template.SeriesType, template.CountsSource = ["WHOLE BODY", "IMAGE"], "EMISSION"
    template.ActualFrameDuration, template.FrameReferenceTime = 120000, 59937.0
    drug = Dataset()
    drug.RadiopharmaceuticalStartTime = "100000.00"
    drug.RadiopharmaceuticalStartDateTime = "20240531100000.00"
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = DOSE_BQ, HALF_LIFE_S
    drug.Radiopharmaceutical = "Sodium fluoride F18"
    nuclide = Dataset()
    nuclide.CodeValue, nuclide.CodingSchemeDesignator, nuclide.CodeMeaning = "C-111A1", "SRT", "^18^Fluorine"
    drug.RadionuclideCodeSequence = Sequence([nuclide])
    template.RadiopharmaceuticalInformationSequence = Sequence([drug])
    peaks = becquerel_per_ml.reshape(count, -1).max(axis=1)
    _write_slices(
        folder / "b", template, becquerel_per_ml, pet_axes, (4.0, 4.0, 4.0), [(max(p, 1.0) / 32000, 0) for p in peaks]
    )
