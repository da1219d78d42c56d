"""``make selftest``: a header for every SUV rule, vendor and trap, evaluated and held against hand calculations.

Needs no files: each case is a small DICOM series written and read in memory. Expected factors are typed here as plain
formulas with powers of two, after the SUV manual (Vacha et al. 2026) and DICOM PS3.3 C.8.9, not computed by the rules
under test.
"""

import io
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from calciflow.errors import Refusal
from calciflow.suvrules import SuvResult, evaluate
from calciflow.suvrules.header import extract

RELATIVE_TOLERANCE = 1e-6
_PET, _ENHANCED_PET = "1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.130"
# 70 kg, 368.08 MBq of F-18 (6586.2 s) at 10:00, scan at 11:00: the manual's reference object, 252.0 MBq left.
_DOSE, _HALF_LIFE = 368.08e6, 6586.2
AT_START = 70e3 / (_DOSE * 2 ** (-3600 / _HALF_LIFE))
AT_INJECTION = 70e3 / _DOSE


def code(value: str, meaning: str, scheme: str = "SRT") -> list[Dataset]:
    """A code sequence of one item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


def base(count: int = 3) -> list[Dataset]:
    """A plain 18F-fluoride series: BQML, START, 70 kg, 368.08 MBq, one hour of uptake, frames of 5 min."""
    series = []
    for number in range(count):
        dataset = Dataset()
        dataset.SOPClassUID, dataset.Modality, dataset.Manufacturer = _PET, "PT", "Synthetic"
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=["calciflow", "selftest", str(number)])
        dataset.ImageType, dataset.SeriesType = ["ORIGINAL", "PRIMARY"], ["WHOLE BODY", "IMAGE"]
        dataset.CorrectedImage = ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"]
        dataset.Units, dataset.DecayCorrection = "BQML", "START"
        dataset.PatientSex, dataset.PatientWeight, dataset.PatientSize = "O", "70", "1.75"
        dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = "20250101"
        dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = "110000.000000"
        dataset.FrameReferenceTime, dataset.ActualFrameDuration, dataset.DecayFactor = "148817", "300000", "1"
        dataset.RescaleSlope, dataset.RescaleIntercept = str(1 + number), "0"
        item = Dataset()
        item.Radiopharmaceutical = "Sodium fluoride F^18^"
        item.RadiopharmaceuticalStartDateTime, item.RadiopharmaceuticalStartTime = "20250101100000.00", "100000.00"
        item.RadionuclideTotalDose, item.RadionuclideHalfLife = str(_DOSE), str(_HALF_LIFE)
        item.RadionuclideCodeSequence = code("C-111A1", "^18^Fluorine")
        item.RadiopharmaceuticalCodeSequence = code("C-B1032", "Sodium fluoride F^18^")
        dataset.RadiopharmaceuticalInformationSequence = [item]
        series.append(dataset)
    return series


def enhanced(unit: str = "Bq/ml", count: int = 2) -> list[Dataset]:
    """The same scan as one enhanced multi-frame object; its dose stands in MBq, as that object's standard has it."""
    dataset = base(1)[0]
    dataset.SOPClassUID, dataset.NumberOfFrames = _ENHANCED_PET, count
    for keyword in ("Units", "DecayCorrection", "CorrectedImage", "AcquisitionTime", "AcquisitionDate", "DecayFactor"):
        delattr(dataset, keyword)
    for keyword in ("RescaleSlope", "RescaleIntercept", "FrameReferenceTime", "ActualFrameDuration"):
        delattr(dataset, keyword)
    dataset.DecayCorrected = dataset.AttenuationCorrected = "YES"
    dataset.DecayCorrectionDateTime = "20250101110000"
    dataset.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose = str(_DOSE / 1e6)
    frames = []
    for number in range(count):
        content, transform, mapping, frame = Dataset(), Dataset(), Dataset(), Dataset()
        content.FrameAcquisitionDateTime, content.FrameAcquisitionDuration = f"202501011{number + 1}0500", 300000.0
        transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = "2", "0", "US"
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 2.0, 0.0
        mapping.MeasurementUnitsCodeSequence = code(unit, unit, "UCUM")
        frame.FrameContentSequence, frame.PixelValueTransformationSequence = [content], [transform]
        frame.RealWorldValueMappingSequence = [mapping]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    return [dataset]


def through_file(series: Sequence[Dataset]) -> list[Dataset]:
    """Write and read the data sets in memory, so that the rules see what a file would give them."""
    read = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the absurd values are meant
        for dataset in series:
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            buffer = io.BytesIO()
            dataset.save_as(buffer, enforce_file_format=True)
            buffer.seek(0)
            read.append(dcmread(buffer))
    return read


@dataclass(frozen=True)
class Trial:
    """A series, what its header is to give, and the settings."""

    name: str
    series: Callable[[], list[Dataset]]
    expected: float | Sequence[float] | str
    """SUV factor(s), or the code of a refusal."""
    warning: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    tracer: str = "warn"


def every(**values: Any) -> Callable[[], list[Dataset]]:
    """The plain series with these attributes in every slice; None deletes; ``dose__X`` is in the tracer's item."""

    def build() -> list[Dataset]:
        series = base()
        for dataset in series:
            for keyword, value in values.items():
                target: Dataset = dataset
                if keyword.startswith("dose__"):
                    target, keyword = dataset.RadiopharmaceuticalInformationSequence[0], keyword[6:]
                if value is None:
                    if keyword in target:
                        delattr(target, keyword)
                else:
                    setattr(target, keyword, value)
        return series

    return build


def by_slice(shared: dict[str, Any], **lists: Sequence[Any]) -> Callable[[], list[Dataset]]:
    """The plain series with ``shared`` in every slice and one value a slice of each list."""

    def build() -> list[Dataset]:
        series = every(**shared)()
        for keyword, values in lists.items():
            for dataset, value in zip(series, values, strict=True):
                setattr(dataset, keyword, value)
        return series

    return build


def private(
    creator: str | None, group: int, values: dict[int, str], block: int = 0x10, **shared: Any
) -> Callable[[], list[Dataset]]:
    """The plain series with private elements, in a block of ``creator`` or, if None, without its name."""

    def build() -> list[Dataset]:
        series = every(**shared)()
        for dataset in series:
            if creator is not None:
                dataset.add_new((group, block), "LO", creator)
            for low, value in values.items():
                dataset.add_new((group, (block << 8) + low), "DT" if group == 0x0009 else "DS", value)
        return series

    return build


def outcome(trial: Trial) -> SuvResult | Refusal:
    """What the rules say of a trial."""
    try:
        return evaluate(extract(through_file(trial.series())), trial.overrides, tracer=trial.tracer)
    except Refusal as refusal:
        return refusal


def passes(trial: Trial, result: SuvResult | Refusal) -> bool:
    """Whether the rules said what was expected."""
    if isinstance(trial.expected, str) or isinstance(result, Refusal):
        return isinstance(result, Refusal) and result.code == trial.expected
    if trial.warning is not None and trial.warning not in [warning["code"] for warning in result.warnings]:
        return False
    if trial.warning is None and result.warnings:
        return False
    wanted = [trial.expected] if isinstance(trial.expected, float) else list(trial.expected)
    return len(wanted) == len(result.factors) and all(
        abs(got / want - 1) <= RELATIVE_TOLERANCE for got, want in zip(result.factors, wanted, strict=True)
    )


def main() -> int:
    """Run all trials, print the table, and return 0 if all pass."""
    from calciflow.selftest_cases import TRIALS

    failed = 0
    width = max(len(trial.name) for trial in TRIALS)
    for trial in TRIALS:
        result = outcome(trial)
        good = passes(trial, result)
        failed += not good
        if isinstance(result, Refusal):
            got = f"refused: {result.code}"
        else:
            got = ", ".join(f"{factor:.6g}" for factor in result.factors)
            got += "".join(f" [{warning['code']}]" for warning in result.warnings)
        print(f"{'pass' if good else 'FAIL'}  {trial.name:<{width}}  {got}")
        if not good:
            print(f"      {'':<{width}}  expected {trial.expected} {trial.warning or ''}")
    print(f"{len(TRIALS) - failed} of {len(TRIALS)} pass")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
