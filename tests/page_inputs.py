"""Small synthetic inputs of the two pages: a body of ellipsoids with known lesions, and tables of a made-up cohort.

Loaded by path (``test_qc.py``, ``test_report.py``, ``browser/test_pages.py``): test files are no package.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from calciflow.images import Volume, write_volume
from calciflow.labels import LESION_COLUMNS, SCORE_COLUMNS, TISSUES, region_label
from calciflow.tables import write_table

SHAPE = (60, 70, 90)
SPACING = (5.0, 3.0, 2.5)  # z, y, x: as anisotropic as real scans, so that a distorted picture is seen

# lesion id: (centre z, y, x in array indices, radius mm, HU, SUV)
LESIONS: dict[int, tuple[tuple[float, float, float], float, float, float]] = {
    1: ((30, 35, 75), 9.0, 500.0, 8.0),
    2: ((42, 20, 20), 6.0, 350.0, 0.6),
    5: ((15, 50, 40), 10.0, 40.0, 4.0),
}
CLASSES = {1: ("CT+PET+", "muscle"), 2: ("CT+PET-", "subcutaneous"), 5: ("CT-PET+", "fascia")}


def affine() -> np.ndarray:
    matrix = np.diag([SPACING[2], SPACING[1], SPACING[0], 1.0])
    matrix[:3, 3] = (-110.0, -100.0, -900.0)
    return matrix


def ball(centre: tuple[float, float, float], radii_mm: tuple[float, float, float]) -> np.ndarray:
    mesh = np.ogrid[tuple(slice(0, n) for n in SHAPE)]
    parts = [((m - c) * s / r) ** 2 for m, c, s, r in zip(mesh, centre, SPACING, radii_mm, strict=True)]
    return np.asarray(parts[0] + parts[1] + parts[2] <= 1)


def arrays() -> dict[str, np.ndarray]:
    """Body, bone, tissues, regions, lesions, CT and PET (on the CT's grid)."""
    middle = tuple((n - 1) / 2 for n in SHAPE)
    body = ball(middle, (400.0, 95.0, 105.0))
    fat = body & ~ball(middle, (390.0, 80.0, 90.0))
    bone = ball((middle[0], 30.0, middle[2]), (120.0, 15.0, 15.0))
    tissues = np.zeros(SHAPE, np.uint8)
    tissues[body] = TISSUES["muscle"]
    tissues[fat] = TISSUES["subcutaneous_fat"]
    tissues[bone] = TISSUES["bone"]
    regions = np.zeros(SHAPE, np.uint8)
    right = np.arange(SHAPE[2])[None, None, :] > middle[2]
    regions[body & right] = region_label("thigh", "right")
    regions[body & ~right] = region_label("thigh", "left")
    ct = np.full(SHAPE, -1000, np.int16)
    ct[body] = 50
    ct[fat] = -100
    ct[bone] = 900
    suv = np.where(body, 0.5, 0.0).astype(np.float32)
    suv[bone] = 6.0
    lesions = np.zeros(SHAPE, np.uint16)
    for label, (centre, radius, hu, uptake) in LESIONS.items():
        inside = ball(centre, (radius, radius, radius))
        lesions[inside] = label
        ct[inside] = hu
        suv[inside] = uptake
    return {"ct": ct, "suv": suv, "tissues": tissues, "regions": regions, "lesions": lesions}


def lesion_row(label: int, **changes: Any) -> dict[str, Any]:
    centre, radius, hu, uptake = LESIONS[label]
    kind, compartment = CLASSES[label]
    x, y, z = Volume(np.zeros((1, 1, 1)), affine()).world(np.array([centre]))[0]
    volume = 4 / 3 * np.pi * radius**3 / 1000
    row = dict.fromkeys(LESION_COLUMNS)
    row |= {
        "participant_id": "sub-01",
        "session_id": "ses-01",
        "lesion_id": label,
        "lesion_uid": f"u{label}",
        "concordance": kind,
        "compartment": compartment,
        "compartment_probability": 0.9,
        "region": "thigh",
        "side": "right" if x > 0 else "left",
        "x_mm": x,
        "y_mm": y,
        "z_mm": z,
        "pet_status": "positive" if "PET+" in kind else "negative",
        "suv_detection_limit": 1.2,
        "flags": "near_bone;truncated" if label == 2 else None,
        "reason": "inside the muscle map",
    }
    if kind.startswith("CT+"):
        row |= {"ct_volume_ml": volume, "hu_max": hu, "hu_mean": hu, "hydroxyapatite_mg": 0.4 * volume * hu}
    if kind.endswith("PET+"):
        row |= {"pet_volume_ml": volume, "suv_max": uptake, "suv_mean": uptake, "tlf": uptake * volume}
    return row | changes


def findings() -> dict[str, Any]:
    return {
        "dropped": {"bone": 12, "too_small": 3},
        "imaged_fraction": {"left thigh": {"ct": 1.0, "pet": 1.0}, "right thigh": {"ct": 1.0, "pet": 0.4}},
        "reference": {"muscle_suv": 0.5, "noise_hu": 12.0, "hu_threshold": 130.0},
        "warnings": ["The PET ends above the knees."],
    }


def scan_files(folder: Path, labels: tuple[int, ...] = tuple(LESIONS), hostile: str = "") -> dict[str, Any]:
    """Write one scan's results; give the keywords of ``draw_scan``. ``hostile`` goes wherever free text can."""
    folder.mkdir(parents=True, exist_ok=True)
    made = arrays()
    made["lesions"] = np.where(np.isin(made["lesions"], labels), made["lesions"], 0).astype(np.uint16)
    prefix = folder / "sub-01_ses-01"
    names = {"ct": np.int16, "tissues": np.uint8, "regions": np.uint8, "lesions": np.uint16}
    paths: dict[str, Any] = {}
    for name, dtype in names.items():
        paths[name] = f"{prefix}_{name}.nii.gz"
        write_volume(paths[name], Volume(made[name], affine()), dtype)
    # The PET: twice as coarse, and moved by (10, -6, 4) mm against the CT, which the transform knows.
    coarse = Volume(np.ascontiguousarray(made["suv"][:, ::2, ::2]), affine() @ np.diag([2.0, 2.0, 1.0, 1.0]))
    coarse.affine[:3, 3] += (10.0, -6.0, 4.0)
    paths["suv"] = f"{prefix}_suv.nii.gz"
    write_volume(paths["suv"], coarse, np.float32)
    paths["xfm"] = f"{prefix}_xfm.tfm"
    sitk.WriteTransform(sitk.TranslationTransform(3, (-10.0, 6.0, 4.0)), paths["xfm"])
    rows = [lesion_row(label, reason=hostile or "inside the muscle map") for label in labels]
    paths["table"] = f"{prefix}_lesions.tsv"
    write_table(paths["table"], rows, LESION_COLUMNS)
    paths["scores"] = f"{prefix}_scores.tsv"
    scores = [
        {"modality": modality, "region": region, "side": side, "score": score}
        for modality in ("ct", "pet", "petct")
        for region, side, score in (("thigh", "left", 1), ("thigh", "right", None), ("total", None, 1))
    ]
    ids = {"participant_id": "sub-01", "session_id": "ses-01"}
    write_table(paths["scores"], [ids | row for row in scores], SCORE_COLUMNS)
    told = {
        "xfm_json": {
            "mode": "header",
            "gate": {
                "verdict": "rejected",
                "reason": "the rigid correction made it worse",
                "before": 1.0,
                "after": 0.9,
            },
            "shift_mm": [10.0, -6.0, 4.0],
            "rotation_deg": [0.0, 0.0, 0.0],
            "residual_mm": {"body": 1.5, "left hand": 6.2},
            "pet_coverage": 0.8,
            "warnings": [],
        },
        "findings": findings(),
        "screening": {
            **ids,
            "acquisition": None,
            "verdict": "accepted",
            "code": None,
            "reason": None,
            "chosen": {"ct_series": 2, "pet_series": 3},
            "warnings": [{"code": "tracer", "text": hostile or "The header does not name the tracer."}],
            "size": {"ct": [90, 70, 60], "pet": [45, 35, 60]},
        },
        "suv_json": {"Units": "g/mL", "factor": 2.5e-4, "rule": "BQML", "uptake_minutes": 61.0, "warnings": []},
    }
    for name, content in told.items():
        paths[name] = f"{prefix}_{name}.json"
        Path(paths[name]).write_text(json.dumps(content))
    return paths | {
        "page": f"{prefix}_qc.html",
        "mip": f"{prefix}_mip.png",
        "scan": {"participant_id": "sub-01", "session_id": "ses-01", "acquisition": None},
    }


def cohort_files(
    folder: Path,
    people: int = 6,
    lesions_each: int = 8,
    clinical: bool = True,
    refused: bool = True,
    hostile: str = "",
) -> dict[str, Any]:
    """Write a made-up cohort as the scans' stages leave it, summarise it, give the keywords of ``write_report``."""
    from calciflow.cohort import FIGURES, summarise

    noise = np.random.default_rng(20250601)
    results = folder / "results"
    kinds = (("CT+PET+", 0.6), ("CT+PET-", 0.3), ("CT-PET+", 0.1))
    regions = ("fingers", "hand", "elbow", "thigh", "knee", "lower_leg")
    screening, sheet, doctors = [], [], []
    made: dict[str, list[str]] = {name: [] for name in ("tables", "scores", "findings", "mips", "pages")}
    for rank in range(people):
        person = f"sub-{rank + 1:02d}"
        ids = {"participant_id": person, "session_id": "ses-01"}
        prefix = results / person / "ses-01" / f"{person}_ses-01"
        prefix.parent.mkdir(parents=True, exist_ok=True)
        screening.append(ids | {"acquisition": None, "verdict": "accepted", "code": None, "reason": None})
        sheet.append({"participant_id": person, "group": "DM" if rank % 2 == 0 else "SSc"})
        rows = []
        for label in range(1, lesions_each + 1):
            kind = str(noise.choice([k for k, _ in kinds], p=[p for _, p in kinds]))
            volume = float(np.exp(noise.normal(-1.0, 1.2)))
            row = dict.fromkeys(LESION_COLUMNS) | ids
            row |= {
                "lesion_id": label,
                "lesion_uid": f"{person}-{label}",
                "concordance": kind,
                "compartment": str(noise.choice(["subcutaneous", "muscle", "skin", "fascia"], p=[0.6, 0.2, 0.1, 0.1])),
                "compartment_probability": round(float(noise.uniform(0.5, 1.0)), 2),
                "region": str(noise.choice(regions)),
                "side": str(noise.choice(["left", "right"])),
                "pet_status": "positive" if "PET+" in kind else str(noise.choice(["negative", "indeterminate"])),
                "suv_detection_limit": 1.4,
                "flags": "possible myositis" if label == 8 and rank == 2 else None,
                "reason": hostile or "inside the subcutaneous fat",
            }
            if kind.startswith("CT+"):
                peak = float(noise.uniform(160, 1100))
                row |= {
                    "ct_volume_ml": volume,
                    "hu_max": peak,
                    "hu_mean": 0.6 * peak,
                    "hydroxyapatite_mg": 0.5 * volume * peak,
                }
            if kind.endswith("PET+"):
                uptake = float(np.exp(noise.normal(1.2, 0.6)))
                row |= {"pet_volume_ml": volume, "suv_max": uptake, "suv_mean": 0.7 * uptake, "tlf": uptake * volume}
            rows.append(row)
        scores = []
        for modality, sees in (("ct", "CT+"), ("pet", "PET+"), ("petct", "")):
            total = 0.0
            for region in regions:
                for side in ("left", "right"):
                    own = [r for r in rows if sees in r["concordance"] and (r["region"], r["side"]) == (region, side)]
                    total += min(4, len(own))
                    scores.append({"modality": modality, "region": region, "side": side, "score": min(4, len(own))})
                    if modality == "petct" and clinical:
                        seen = max(0, min(4, len(own)) - int(noise.random() < 0.3))
                        doctors.append(ids | {"region": region, "side": side, "score": seen, "reader": "1"})
            scores.append({"modality": modality, "region": "total", "side": None, "score": total})
        write_table(f"{prefix}_lesions.tsv", rows, LESION_COLUMNS)
        write_table(f"{prefix}_scores.tsv", [ids | row for row in scores], SCORE_COLUMNS)
        Path(f"{prefix}_desc-candidates_lesions.json").write_text(json.dumps(findings()))
        Path(f"{prefix}_qc.html").write_text("<!DOCTYPE html><title>qc</title>")
        _mip(Path(f"{prefix}_mip.png"), rank)
        made["tables"].append(f"{prefix}_lesions.tsv")
        made["scores"].append(f"{prefix}_scores.tsv")
        made["findings"].append(f"{prefix}_desc-candidates_lesions.json")
        made["mips"].append(f"{prefix}_mip.png")
        made["pages"].append(f"{prefix}_qc.html")
    if refused:
        reason = hostile or "Series 4 has no body weight (0010,1030). Give weight_kg in scans.tsv."
        for person, verdict, code in (("sub-98", "refused", "no_weight"), ("sub-99", "excluded", None)):
            ids = {"participant_id": person, "session_id": "ses-01", "acquisition": None}
            screening.append(ids | {"verdict": verdict, "code": code, "reason": reason})
    results.mkdir(exist_ok=True)
    columns = "participant_id session_id acquisition verdict code reason".split()
    write_table(results / "screening.tsv", screening, columns)
    write_table(folder / "participants.tsv", sheet, ["participant_id", "group"])
    names = ["participant_id", "session_id", "region", "side", "score", "reader"]
    write_table(folder / "clinical_scores.tsv", doctors, names)
    cohort = results / "cohort"
    settings = {
        "primary": ("total_score", "petct", "clinical"),
        "ci_level": 0.95,
        "groups": (),
        "covariates": (),
        "exclude_flags": ("possible myositis",),
        "session": "first",
        "kappa_weights": "quadratic",
        "correlation_min_ml": 1.0,
    }
    outputs = {
        name: str(cohort / f"{name}.tsv") for name in "lesions scores participants statistics comparison".split()
    }
    figures = [str(cohort / "figures" / f"{name}.svg") for name in FIGURES]
    summarise(
        screening=str(results / "screening.tsv"),
        tables=made["tables"],
        scores=made["scores"],
        findings=made["findings"],
        participants=str(folder / "participants.tsv"),
        clinical_scores=str(folder / "clinical_scores.tsv") if clinical else [],
        figures=figures,
        **{f"{name}_out": path for name, path in outputs.items()},
        **settings,
    )
    return {
        "screening": str(results / "screening.tsv"),
        **outputs,
        "figures": figures,
        "figure_tables": [path.replace(".svg", ".tsv") for path in figures],
        "mips": made["mips"],
        "pages": made["pages"],
        "findings": made["findings"],
        "page": str(results / "report.html"),
        "parameters": {
            "participants": "config/participants.tsv",
            "clinical_scores": "config/clinical.tsv" if clinical else None,
            "suv": {"tracer": "warn", "dose_range_mbq": [15.0, 1000.0], "max_uptake_hours": 6.0},
            "scores": {"form": "extent"},
            "cohort": {key: list(v) if isinstance(v, tuple) else v for key, v in settings.items()},
            "report": {"title": hostile or "Calcinosis on 18F-NaF PET/CT", "max_lesion_rows": 2000},
        },
    }


def _mip(path: Path, seed: int) -> None:
    from PIL import Image

    made = arrays()
    front = 255 - np.clip(made["suv"].max(axis=1)[::-1, ::-1] * 25, 0, 255)
    Image.fromarray(np.roll(front, seed, axis=1).astype(np.uint8)).resize((300, 500)).save(path)
