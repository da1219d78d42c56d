"""A scan's truth as files, beside its DICOM and never inside it."""

from pathlib import Path

import numpy as np

from calciflow.files import write_json
from calciflow.images import write_volume
from calciflow.labels import REGION_LABELS, TISSUES
from calciflow.phantom.deposits import DEPOSIT_COLUMNS
from calciflow.phantom.scan import PhantomScan
from calciflow.phantom.structures import STRUCTURES
from calciflow.phantom.traps import TRAP_COLUMNS
from calciflow.tables import write_table


def write_truth(scan: PhantomScan, folder: str | Path, ideal: bool = False) -> None:
    """Write label maps, tables and the movement into ``folder``.

    ``deposits.tsv`` is written last: where it lies, the rest is whole. ``ideal`` adds the noise-free CT and PET.
    Where a limb moved on its own, ``moved.nii.gz`` holds how much each voxel took part in it (percent);
    ``traps.tsv`` lists what looks like a deposit and is none, ``traps.nii.gz`` shows where it lies.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(folder / "tissues.nii.gz", scan.tissues, np.uint8)
    write_volume(folder / "regions.nii.gz", scan.regions, np.uint8)
    write_volume(folder / "structures.nii.gz", scan.structures, np.uint8)
    write_volume(folder / "deposits.nii.gz", scan.deposits, scan.deposits.array.dtype)
    write_table(folder / "tissues.tsv", [{"index": v, "name": k} for k, v in TISSUES.items()], ("index", "name"))
    if len(scan.trap_table):
        write_volume(folder / "traps.nii.gz", scan.traps, np.uint8)
    traps = scan.trap_table.astype(object).where(scan.trap_table.notna(), None)
    write_table(folder / "traps.tsv", traps, TRAP_COLUMNS)
    named = [{"index": v, "name": k} for k, v in STRUCTURES.items()]
    write_table(folder / "structures.tsv", named, ("index", "name"))
    rows = [{"index": k, "name": region, "side": side} for k, (region, side) in REGION_LABELS.items()]
    write_table(folder / "regions.tsv", rows, ("index", "name", "side"))
    if ideal:
        write_volume(folder / "ct_ideal.nii.gz", scan.ct_ideal, np.int16)
        write_volume(folder / "pet_ideal.nii.gz", scan.pet_ideal, np.float32)
    limb = scan.movement.limb
    if limb is not None:
        write_volume(folder / "moved.nii.gz", scan.ct.like(scan.movement.weight_map()), np.uint8)
    person = scan.spec.person
    write_json(
        folder / "scan.json",
        {
            "name": scan.spec.name,
            "seed": scan.seed,
            "height_m": person.height_m,
            "weight_kg": person.weight_kg,
            "bmi": person.bmi,
            "sex": person.sex,
            "arms": person.arms,
            "dose_mbq": scan.spec.pet.dose_mbq,
            "uptake_minutes": scan.spec.pet.uptake_min,
            "bqml_per_suv": scan.bqml_per_suv,
            "ct_to_pet_ras_mm": scan.ct_to_pet,
            "traps": sorted(set(scan.trap_table["name"])),
            "kvp": scan.spec.ct.kvp,
            "limb_motion": None
            if limb is None
            else {
                "limb": limb.limb,
                "pivot_ras_mm": limb.pivot,
                "rotation_deg": scan.spec.limb_motion.rotation_deg if scan.spec.limb_motion else None,
                "ct_to_pet_ras_mm": limb.matrix,
            },
        },
    )
    write_table(folder / "deposits.tsv", scan.table.astype(object).where(scan.table.notna(), None), DEPOSIT_COLUMNS)
