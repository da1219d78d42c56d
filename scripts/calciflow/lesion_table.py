"""What a row of a lesion table says: the modalities that show the deposit, its volume, its flags."""

from typing import Any

import pandas as pd


def flag_words(flags: Any) -> set[str]:
    """The single flags of a lesion's ``flags`` cell, in small letters, ``_`` read as a blank."""
    if not isinstance(flags, str):
        return set()
    return {word.strip().lower().replace("_", " ") for word in flags.split(";") if word.strip()}


def has_part(lesions: pd.DataFrame, modality: str) -> "pd.Series[bool]":
    """Which lesions ``modality`` shows: those with a CT part, with a PET part, or all (``petct``)."""
    concordance = lesions["concordance"].astype(str)
    if modality == "ct":
        return concordance.str.contains("CT+", regex=False)
    if modality == "pet":
        return concordance.str.contains("PET+", regex=False)
    return concordance == concordance


def lesion_volume(lesions: pd.DataFrame, modality: str, rule: str = "ct_first") -> "pd.Series[float]":
    """Each lesion's volume in ml as ``modality`` sees it.

    Parameters
    ----------
    rule
        For ``petct``: ``ct_first`` is the CT volume where there is a CT part and the PET volume elsewhere, so the blur
        of PET doesn't swell what CT measured; ``larger`` is the larger of the two.
    """
    ct = lesions["ct_volume_ml"].astype(float).where(has_part(lesions, "ct"))
    pet = lesions["pet_volume_ml"].astype(float).where(has_part(lesions, "pet"))
    if modality == "ct":
        return ct
    if modality == "pet":
        return pet
    return ct.fillna(pet) if rule == "ct_first" else pd.concat([ct, pet], axis=1).max(axis=1)
