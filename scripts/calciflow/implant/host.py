"""The scan that receives the deposits: its images, its tissues, and how sharp and how noisy it is."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calciflow.convert import grid_of
from calciflow.dicom.headers import quiet
from calciflow.dicom.volume import fill, slices
from calciflow.errors import Refusal
from calciflow.files import read_json
from calciflow.images import Volume, read_volume
from calciflow.implant.sharpness import (
    PetNoise,
    SliceProfile,
    ct_noise,
    in_plane_fwhm,
    pet_noise,
    slice_profile,
)
from calciflow.index import index_scan
from calciflow.phantom.shapes import Box, Grid
from calciflow.suv import apply_factors
from calciflow.suvrules import evaluate
from calciflow.suvrules.resolution import SCANNER_FWHM_MM, resolution
from calciflow.tissues import segment

MARGIN_MM = 15.0
"""Air that is kept around the body; what lies further out is carried through untouched."""

_STRAIGHT = 1e-3
"""Largest direction cosine off an axis: 1 mm in 1 m."""


@dataclass(frozen=True)
class Optics:
    """Resolution and noise of a scan, each with where the number comes from.

    Attributes
    ----------
    ct_fwhm_mm, ct_source
        In-plane resolution of the CT.
    profile
        Slice profile of the CT.
    pet_fwhm_mm, pet_source
        Resolution of the PET.
    ct_noise_hu
        Noise of each slice in soft tissue, HU.
    pet
        Noise of the PET.
    """

    ct_fwhm_mm: float
    ct_source: str
    profile: SliceProfile
    pet_fwhm_mm: float
    pet_source: str
    ct_noise_hu: NDArray[np.float64]
    pet: PetNoise


@dataclass(frozen=True)
class Host:
    """A real scan as the workflow reads it.

    Attributes
    ----------
    selection
        What ``index`` wrote down for ``convert``: files and geometry of the chosen series.
    ct, suv
        HU (int16) and SUV by body weight (float32), (z, y, x), closest to RAS.
    factors
        SUV for 1 of the PET's own units: one, or one a slice.
    tissues, regions
        Label maps (``calciflow.labels``) on the CT's grid.
    box
        Part of the CT that holds the body.
    kvp
        Tube voltage.
    optics
        Resolution and noise.
    joints
        Centre (RAS mm) and radius (mm) of the joints in view; none are known with maps of another origin.
    """

    selection: Mapping[str, Any]
    ct: Volume
    suv: Volume
    factors: tuple[float, ...]
    tissues: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    box: Box
    kvp: float
    optics: Optics
    joints: tuple[tuple[tuple[float, float, float], float], ...] = ()


def straight_grid(volume: Volume) -> Grid:
    """The grid of a volume whose axes run along the patient's.

    Raises
    ------
    ValueError
        If they do not: deposits follow anatomy along the axes.
    """
    size = np.linalg.norm(volume.affine[:3, :3], axis=0)
    if np.abs(volume.affine[:3, :3] / size - np.eye(3)).max() > _STRAIGHT:
        raise ValueError("the volume lies oblique to the patient's axes: implants need straight slices")
    x, y, z = (float(v) for v in volume.affine[:3, 3])
    a, b, c = volume.array.shape
    return Grid((a, b, c), volume.spacing, (x, y, z))


def body_box(tissues: NDArray[np.uint8], spacing: tuple[float, float, float]) -> Box:
    """Box (z, y, x) around the body with some air.

    Raises
    ------
    ValueError
        If there is no body.
    """
    found = [np.flatnonzero(tissues.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not len(found[0]):
        raise ValueError("the tissue map holds no body")
    z, y, x = (
        slice(max(0, int(at[0]) - pad), min(size, int(at[-1]) + 1 + pad))
        for at, size, pad in zip(found, tissues.shape, [int(np.ceil(MARGIN_MM / s)) for s in spacing], strict=True)
    )
    return z, y, x


def read_host(
    source: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    ct_series: str | None = None,
    pet_series: str | None = None,
    tissues: str | Path | None = None,
    regions: str | Path | None = None,
    ct_fwhm_mm: float | None = None,
    pet_fwhm_mm: float | None = None,
) -> Host:
    """Read a scan as the workflow would, and find out how sharp and noisy it is.

    Parameters
    ----------
    source
        DICOM folder or archive of one examination.
    overrides, ct_series, pet_series
        As in ``scans.tsv``.
    tissues, regions
        Label maps on the CT's grid to use instead of the workflow's own.
    ct_fwhm_mm, pet_fwhm_mm
        Resolution, if it is known; else estimated.

    Raises
    ------
    Refusal
        If the workflow would refuse the scan, with its code.
    ValueError
        If it is of a kind that cannot take implants: multi-frame or NIfTI files, joined or oblique series.
    """
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        index_scan(
            series=str(place / "series.tsv"),
            screening=str(place / "screening.json"),
            selection=str(place / "selection.json"),
            scan={},
            sources={"source": str(source)},
            ct_series=ct_series,
            pet_series=pet_series,
            overrides=overrides,
        )
        selection, verdict = read_json(place / "selection.json"), read_json(place / "screening.json")
    if verdict["verdict"] != "accepted":
        raise Refusal(verdict["code"], verdict["reason"])
    for kind in ("ct", "pet"):
        part = selection[kind]
        if part.get("nifti") or part["terms"] or any(file["frame"] is not None for file in part["files"]):
            raise ValueError(f"the {kind} is multi-frame, joined or NIfTI: implants need one DICOM file a slice")
    ct, pet = (
        fill(selection[kind]["source"], selection[kind]["files"], grid_of(selection[kind]), pet=kind == "pet")
        for kind in ("ct", "pet")
    )
    for volume in (ct, pet):
        straight_grid(volume)
    result = evaluate(selection["suv"], dict(overrides or {}))
    suv = pet.like(apply_factors(pet.array, result.factors))
    if tissues is not None and regions is not None:
        maps = [read_volume(path) for path in (tissues, regions)]
        if any(m.array.shape != ct.array.shape or not np.allclose(m.affine, ct.affine, atol=0.05) for m in maps):
            raise ValueError("the label maps do not lie on the CT's grid")
        tissue_map, region_map = (m.array.astype(np.uint8) for m in maps)
        joints = []
    else:
        found = segment(ct)
        tissue_map, region_map = found.tissues, found.regions
        joints = found.anatomy["joints"]
    header = _ct_header(selection)
    optics = _optics(ct, suv, tissue_map, selection["suv"], header, ct_fwhm_mm, pet_fwhm_mm)
    return Host(
        selection=selection,
        ct=ct,
        suv=suv,
        factors=tuple(float(f) for f in result.factors),
        tissues=tissue_map,
        regions=region_map,
        box=body_box(tissue_map, ct.spacing),
        kvp=float(header["kvp"] or 120.0),
        optics=optics,
        joints=tuple(((j["x_mm"], j["y_mm"], j["z_mm"]), j["radius_mm"]) for j in joints),
    )


def _ct_header(selection: Mapping[str, Any]) -> dict[str, Any]:
    """What of the CT's header tells its resolution."""
    part = selection["ct"]
    with quiet():
        _, dataset = next(iter(slices(part["source"], part["files"][:1], whole_header=True)))
    sidecar = part["sidecar"]
    return {
        "kvp": sidecar.get("KVP"),
        "kernel": str(sidecar.get("ConvolutionKernel") or ""),
        "thickness_mm": sidecar.get("SliceThickness"),
        "options": str(getattr(dataset, "ScanOptions", "") or ""),
    }


def _optics(
    ct: Volume,
    suv: Volume,
    tissues: NDArray[np.uint8],
    pet_header: Mapping[str, Any],
    ct_header: Mapping[str, Any],
    ct_fwhm_mm: float | None,
    pet_fwhm_mm: float | None,
) -> Optics:
    if ct_fwhm_mm is not None:
        ct_source = "given"
    else:
        ct_fwhm_mm, ct_source = in_plane_fwhm(ct.array, tissues > 0, ct.spacing, ct_header["kernel"])
    noise = pet_noise(suv, ct.like(tissues))
    pet_source = "given"
    if pet_fwhm_mm is None:
        pet_fwhm_mm, pet_source = resolution(pet_header)
        if pet_source == "assumed":
            # What smoothed the noise has smoothed the image as well, on top of the scanner's own blur.
            pet_fwhm_mm = float(np.clip(np.hypot(SCANNER_FWHM_MM, noise.fwhm_mm), 5.0, 9.0))
            pet_source = f"{SCANNER_FWHM_MM} mm of the scanner, assumed, and the noise's correlation length"
    return Optics(
        ct_fwhm_mm=ct_fwhm_mm,
        ct_source=ct_source,
        profile=slice_profile(ct_header["thickness_mm"], ct.spacing[0], ct_header["options"]),
        pet_fwhm_mm=pet_fwhm_mm,
        pet_source=pet_source,
        ct_noise_hu=ct_noise(ct.array, tissues),
        pet=noise,
    )
