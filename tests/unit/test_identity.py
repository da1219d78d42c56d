"""Nothing that identifies a person leaves the front end, whatever becomes of the scan."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dicom_scans as make
import sentinels
from calciflow import job
from calciflow.convert import convert_volume
from calciflow.dicom.headers import read_listing
from calciflow.index import index_scan
from calciflow.screen import screen_scans
from calciflow.suv import normalise_scan

SHIM = str(Path(__file__).resolve().parents[2] / "scripts" / "index.py")
SCAN = {"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None}
RULES: dict[str, Any] = {"tracer": "warn", "dose_range_mbq": (15.0, 1000.0), "max_uptake_hours": 6.0}


def source(root: Path, damage: Callable[[list[Any], list[Any]], object] | None = None) -> Path:
    """A scan full of sentinels, in its headers and in the names of its folders and files."""
    ct, pet = make.ct(), make.pet()
    for number, series in enumerate((ct, pet), 1):
        for data in series:
            sentinels.mark(data, str(number))
    if damage is not None:
        damage(ct, pet)
    folder = root / "ZQXSEN Doe Jane 1.2.777777"
    for series in (ct, pet):
        make.write(folder / f"ZQXSEN {series[0].Modality}", series, suffix=" ZQXSEN 19991117.dcm")
    return folder


def stages(folder: Path, out: Path, between: Callable[[], object] = lambda: None, **options: Any) -> dict[str, Any]:
    """Index, screen, convert and suv as their rules run them, each with its log."""
    results = out / "results"
    names = {name: str(results / name) for name in ("ct.nii.gz", "ct.json", "pet.nii.gz", "pet.json", "suv.nii.gz")}
    selection = str(out / "private" / "selection.json")
    before = Path.cwd()
    os.chdir(out)
    try:
        with job.logged("logs/index.log", SHIM, private=True):
            index_scan(
                series=str(results / "series.tsv"),
                screening=str(results / "screening.json"),
                selection=selection,
                scan=SCAN,
                sources={"source": str(folder)},
                **RULES,
                **options,
            )
        with job.logged("logs/screen.log", SHIM):
            screen_scans(
                screenings=[str(results / "screening.json")], table=str(results / "screening.tsv"), scans=[SCAN]
            )
        verdict: dict[str, Any] = json.loads((results / "screening.json").read_text())
        between()
        if verdict["verdict"] == "accepted":
            for kind in ("ct", "pet"):
                with job.logged(f"logs/{kind}.log", SHIM, private=True):
                    convert_volume(
                        selection=selection,
                        volume=names[f"{kind}.nii.gz"],
                        sidecar=names[f"{kind}.json"],
                        modality=kind,
                    )
            with job.logged("logs/suv.log", SHIM, private=True):
                normalise_scan(
                    selection=selection,
                    pet=names["pet.nii.gz"],
                    pet_json=names["pet.json"],
                    suv=names["suv.nii.gz"],
                    suv_json=str(results / "suv.json"),
                    overrides={},
                    **RULES,
                )
    finally:
        os.chdir(before)
    return verdict


def leaks(out: Path) -> list[str]:
    return [*sentinels.found(out / "results"), *sentinels.found(out / "logs")]


def test_the_sentinels_are_in_the_source(tmp_path: Path) -> None:
    folder = source(tmp_path)
    assert len(sentinels.PROFILE) > 600
    content = b"".join(path.read_bytes() for path in folder.rglob("*.dcm"))
    assert content.count(b"ZQXSEN") > 5000
    assert len(read_listing(folder).headers) == 20


def test_accepted_scan(tmp_path: Path) -> None:
    verdict = stages(source(tmp_path / "in"), tmp_path)
    assert verdict["verdict"] == "accepted", verdict["reason"]
    assert (tmp_path / "results" / "suv.json").exists()
    assert leaks(tmp_path) == []


def _each(tag: str, value: object, of: str = "pet") -> Callable[[list[Any], list[Any]], object]:
    def act(ct: list[Any], pet: list[Any]) -> None:
        for data in ct if of == "ct" else pet:
            setattr(data, tag, value)

    return act


def _one(tag: str, value: object) -> Callable[[list[Any], list[Any]], object]:
    return lambda ct, pet: setattr(pet[3], tag, value)


REFUSED: dict[str, Callable[[list[Any], list[Any]], object]] = {
    "another patient": _one("PatientID", "ZQXSENOTHER"),
    "cut pixels": _one("PixelData", b"12"),
    "not corrected": _each("CorrectedImage", ["ZQXSEN"]),
    "unknown units": _each("Units", "ZQXSENUNITS"),
    "no volume": _each("ImagePositionPatient", [0, 0, 0]),
    "another frame": _each("FrameOfReferenceUID", "1.2.777777.5", "ct"),
    "missing slice": lambda ct, pet: pet.pop(4),
    "odd unit of CT": _each("RescaleType", "ZQXSEN", "ct"),
    "no CT": lambda ct, pet: ct.__delitem__(slice(1, None)),
    "unknown decay": _each("DecayCorrection", "ZQXSEN"),
    "no weight": _each("PatientWeight", ""),
    "odd modality": _each("Modality", "ZQXSEN"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_scan(case: str, tmp_path: Path) -> None:
    verdict = stages(source(tmp_path / "in", REFUSED[case]), tmp_path)
    assert verdict["verdict"] == "refused"
    assert verdict["code"] != "internal"
    assert leaks(tmp_path) == []


@pytest.mark.parametrize("cell", ["ZQXSEN*", "*nothing ZQXSEN*", "1.2.777777.8.1", "77"])
def test_forced_series(cell: str, tmp_path: Path) -> None:
    stages(source(tmp_path / "in"), tmp_path, ct_series=cell, pet_series=cell)
    assert leaks(tmp_path) == []


@pytest.mark.parametrize("crash", ["gone", "cut", "index", "convert", "suv"])
def test_crashing_scan(crash: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    folder = source(tmp_path / "in")
    missing = folder / "ZQXSEN.dcm"

    def fail(*args: object, **kwargs: object) -> None:
        open(missing)  # noqa: SIM115 (the error names the path)

    if crash == "index":
        monkeypatch.setattr("calciflow.index.choose", fail)
        assert stages(folder, tmp_path)["code"] == "internal"
    else:
        files = sorted(folder.rglob("*.dcm"))
        between: Callable[[], object] = lambda: None  # noqa: E731
        if crash == "gone":
            between = files[-3].unlink
        elif crash == "cut":
            between = lambda: os.truncate(files[-3], 5000)  # noqa: E731
        elif crash == "convert":
            monkeypatch.setattr("calciflow.convert.fill", fail)
        else:
            monkeypatch.setattr("calciflow.suv.evaluate", fail)
        with pytest.raises(RuntimeError) as caught:
            stages(folder, tmp_path, between)
        assert "ZQXSEN" not in str(caught.value)
        assert caught.value.__suppress_context__
        kept = list((tmp_path / "private" / "logs").glob("*.log"))
        assert len(kept) == 1
        assert kept[0].stat().st_mode & 0o077 == 0
    assert leaks(tmp_path) == []
    out, err = capfd.readouterr()
    assert "ZQXSEN" not in out + err
