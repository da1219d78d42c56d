"""A lesion's lasting name: the same as long as its highest voxel is, whatever thresholds and order are."""

import base64
import hashlib

UID_LETTERS = 10
OFFSET = 0.137


def lesion_uid(scan: str, modality: str, point_mm: tuple[float, float, float]) -> str:
    """Short name made of the scan and the place of the lesion's highest voxel.

    The highest voxel stays while thresholds, sizes and the lesion's neighbours change, and its place in mm stays
    while the image is cropped.

    Parameters
    ----------
    scan
        The scan's own name in the study (``sub-01_ses-01``).
    modality
        ``ct`` where the lesion has a CT part (highest HU), else ``pet`` (highest uptake).
    point_mm
        Centre of that voxel, RAS mm in CT space; told apart to 0.1 mm.
    """
    # Voxel centres like to lie on round numbers; the odd offset keeps rounding errors of a header from deciding.
    place = ",".join(str(round(10.0 * value + OFFSET)) for value in point_mm)
    digest = hashlib.sha256(f"{scan}|{modality}|{place}".encode()).digest()
    return base64.b32encode(digest).decode().lower()[:UID_LETTERS]
