"""A phantom's scan as scanners of several makers write it, with the other series that a real study carries.

What differs between makers, and where it can lead a reader astray, follows their DICOM conformance statements and real
headers: units, the moment that activity is decay corrected to, private elements, slopes, signs, the order and names of
the files, the transfer syntax. Pixels stay those of the phantom.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from calciflow.phantom.companions import write_companions
from calciflow.phantom.dicom_writer import Finish, start_of, write_dicom
from calciflow.phantom.scan import HALF_LIFE_S, PhantomScan

Change = Callable[[PhantomScan, Dataset], None]

GE_PRIVATE = "GEMS_PETD_01"
PHILIPS_PRIVATE = "Philips PET Private Group"
SIEMENS_PRIVATE = "SIEMENS MED PT"

_COUNTS = 2.7345
"""Bq/ml of a Philips count: any number will do, since both of its factors are given."""

_LATE_MIN = 25
"""Minutes after the scan at which a GE console made the series: its Series Time is no scan time."""


@dataclass(frozen=True)
class Dialect:
    """How a maker's scanners write.

    Attributes
    ----------
    maker, model
        Manufacturer (0008,0070) and model.
    ct, pet
        Changes to each slice.
    from_feet
        Whether slices are numbered, and files named, from the feet up.
    implicit
        Whether files are written in implicit VR, so that private elements have none.
    file_name
        Format of the files' names, from series number and instance.
    """

    maker: str
    model: str
    ct: Change
    pet: Change
    from_feet: bool
    implicit: bool
    file_name: str


def _moment(scan: PhantomScan, minutes: float = 0.0) -> str:
    return (start_of(scan) + timedelta(minutes=minutes)).strftime("%Y%m%d%H%M%S.%f")


def _rescale(d: Dataset, factor: float) -> None:
    """Give a PET slice other units: its stored words stay, its slope changes."""
    d.RescaleSlope = f"{float(d.RescaleSlope) * factor:.9g}"


def _siemens_ct(scan: PhantomScan, d: Dataset) -> None:
    pass


def _siemens_pet(scan: PhantomScan, d: Dataset) -> None:
    """Bq/ml, corrected to the start; the scan's start stands in a private element as well, which adds nothing."""
    d.private_block(0x0071, SIEMENS_PRIVATE, create=True).add_new(0x22, "DT", _moment(scan))


def _ge_ct(scan: PhantomScan, d: Dataset) -> None:
    d.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    d.ScanOptions = "HELICAL MODE"
    d.ConvolutionKernel = "STANDARD"
    d.SeriesDescription = "CTAC 3.75 Thick"
    d.PixelRepresentation = 1  # the words are below 2^15: they are the same


def _ge_pet(scan: PhantomScan, d: Dataset) -> None:
    """Bq/ml, corrected to the start, which only a private element tells: the series was made later."""
    d.SeriesDescription = "PET WB AC"
    d.SeriesTime = (start_of(scan) + timedelta(minutes=_LATE_MIN)).strftime("%H%M%S.%f")
    del d.ConvolutionKernel
    d.ReconstructionMethod = "VPFX"
    d.AttenuationCorrectionMethod = "measured,, 0.096000 cm-1,"
    d.CorrectedImage = ["DECY", "ATTN", "SCAT", "DTIM", "RAN", "RADL", "DCAL", "SLSENS", "NORM"]
    d.SeriesType = ["STATIC", "IMAGE"]
    private = d.private_block(0x0009, GE_PRIVATE, create=True)
    private.add_new(0x0D, "DT", _moment(scan))
    private.add_new(0x38, "FL", scan.spec.pet.dose_mbq)
    private.add_new(0x3B, "DT", _moment(scan, -scan.spec.pet.uptake_min))
    drug = d.RadiopharmaceuticalInformationSequence[0]
    drug.pop("RadiopharmaceuticalStartDateTime", None)  # a time without a date, as six in ten scanners write it


def _ge_admin_pet(scan: PhantomScan, d: Dataset) -> None:
    """Bq/ml, corrected to the injection."""
    _ge_pet(scan, d)
    growth = 2 ** (scan.spec.pet.uptake_min * 60 / HALF_LIFE_S)
    d.DecayCorrection = "ADMIN"
    _rescale(d, growth)
    d.DecayFactor = f"{float(d.DecayFactor) * growth:.6g}"


def _philips_ct(scan: PhantomScan, d: Dataset) -> None:
    d.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "HELIX"]
    d.ScanOptions = "HELIX"
    d.ConvolutionKernel = "B"
    d.SeriesDescription = "WB CT, iDose"
    d.BitsStored, d.HighBit = 12, 11


def _philips_pet(scan: PhantomScan, d: Dataset) -> None:
    """Counts; the factors to SUV and to Bq/ml stand in private elements."""
    d.SeriesDescription = "WB CTAC"
    d.ImageType = ["ORIGINAL", "PRIMARY"]
    d.ReconstructionMethod = "BLOB-OS-TF"
    d.AttenuationCorrectionMethod = "CTAC-SG"
    del d.ConvolutionKernel
    d.Units = "CNTS"
    del d.RescaleType
    _rescale(d, 1 / _COUNTS)
    private = d.private_block(0x7053, PHILIPS_PRIVATE, create=True)
    private.add_new(0x00, "DS", f"{_COUNTS / scan.bqml_per_suv:.9g}")
    private.add_new(0x03, "ST", "C:/export/emission.img")
    private.add_new(0x09, "DS", f"{_COUNTS:.9g}")


def _philips_gml_pet(scan: PhantomScan, d: Dataset) -> None:
    """SUV by body weight already."""
    _philips_pet(scan, d)
    del d[0x7053, 0x0010], d[0x7053, 0x1000], d[0x7053, 0x1003], d[0x7053, 0x1009]
    d.Units, d.SUVType = "GML", "BW"
    _rescale(d, _COUNTS / scan.bqml_per_suv)


_GE = ("GE MEDICAL SYSTEMS", "Discovery 690 (digital phantom)")
_PHILIPS = ("Philips Medical Systems", "Ingenuity TF (digital phantom)")

DIALECTS = {
    "siemens": Dialect(
        "SIEMENS",
        "Biograph 64 (digital phantom)",
        _siemens_ct,
        _siemens_pet,
        from_feet=False,
        implicit=False,
        file_name="S{series}I{instance:04d}.dcm",
    ),
    "ge": Dialect(*_GE, _ge_ct, _ge_pet, from_feet=True, implicit=True, file_name="i{series}.{instance}.dcm"),
    "philips": Dialect(
        *_PHILIPS, _philips_ct, _philips_pet, from_feet=True, implicit=False, file_name="IM_{series}_{instance:05d}.dcm"
    ),
    "ge_admin": Dialect(
        *_GE, _ge_ct, _ge_admin_pet, from_feet=True, implicit=True, file_name="i{series}.{instance}.dcm"
    ),
    "philips_gml": Dialect(
        *_PHILIPS,
        _philips_ct,
        _philips_gml_pet,
        from_feet=True,
        implicit=False,
        file_name="IM_{series}_{instance:05d}.dcm",
    ),
}
"""Ways of writing: Siemens (BQML, START), GE (BQML, START by a private element, or ADMIN), Philips (CNTS with private
factors, or GML)."""


def dialect_of(seed: int) -> str:
    """The dialect that a scan's seed draws."""
    return list(DIALECTS)[seed % len(DIALECTS)]


def finish_in(scan: PhantomScan, dialect: Dialect) -> Finish:
    """The last changes to each slice, for ``write_dicom``."""

    def finish(d: Dataset, number: int, count: int) -> str:
        d.Manufacturer, d.ManufacturerModelName = dialect.maker, dialect.model
        (dialect.ct if d.Modality == "CT" else dialect.pet)(scan, d)
        if dialect.from_feet:
            d.InstanceNumber = count - number
        if dialect.implicit:
            d.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        return dialect.file_name.format(series=d.SeriesNumber, instance=int(d.InstanceNumber))

    return finish


def write_study(scan: PhantomScan, folder: str | Path, name: str | None = None) -> None:
    """Write a scan as a whole study in a maker's dialect; what was there is replaced.

    ``folder/CT`` and ``folder/PT`` hold the series that belong together, ``folder/other`` what else a study carries
    (`calciflow.phantom.companions`). ``name`` None draws the dialect by the scan's seed.
    """
    dialect = DIALECTS[name or dialect_of(scan.seed)]
    finish = finish_in(scan, dialect)
    write_dicom(scan, folder, finish)
    other = Path(folder) / "other"
    shutil.rmtree(other, ignore_errors=True)
    write_companions(scan, other, finish, np.random.default_rng([scan.seed, 41]))
