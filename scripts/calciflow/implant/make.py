"""A host with deposits: placed, rendered, written as DICOM, and its truth beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from calciflow.files import write_json
from calciflow.images import write_volume
from calciflow.implant.dicom_out import write_scan
from calciflow.implant.host import Host
from calciflow.implant.place import Implanter, host_canvas, total
from calciflow.implant.sharpness import SIGMA, PetNoise, noise_scale
from calciflow.labels import REGION_LABELS, TISSUES
from calciflow.phantom.deposits import DEPOSIT_COLUMNS, PlacementError
from calciflow.phantom.movement import Movement
from calciflow.phantom.physics import calcium_factor
from calciflow.phantom.shapes import Array
from calciflow.phantom.spec import DepositSpec, PetSpec
from calciflow.phantom.visible import fill_visible
from calciflow.tables import write_table


@dataclass(frozen=True)
class Implants:
    """What was put into a host.

    Attributes
    ----------
    host, seed
        The host, and the seed of places, shapes and noise.
    ct_added, suv_added
        HU and SUV to be added, on the whole grids of CT and PET; ``suv_added`` holds the noise of the added activity.
    deposits
        Labels on the CT's grid.
    table
        ``calciflow.phantom.deposits.DEPOSIT_COLUMNS``.
    no_room
        Wishes that found no place.
    """

    host: Host
    seed: int
    ct_added: Array
    suv_added: Array
    deposits: NDArray[Any]
    table: pd.DataFrame
    no_room: int = field(default=0)


def implant(
    host: Host, wishes: Sequence[DepositSpec], seed: int, *, sure_mm: float = 3.0, noise: bool = True
) -> Implants:
    """Place deposits in a host and render them as its scanner would have.

    The CT gets the excess of HU over the noise-free tissue, blurred in the plane and over the slice: the scan's own
    noise stays beneath it. The PET gets the excess of SUV over what is there, blurred with its resolution, and with
    ``noise`` as much correlated noise more as the higher signal has.

    Parameters
    ----------
    wishes
        Deposits, placed in turn; what finds no room is left out.
    sure_mm
        Distance (mm) from the border of fat and muscle, and from the skin, within which the tissue map counts as
        unsure: no subcutaneous or muscular deposit lies there.
    """
    canvas = host_canvas(host)
    implanter = Implanter(host, canvas, seed, calcium_factor(host.kvp), sure_mm)
    quiet_ct = canvas.hu.copy()
    no_room = 0
    for wish in wishes:
        try:
            implanter.add(wish)
        except PlacementError:
            no_room += 1
    ct_box = total(implanter.ct, canvas.hu.shape)
    ct_added = np.zeros(host.ct.array.shape, np.float32)
    ct_added[host.box] = ct_box
    clean = total(implanter.pet, host.suv.array.shape)
    optics = host.optics
    # The host's own noise-free PET is not known: smoothed as much again as its noise is.
    sigma = [optics.pet.fwhm_mm * SIGMA / step for step in host.suv.spacing]
    quiet_suv = gaussian_filter(host.suv.array, sigma)
    suv_added = clean
    if noise and optics.pet.relative > 0:
        suv_added = clean + _more_noise(quiet_suv, clean, optics.pet, sigma, seed)
        # No activity below none, as iterative reconstruction has it; where the host is negative already it stays.
        suv_added = np.maximum(suv_added, np.minimum(-host.suv.array, 0)) * (clean != 0)
    z = slice(host.box[0].start, host.box[0].stop)
    table = fill_visible(
        implanter,
        np.rint(quiet_ct + ct_box).astype(np.int16),
        optics.ct_noise_hu[z],
        host.suv.like(quiet_suv + clean),
        np.full(host.suv.array.shape[0], max(optics.pet.relative, 1e-3)),
        Movement(canvas.grid, np.eye(4)),
        PetSpec(fwhm_mm=optics.pet_fwhm_mm),
    )
    labels = implanter.label_map()
    deposits = np.zeros(host.ct.array.shape, labels.dtype)
    deposits[host.box] = labels
    return Implants(host, seed, ct_added, suv_added.astype(np.float32), deposits, table, no_room)


def _more_noise(before: Array, added: Array, noise: PetNoise, sigma: Sequence[float], seed: int) -> Array:
    """Noise that the added activity brings: its variance is that of the sum less that of what was there."""
    rng = np.random.default_rng([seed, 6])
    field_ = gaussian_filter(rng.standard_normal(before.shape, dtype=np.float32), list(sigma), mode="wrap")
    field_ /= max(float(field_.std()), 1e-6)
    more = noise_scale(before + added) ** 2 - noise_scale(before) ** 2
    return field_ * np.sqrt(np.maximum(more, 0)) * np.float32(noise.relative) * (added != 0)


def write_implants(made: Implants, dicom: str | Path, truth: str | Path, name: str) -> None:
    """Write the DICOM and, last, the truth, in the form of the phantom's (`calciflow.phantom.truth`)."""
    host, folder = made.host, Path(truth)
    write_scan(host.selection, made.ct_added, made.suv_added, host.factors, dicom, made.seed)
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(folder / "tissues.nii.gz", host.ct.like(host.tissues), np.uint8)
    write_volume(folder / "regions.nii.gz", host.ct.like(host.regions), np.uint8)
    write_volume(folder / "deposits.nii.gz", host.ct.like(made.deposits), made.deposits.dtype)
    write_table(folder / "tissues.tsv", [{"index": v, "name": k} for k, v in TISSUES.items()], ("index", "name"))
    rows = [{"index": k, "name": region, "side": side} for k, (region, side) in REGION_LABELS.items()]
    write_table(folder / "regions.tsv", rows, ("index", "name", "side"))
    optics = host.optics
    write_json(
        folder / "scan.json",
        {
            "kind": "implants",
            "name": name,
            "seed": made.seed,
            "kvp": host.kvp,
            "suv_factor": host.factors[0] if len(set(host.factors)) == 1 else list(host.factors),
            # Of the implants alone: where the host's tissues lay during the PET is not known.
            "ct_to_pet_ras_mm": np.eye(4),
            "ct_fwhm_mm": round(optics.ct_fwhm_mm, 3),
            "ct_fwhm_source": optics.ct_source,
            "ct_slice_profile": f"{optics.profile.shape}, {optics.profile.width_mm:g} mm",
            "ct_noise_hu": round(float(np.median(optics.ct_noise_hu)), 2),
            "pet_fwhm_mm": round(optics.pet_fwhm_mm, 3),
            "pet_fwhm_source": optics.pet_source,
            "pet_noise_at_1_suv": round(optics.pet.relative, 4),
            "pet_noise_fwhm_mm": optics.pet.fwhm_mm,
            "no_room": made.no_room,
        },
    )
    write_table(folder / "deposits.tsv", made.table.astype(object).where(made.table.notna(), None), DEPOSIT_COLUMNS)
