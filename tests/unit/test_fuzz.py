"""Fuzzed scans: whatever a header holds, a verdict comes out; what is accepted gives finite SUV, and the right one."""

import copy
import io
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag

import dicom_scans as make
from calciflow import codes
from calciflow.dicom.headers import quiet
from calciflow.images import read_volume
from calciflow.index import index_scan
from calciflow.suv import normalise_scan
from dicom_scans import convert_scan

RULES: dict[str, Any] = {"tracer": "warn", "dose_range_mbq": (15.0, 1000.0), "max_uptake_hours": 6.0}
FEW = settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MANY = settings(FEW, max_examples=2000)
HANG_S = 20
"""A scan of eight tiny files takes some 20 ms."""


ACTIVITY_FACTOR = 0.0005 / (70_000 / 200e6 * 2 ** (3600 / 6586.2))
"""What makes Philips' two factors agree: SUV over weight per dose left an hour after the injection."""


def beds(kind: str) -> list[Dataset]:
    """A PET of four 8 x 8 slices in two beds two minutes apart, stored in one of the usual ways."""
    pet: list[Dataset] = make.pet(4, shape=(8, 8))
    for k, data in enumerate(pet):
        data.AcquisitionTime = "110000" if k < 2 else "110200"
        data.FrameReferenceTime = 59811.1 if k < 2 else 179811.1  # T_ave of 2 min of 18F: 59.81 s after their start
        if kind == "none":
            data.DecayCorrection = "NONE"
            data.CorrectedImage = ["NORM", "DTIM", "ATTN", "SCAT", "RAN"]
        elif kind == "admin":
            data.DecayCorrection = "ADMIN"
        elif kind == "suv":
            data.Units, data.DecayCorrection, data.RescaleSlope = "GML", "ADMIN", 3e-4
        elif kind == "philips":
            data.Manufacturer, data.Units = "Philips Medical Systems", "CNTS"
            block = data.private_block(0x7053, "Philips PET Private Group", create=True)
            block.add_new(0x00, "DS", "0.0005")
            block.add_new(0x09, "DS", f"{ACTIVITY_FACTOR:.6g}")
    return pet


KINDS = ("start", "none", "admin", "suv", "philips")
GOOD = {kind: [*make.ct(4, shape=(8, 8), spacing=(4.0, 3.0)), *beds(kind)] for kind in KINDS}


def _encoded(data: Dataset) -> bytes | None:
    buffer = io.BytesIO()
    with quiet():
        try:
            data.save_as(buffer, enforce_file_format=False, implicit_vr=False, little_endian=True)
        except Exception:  # this damage cannot even be written
            return None
    return buffer.getvalue()


FILES = {kind: [_encoded(data) for data in images] for kind, images in GOOD.items()}
"""The good scans' files: a try copies and writes those that it damages, and takes the others as they are here."""


@contextmanager
def _no_hang() -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise BaseExceptionGroup("hang", [KeyboardInterrupt()])  # no `except Exception` may swallow it

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(files: list[bytes | None], out: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Take a scan from its files to its SUV image; gives the screening, and the SUV's sidecar if it got so far."""
    folder = out / "in"
    folder.mkdir(exist_ok=True)
    for number, content in enumerate(files):
        path = folder / f"{number}.dcm"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
    place = {name: str(out / name) for name in ("selection", "ct.nii.gz", "ct.json", "pet.nii.gz", "pet.json")}
    with _no_hang(), redirect_stdout(io.StringIO()):
        index_scan(
            series=str(out / "series.tsv"),
            screening=str(out / "screening.json"),
            selection=place["selection"],
            scan={"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None},
            sources={"source": str(folder)},
            **RULES,
        )
        screening: dict[str, Any] = json.loads((out / "screening.json").read_text())
        private = json.loads(Path(place["selection"]).read_text())
        assert screening["code"] != "internal", private["traceback"]
        if screening["verdict"] == "refused":
            assert screening["code"] in codes.CODES
            assert screening["reason"].endswith(".")
        else:
            assert (screening["verdict"], screening["code"]) == ("accepted", None)
        if screening["code"] not in (None, "no_ct") or private["pet"] is None:
            return screening, None
        with_ct = screening["code"] is None
        convert_scan(
            selection=place["selection"],
            ct=place["ct.nii.gz"] if with_ct else None,
            ct_json=place["ct.json"] if with_ct else None,
            pet=place["pet.nii.gz"],
            pet_json=place["pet.json"],
        )
        normalise_scan(
            selection=place["selection"],
            pet=place["pet.nii.gz"],
            pet_json=place["pet.json"],
            suv=str(out / "suv.nii.gz"),
            suv_json=str(out / "suv.json"),
            overrides={},
            **RULES,
        )
    for name in ("pet.nii.gz", "suv.nii.gz", *(["ct.nii.gz"] if with_ct else [])):
        volume = read_volume(str(out / name))
        assert np.isfinite(volume.array).all(), name
        assert np.isfinite(volume.affine).all(), name
    sidecar: dict[str, Any] = json.loads((out / "suv.json").read_text())
    return screening, sidecar


# --- headers ------------------------------------------------------------------------------------------------------

ABSURD = (
    *("", " ", "nan", "inf", "-inf", "-1", "0", "-0.0", "1e400", "1e300", "1e30", "1e-300", "1e-30", "9" * 40),
    *("\\", "a\\b\\c", "1\\2", "\x00", "Ärger", "None", "1_0", "0.7", "70000", "2147483648", "999999", "246060"),
    *("99991231", "00000000", "20240230", "99991231235959", "1.2.3", "BQML", "NONE", "ATTN", "MPR"),
)
REPRESENTATIONS = ("LO", "DS", "US", "UN", "OB", "FD", "SQ", "DA", "TM", "IS", "SS", "UI")
GIANT = ("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "SamplesPerPixel", "NumberOfSlices")
ACTIONS = ("delete", "replace", "replace", "replace", "empty", "double", "giant", "swap", "drop", "cut", "flip")

EDIT = st.tuples(
    st.sampled_from(ACTIONS),
    st.sampled_from(("one", "one", "modality")),
    st.integers(0, 7),  # which file
    st.integers(0, 90),  # which element
    st.integers(0, 4),  # how deep into sequences
    st.integers(0, len(ABSURD) - 1),
    st.integers(0, 2 * len(REPRESENTATIONS)),
    st.integers(0, 100_000),
)
SCAN = st.tuples(st.sampled_from(KINDS), st.lists(EDIT, min_size=1, max_size=4))


def _element(data: Dataset, number: int, depth: int) -> tuple[Dataset, Any]:
    """An element of a header, or of an item nested in it."""
    tags = sorted(data.keys())
    tag = tags[number % len(tags)]
    nested = [key for key in tags if getattr(data.get_item(key), "VR", "") == "SQ"]
    if depth and nested:
        try:
            items = data[nested[number % len(nested)]].value
            if items and len(items[0]):
                return _element(items[0], number // 2, depth - 1)
        except Exception:  # damaged before
            return data, tag
    return data, tag


def _edit(data: Dataset, action: str, number: int, depth: int, absurd: int, kind: int, size: int) -> None:
    if not len(data):
        return
    if action == "giant":
        setattr(data, GIANT[number % len(GIANT)], (0, 1, 3, 7, 255, 65535)[size % 6])
        return
    place, tag = _element(data, number, depth)
    element = place.get_item(tag)
    if action == "delete":
        del place[tag]
    elif action == "replace":
        raw = ABSURD[absurd].encode("utf-8")
        raw += b" " * (len(raw) % 2)
        # Half of the time the element keeps its own VR.
        own = str(getattr(element, "VR", "LO") or "LO")
        vr = REPRESENTATIONS[kind] if kind < len(REPRESENTATIONS) else own
        place[tag] = RawDataElement(Tag(tag), vr, len(raw), raw, 0, False, True)
    elif action in ("empty", "double"):
        if isinstance(element, DataElement) and element.VR == "SQ":
            once = list(element.value)
            place[tag].value = Items([] if action == "empty" else [*once, *copy.deepcopy(once)])
        elif isinstance(element, DataElement) and action == "empty":
            place[tag] = DataElement(tag, element.VR, None)
        elif isinstance(element, DataElement) and isinstance(element.value, bytes):
            place[tag].value = element.value * 2
        elif isinstance(element, DataElement) and isinstance(element.value, str | int | float):
            with quiet():
                try:
                    place[tag].value = [element.value, element.value]
                except (TypeError, ValueError):
                    del place[tag]


def fuzz(kind: str, edits: list[tuple[Any, ...]], out: Path) -> None:
    files, own = list(FILES[kind]), dict[int, Dataset]()  # by the place that they had before any swap
    names = list(range(len(files)))
    after: list[Callable[[list[bytes | None]], None]] = []
    for action, spread, which, number, depth, absurd, vr, size in edits:
        victims = [which] if spread == "one" else list(range(4)) if which < 4 else list(range(4, 8))
        for victim in victims:
            if action in ("cut", "flip", "drop"):
                after.append(lambda files, v=victim, a=action, s=size, n=number: _spoil(files, v, a, s, n))  # type: ignore[misc]
            elif action == "swap":
                names[victim], names[size % 8] = names[size % 8], names[victim]
            else:
                name = names[victim]
                if name not in own:
                    own[name] = copy.deepcopy(GOOD[kind][name])
                with quiet():
                    _edit(own[name], action, number, depth, absurd, vr, size)
    files = [_encoded(own[name]) if name in own else files[name] for name in names]
    for act in after:
        act(files)
    outcome(files, out)


def _spoil(files: list[bytes | None], victim: int, action: str, size: int, number: int) -> None:
    content = files[victim]
    if content is None:
        return
    if action == "drop":
        files[victim] = None
    elif action == "cut":
        files[victim] = content[: size % (len(content) + 1)]
    else:
        bad = bytearray(content)
        for step in range(1 + number % 12):
            bad[(size * (step + 1) * 7919) % len(bad)] = (size + 31 * step) % 256
        files[victim] = bytes(bad)


@pytest.mark.parametrize("kind", KINDS)
def test_the_scans_that_are_fuzzed_are_good_ones(kind: str, tmp_path: Path) -> None:
    screening, sidecar = outcome(FILES[kind], tmp_path)
    assert screening["verdict"] == "accepted"
    assert sidecar is not None
    assert sidecar["warnings"] == [] or kind == "suv" or {w["code"] for w in sidecar["warnings"]} == {"plausibility"}


@FEW
@given(scan=SCAN)
def test_fuzzed_headers_give_a_verdict(tmp_path: Path, scan: tuple[str, list[tuple[Any, ...]]]) -> None:
    fuzz(*scan, tmp_path)


@pytest.mark.slow
@MANY
@given(scan=SCAN)
def test_fuzzed_headers_give_a_verdict_in_2000_tries(tmp_path: Path, scan: tuple[str, list[tuple[Any, ...]]]) -> None:
    fuzz(*scan, tmp_path)


# --- bytes --------------------------------------------------------------------------------------------------------

HITS = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255), st.booleans()), min_size=1, max_size=12)


def fuzz_bytes(victim: int, hits: list[tuple[int, int, bool]], cut: int | None, out: Path) -> None:
    """Change bytes of one file: a flipped length or tag can make any nonsense of a header."""
    files = list(FILES["start"])
    good = files[victim]
    assert good is not None
    bad = bytearray(good)
    for place, value, anywhere in hits:
        bad[place % len(bad) if anywhere else 128 + place % (len(bad) - 300)] = value
    files[victim] = bytes(bad[: cut % len(bad)] if cut is not None else bad)
    outcome(files, out)


@FEW
@given(victim=st.integers(0, 7), hits=HITS, cut=st.none() | st.integers(0, 5000))
def test_fuzzed_bytes_give_a_verdict(
    tmp_path: Path, victim: int, hits: list[tuple[int, int, bool]], cut: int | None
) -> None:
    fuzz_bytes(victim, hits, cut, tmp_path)


@pytest.mark.slow
@MANY
@given(victim=st.integers(0, 7), hits=HITS, cut=st.none() | st.integers(0, 5000))
def test_fuzzed_bytes_give_a_verdict_in_2000_tries(
    tmp_path: Path, victim: int, hits: list[tuple[int, int, bool]], cut: int | None
) -> None:
    fuzz_bytes(victim, hits, cut, tmp_path)


# --- what the SUV depends on --------------------------------------------------------------------------------------

NUMBERS = ("", "nan", "inf", "-inf", "-1", "0", "0.7", "1e300", "1e30", "1e-30", "1e-300", "abc", "1_0", "9" * 16)
CLOCKS = ("", "999999", "246060", "-1", "nan", "abc")
DAYS = ("", "99991231", "00000000", "19000101", "20240230", "20990101", "abc")
CLOCK_TAGS = ("SeriesTime", "AcquisitionTime", "RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime")
VITAL: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("PatientWeight", "RescaleIntercept"), NUMBERS),
    **dict.fromkeys(("RadionuclideTotalDose", "RadionuclideHalfLife"), NUMBERS),
    **dict.fromkeys(("FrameReferenceTime", "ActualFrameDuration", "DecayFactor"), NUMBERS),
    **dict.fromkeys(("SeriesTime", "AcquisitionTime", "RadiopharmaceuticalStartTime"), CLOCKS),
    **dict.fromkeys(("StudyDate", "SeriesDate", "AcquisitionDate"), DAYS),
    "RescaleSlope": tuple(value for value in NUMBERS if value != "0.7"),
    "RadiopharmaceuticalStartDateTime": ("99991231235959", "19000101000000", "20990101100000", "abc", "20240305"),
    "Units": ("", "ABC", "CPS", "PCNT", "bq/ml\\x"),
    "DecayCorrection": ("", "MAYBE", "0"),
    "RadiopharmaceuticalInformationSequence": ("",),
    "philips": NUMBERS,
    "philips activity": NUMBERS,
}
FACTOR_AGREES = 1e-3
"""Relative; a time of decay correction that is told by another tag is rounded to the second."""


def damage(data: Dataset, tag: str, value: str) -> None:
    """Write a text where the SUV rules look, as it stands."""
    raw = value.encode() + b" " * (len(value) % 2)
    if tag == "RadiopharmaceuticalInformationSequence":
        data.RadiopharmaceuticalInformationSequence = Items([])
        return
    if tag.startswith("philips"):
        number = Tag(0x7053, 0x1000 if tag == "philips" else 0x1009)
        place = data
    else:
        number = Tag(tag)
        given_there = tag.startswith(("Radionuclide", "Radiopharmaceutical"))
        place = data.RadiopharmaceuticalInformationSequence[0] if given_there else data
    vr = "DS"
    if tag in ("Units", "DecayCorrection"):
        vr = "CS"
    elif tag.endswith("Date"):
        vr = "DA"
    elif tag in CLOCK_TAGS:
        vr = "DT" if tag.endswith("DateTime") else "TM"
    place[number] = RawDataElement(number, vr, len(raw), raw, 0, False, True)


def _suv(out: Path) -> np.ndarray:
    return np.asarray(read_volume(str(out / "suv.nii.gz")).array)


def absurdities() -> list[tuple[str, str, str, str]]:
    return [
        (kind, tag, value, spread)
        for kind in KINDS
        for tag, values in VITAL.items()
        for value in values
        for spread in ("all", "first", "last")
        if kind == "philips" or not tag.startswith("philips")
    ]


def silent(case: tuple[str, str, str, str], right: np.ndarray, out: Path) -> str | None:
    """What an absurd value leads to that it must not: another SUV without a word."""
    kind, tag, value, spread = case
    files = list(FILES[kind])
    for name in {"all": range(4, 8), "first": (4,), "last": (7,)}[spread]:
        data = copy.deepcopy(GOOD[kind][name])
        damage(data, tag, value)
        files[name] = _encoded(data)
    screening, sidecar = outcome(files, out)
    if sidecar is None:
        return None
    found = _suv(out)
    if found.shape == right.shape and np.allclose(found, right, rtol=FACTOR_AGREES, atol=0):
        return None
    said = {warning["code"] for warning in sidecar["warnings"]} - {"plausibility"}
    ratio = float(np.median(found[right > 0] / right[right > 0])) if found.shape == right.shape else np.nan
    if said & {"decay_reference", "date", "philips_factors"}:
        return None
    return f"{case}: SUV x {ratio:g}, {screening['warnings']}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_absurd_value_changes_the_suv_silently(kind: str, tmp_path: Path) -> None:
    outcome(FILES[kind], tmp_path)
    right = _suv(tmp_path)
    found = [silent(case, right, tmp_path) for case in absurdities() if case[0] == kind]
    assert [text for text in found if text] == []
