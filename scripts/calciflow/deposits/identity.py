"""A lesion's lasting name: the same as long as its highest voxel is, whatever thresholds and order are."""

import base64
import hashlib

UID_LETTERS = 10
SCAN_LETTERS = 2
"""The name begins with that many letters of its scan: a name that was copied from another scan is told."""

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
OFFSET = 0.137


def _letters(text: str, count: int) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:count]


def _check(letters: str) -> str:
    """One letter that any single wrong letter changes: a sum with odd weights modulo 32."""
    total = sum((2 * place + 1) * ALPHABET.index(letter) for place, letter in enumerate(letters))
    return ALPHABET[total % len(ALPHABET)]


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
        Centre of that voxel, RAS mm in the space of its own image; told apart to 0.1 mm.

    Returns
    -------
    str
        ``UID_LETTERS`` letters: two of the scan, seven of the place (2 ** 35 of them: 1,000 lesions of a scan share
        one with a chance of 1 in 70,000), and one that tells a mistyped name.
    """
    # Voxel centres like to lie on round numbers; the odd offset keeps rounding errors of a header from deciding.
    place = ",".join(str(round(10.0 * value + OFFSET)) for value in point_mm)
    letters = _letters(scan, SCAN_LETTERS) + _letters(f"{scan}|{modality}|{place}", UID_LETTERS - SCAN_LETTERS - 1)
    return letters + _check(letters)


def uid_fault(uid: str, scan: str) -> str | None:
    """Say what is wrong with a name that shall be a lesion's of this scan; None if it may be one."""
    if len(uid) != UID_LETTERS or any(letter not in ALPHABET for letter in uid):
        return f"is no lesion_uid: that has {UID_LETTERS} small letters or digits 2 to 7"
    if _check(uid[:-1]) != uid[-1]:
        return "is no lesion_uid: a letter is wrong"
    if uid[:SCAN_LETTERS] != _letters(scan, SCAN_LETTERS):
        return "is a lesion of another scan"
    return None
