"""Each verdict code: a good scan, damaged in just that way, is refused by it, and the sentence tells what to do."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

import dicom_scans as make
from calciflow import codes
from calciflow.files import write_json
from calciflow.index import index_scan
from calciflow.screen import screen_scans
from calciflow.tables import read_table

Series = list[Dataset]
Damage = Callable[[Series, Series], Any]


def tags(which: str, **values: object) -> Damage:
    """Set tags of the PET or CT; None deletes."""

    def act(ct: Series, pet: Series) -> None:
        for data in ct if which == "ct" else pet:
            for name, value in values.items():
                place = data.RadiopharmaceuticalInformationSequence[0] if name.startswith("Radio") else data
                if value is None:
                    delattr(place, name)
                else:
                    setattr(place, name, value)

    return act


def _tilt(ct: Series, pet: Series) -> None:
    for data in ct:
        data.GantryDetectorTilt = 12.5


def _lossy(ct: Series, pet: Series) -> None:
    for data in pet:
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
        data.PixelData = encapsulate([b"\xff\xd8" + bytes(100) + b"\xff\xd9"])


def _legs(ct: Series, pet: Series) -> None:
    pet.extend(make.renumber(make.pet(seed=9), 8, FrameOfReferenceUID="1.2.3.9"))


def _elsewhere(ct: Series, pet: Series) -> None:
    for data in ct:
        x, y, z = data.ImagePositionPatient
        data.ImagePositionPatient = [x, y, z + 500]


def _size(ct: Series, pet: Series) -> None:
    tags("pet", Units="GML", SUVType="LBM", PatientSize=None)(ct, pet)


# Code: damage, options of `index_scan`, what the sentence must name (file, row or tag), and the remedy in it.
DAMAGES: dict[str, tuple[Damage, dict[str, Any], str, str]] = {
    "ambiguous": (
        lambda ct, pet: pet.extend(make.renumber(make.pet(seed=9), 8)),
        {},
        r"#2 \(series 5, .*\), #3 \(series 8, .*\)",
        "name one in `pet_series`",
    ),
    "body_size": (_size, {}, r"\(0010,1020\)", "height_m"),
    "decay": (tags("pet", DecayCorrection="MAYBE"), {}, r"\(0054,1102\)", "send"),
    "dose": (tags("pet", RadionuclideTotalDose=-200e6), {}, r"\(0018,1074\)", "injected_dose_mbq"),
    "empty": (
        lambda ct, pet: [setattr(d, "PixelData", bytes(len(d.PixelData))) for d in pet],
        {},
        r"PET, row \d",
        "send",
    ),
    "frame_of_reference": (tags("ct", FrameOfReferenceUID="1.2.3.4"), {}, r"\(0020,0052\)", "ct_series"),
    "gantry_tilt": (_tilt, {}, r"\(0018,1120\)", "send a reconstruction without tilt"),
    "geometry": (tags("pet", ImageOrientationPatient=None), {}, r"\(0020,0037\)", "send"),
    "half_life": (tags("pet", RadionuclideHalfLife=0), {}, r"\(0018,1075\)", "corrected"),
    "identity_mismatch": (tags("ct", PatientID="PID2"), {}, r"row \d", "check the source"),
    "missing_slice": (lambda ct, pet: pet.pop(4), {}, "between z = 109.00 and 115.00 mm", "send"),
    "no_ac_pet": (tags("pet", CorrectedImage=["NORM", "DECY"]), {}, "attenuation corrected", "send"),
    "no_ct": (lambda ct, pet: ct.clear(), {}, "no CT images", "ct_source"),
    "no_dose": (tags("pet", RadionuclideTotalDose=None), {}, r"\(0018,1074\)", "injected_dose_mbq"),
    "no_overlap": (_elsewhere, {}, r"CT rows? \d", "send"),
    "no_pet": (lambda ct, pet: pet.clear(), {}, "no PET images", "pet_source"),
    "no_weight": (tags("pet", PatientWeight=None), {}, r"\(0010,1030\)", "weight_kg"),
    "not_found": (lambda ct, pet: None, {"pet_series": "77"}, "`pet_series`", "can be used are #2 (series 5"),
    "pieces": (_legs, {}, r"rows \d", "acquisition"),
    "scaling": (tags("pet", RescaleSlope=0), {}, r"\(0028,1053\)", "send"),
    "time": (tags("pet", RadiopharmaceuticalStartTime=None), {}, r"\(0018,1072\)", "injection_datetime"),
    "tracer": (tags("pet", Radiopharmaceutical="FDG"), {"tracer": "refuse"}, r"\(0054,0016\)", "suv.tracer"),
    "transfer_syntax": (_lossy, {}, r"File \d+ of the PET, row \d", "send"),
    "units": (tags("pet", Units="CPS"), {}, r"\(0054,1001\)", "export"),
    "unreadable": (
        lambda ct, pet: setattr(pet[4], "PixelData", pet[4].PixelData[:30]),
        {},
        r"File \d+ of the PET, row \d",
        "Send",
    ),
    "weight": (tags("pet", PatientWeight=0.7), {}, r"\(0010,1030\)", "weight_kg"),
}
ELSEWHERE = {"archive", "excluded", "internal"}
"""Codes that no header leads to: the three tests below."""


def run(source: Path, out: Path, **options: Any) -> dict[str, Any]:
    index_scan(
        series=str(out / "series.tsv"),
        screening=str(out / "screening.json"),
        selection=str(out / "selection.json"),
        scan={"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None},
        sources={"source": str(source)},
        **options,
    )
    result: dict[str, Any] = json.loads((out / "screening.json").read_text())
    return result


def test_every_code_has_its_damage() -> None:
    assert set(DAMAGES) | ELSEWHERE == set(codes.CODES)


@pytest.mark.parametrize("code", DAMAGES)
def test_damage_is_refused_by_its_code_with_place_and_remedy(code: str, tmp_path: Path) -> None:
    act, options, place, remedy = DAMAGES[code]
    ct, pet = make.ct(), make.pet()
    if code != "not_found":
        good = run(make.scan(tmp_path / "good", copy.deepcopy(ct), copy.deepcopy(pet)), tmp_path, **options)
        assert good["verdict"] == "accepted", good["reason"]
    act(ct, pet)
    result = run(make.scan(tmp_path / "bad", ct, pet), tmp_path, **options)
    assert (result["verdict"], result["code"]) == ("refused", code), result["reason"]
    assert re.search(place, result["reason"]), result["reason"]
    assert remedy in result["reason"], result["reason"]


def test_archive(tmp_path: Path) -> None:
    packed = tmp_path / "in.zip"
    packed.write_bytes(b"PK\x03\x04" + bytes(100))
    result = run(packed, tmp_path)
    assert (result["verdict"], result["code"]) == ("refused", "archive")
    assert "archive" in result["reason"].lower()


def test_excluded(tmp_path: Path) -> None:
    scan = {"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None, "exclude": "moved"}
    identity = {key: scan[key] for key in ("participant_id", "session_id", "acquisition")}
    rest = {"verdict": "accepted", "code": None, "reason": None, "chosen": {}, "warnings": [], "size": {}}
    write_json(tmp_path / "s.json", {**identity, **rest})
    screen_scans(screenings=[str(tmp_path / "s.json")], table=str(tmp_path / "t.tsv"), scans=[scan])
    row = read_table(tmp_path / "t.tsv").to_dict("records")[0]
    assert (row["verdict"], row["code"], row["reason"]) == ("excluded", "excluded", "moved")


def test_internal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise KeyError("of our own")

    monkeypatch.setattr("calciflow.index.choose", fail)
    result = run(make.scan(tmp_path / "in"), tmp_path)
    assert (result["verdict"], result["code"]) == ("refused", "internal")
    assert "report it with the log" in result["reason"]


@pytest.mark.parametrize("end", [0, 9])
@pytest.mark.parametrize("kind", ["ct", "pet"])
def test_an_end_slice_that_differs_in_a_tag_is_not_lost_silently(end: int, kind: str, tmp_path: Path) -> None:
    ct, pet = make.ct(), make.pet()
    victim = (ct if kind == "ct" else pet)[end]
    victim.PixelSpacing = [4.5, 4.5]
    folder = make.scan(tmp_path / "in", ct, pet)
    result = run(folder, tmp_path)
    assert (result["verdict"], result["code"]) == ("refused", "missing_slice"), result["reason"]
    assert f"{kind}_series" in result["reason"]
    row = re.search(r"row (\d)", result["reason"])
    assert row is not None
    forced = run(folder, tmp_path, **{f"{kind}_series": f"#{row[1]}"})
    assert forced["verdict"] == "accepted", forced["reason"]
    assert "missing_slice" in [warning["code"] for warning in forced["warnings"]]
