"""The demo cohort: six fictitious people, their deposits, their scans.

The cohort has the make-up of Richardson et al. 2025 (doi 10.3389/fnume.2025.1593825): three people with dermatomyositis
(DM), three with systemic sclerosis (SSc); subcutaneous deposits in all six, muscle deposits in three, two of them SSc.
Where deposits sit follows the diseases: fingertips, elbows and knees in SSc, sheets and masses of limbs, hips and
buttocks in DM. Nothing else is taken from the article: people, places, sizes and scores are made up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from calciflow.phantom.deposits import draw_volume
from calciflow.phantom.model import Person
from calciflow.phantom.spec import CtSpec, DepositSpec, Form, Motion, PersonSpec, PetSpec, ScanSpec


@dataclass(frozen=True)
class Site:
    """Deposits of one kind at one place: how many are drawn, and their median volume."""

    region: str
    side: Literal["left", "right"]
    number: int
    median_ml: float
    form: Form = "nodule"
    compartment: str = "subcutaneous"


@dataclass(frozen=True)
class Member:
    """A person of the cohort."""

    participant_id: str
    group: str
    person: PersonSpec
    sites: tuple[Site, ...]
    motion: Motion
    seed: int

    @property
    def source(self) -> str:
        """Where ``scans.tsv`` finds the scan, relative to the study."""
        return f"demo/dicom/{self.participant_id}"


MEMBERS = (
    Member(
        "sub-01",
        "DM",
        PersonSpec(1.63, 22.0, "F", 47, "down", asymmetry_mm=3.0),
        (
            Site("thigh", "right", 2, 1.5, "sheet"),
            Site("thigh", "left", 2, 0.5),
            Site("elbow", "right", 2, 0.4),
            Site("elbow", "left", 1, 0.3),
            Site("knee", "right", 2, 0.4),
            Site("pelvis", "left", 1, 6.0, "tumoral"),
            Site("upper_arm", "right", 1, 0.8, "sheet"),
            Site("lower_leg", "left", 1, 0.4),
            Site("abdomen", "right", 1, 0.5),
        ),
        Motion((1.5, -1.0, 2.0), (0.3, 0.0, 0.4)),
        101,
    ),
    Member(
        "sub-02",
        "DM",
        PersonSpec(1.78, 26.5, "M", 58, "up", asymmetry_mm=3.0),
        (
            Site("thigh", "right", 2, 2.0, "streak", "muscle"),
            Site("thigh", "left", 1, 1.2, "streak", "muscle"),
            Site("pelvis", "right", 1, 2.5, "nodule", "muscle"),
            Site("thigh", "left", 1, 2.0, "sheet"),
            Site("pelvis", "left", 2, 1.0),
            Site("elbow", "right", 2, 0.5),
            Site("elbow", "left", 2, 0.5),
            Site("forearm", "left", 1, 0.4),
            Site("knee", "left", 2, 0.5),
            Site("chest", "right", 1, 0.6),
            Site("upper_arm", "left", 1, 0.6),
        ),
        Motion((-2.0, 1.0, -1.0), (0.0, 0.4, -0.5)),
        102,
    ),
    Member(
        "sub-03",
        "DM",
        PersonSpec(1.70, 19.5, "F", 34, "belly", asymmetry_mm=3.0),
        (
            Site("pelvis", "right", 1, 9.0, "tumoral"),
            Site("pelvis", "left", 2, 0.6),
            Site("thigh", "right", 3, 1.0, "sheet"),
            Site("thigh", "left", 2, 1.0, "sheet"),
            Site("knee", "right", 2, 0.3),
            Site("knee", "left", 2, 0.3),
            Site("elbow", "right", 2, 0.3),
            Site("elbow", "left", 1, 0.3),
            Site("shoulder", "left", 1, 1.0),
            Site("upper_arm", "right", 2, 0.4),
            Site("lower_leg", "right", 2, 0.4),
            Site("abdomen", "left", 1, 0.8, "sheet"),
        ),
        Motion((3.0, 2.0, -3.0), (0.5, -0.5, 0.8)),
        103,
    ),
    Member(
        "sub-04",
        "SSc",
        PersonSpec(1.60, 24.0, "F", 61, "down", asymmetry_mm=3.0),
        (
            Site("fingers", "right", 4, 0.12),
            Site("fingers", "left", 3, 0.12),
            Site("hand", "right", 1, 0.2),
            Site("elbow", "right", 3, 0.5),
            Site("elbow", "left", 2, 0.4),
            Site("forearm", "right", 1, 0.6, "streak", "muscle"),
            Site("thigh", "left", 1, 1.2, "streak", "muscle"),
            Site("knee", "right", 2, 0.5),
            Site("knee", "left", 1, 0.5),
            Site("lower_leg", "right", 1, 0.3),
        ),
        Motion((0.5, 0.0, 1.5), (0.0, 0.0, 0.3)),
        104,
    ),
    Member(
        "sub-05",
        "SSc",
        PersonSpec(1.74, 30.5, "M", 52, "belly", asymmetry_mm=3.0),
        (
            Site("fingers", "right", 3, 0.15),
            Site("fingers", "left", 2, 0.15),
            Site("forearm", "left", 2, 0.6),
            Site("elbow", "right", 2, 0.7),
            Site("elbow", "left", 2, 0.5),
            Site("pelvis", "left", 1, 2.0, "nodule", "muscle"),
            Site("thigh", "right", 2, 1.5, "streak", "muscle"),
            Site("knee", "right", 2, 0.6),
            Site("knee", "left", 1, 0.6),
            Site("foot", "left", 1, 0.3),
            Site("lower_leg", "left", 1, 0.5),
        ),
        Motion((-1.0, 2.5, 1.0), (-0.6, 0.0, 0.3)),
        105,
    ),
    Member(
        "sub-06",
        "SSc",
        PersonSpec(1.58, 34.0, "F", 66, "down", asymmetry_mm=3.0),
        (
            Site("fingers", "right", 3, 0.12),
            Site("fingers", "left", 4, 0.12),
            Site("hand", "left", 1, 0.2),
            Site("elbow", "right", 2, 0.5),
            Site("elbow", "left", 1, 0.8),
            Site("forearm", "right", 2, 0.3),
            Site("knee", "right", 2, 0.6),
            Site("knee", "left", 2, 0.6),
            Site("pelvis", "right", 1, 2.0),
            Site("shoulder", "right", 1, 1.2),
            Site("toes", "right", 1, 0.10),
        ),
        Motion((0.0, -1.5, 2.0), (0.0, 0.2, 0.0)),
        106,
    ),
)


def draw_deposits(member: Member) -> Iterator[DepositSpec]:
    """Deposits of a member, drawn with its seed.

    Six in ten are calcium with uptake, a quarter calcium alone, the rest uptake alone. Sizes are log-normal.
    Uptake alone below 0.4 ml would be invisible, so those are made at least that large.
    """
    rng = np.random.default_rng([member.seed, 11])
    for site in member.sites:
        for _ in range(site.number):
            small = site.region in ("fingers", "toes", "hand", "foot")
            chance = (0.7, 0.3, 0.0) if small or site.form == "tumoral" else (0.6, 0.25, 0.15)
            concordance = ("CT+PET+", "CT+PET-", "CT-PET+")[int(rng.choice(3, p=chance))]
            volume = draw_volume(rng, site.median_ml, 0.5, 0.03, 20.0)
            form = site.form
            if concordance == "CT-PET+":
                volume = max(volume, 0.4)
                form = "nodule" if form == "sheet" else form
            yield DepositSpec(
                region=site.region,
                side=site.side,
                compartment=site.compartment,
                concordance=concordance,
                form=form,
                volume_ml=volume,
                hu=float(np.clip(np.exp(rng.normal(np.log(480), 0.4)), 200, 1150)),
                suv=float(np.clip(np.exp(rng.normal(np.log(9.0), 0.4)), 3.5, 20)),
                bone_gap_mm=2.0 if small else 5.0,
                # Deposits of muscle lie well inside it; those of fat may touch the skin.
                skin_gap_mm=14.0 if site.compartment == "muscle" and site.region != "forearm" else 0.0,
            )


def scan_of(member: Member) -> ScanSpec:
    """Scan of a member: 256 columns of a width that holds the arms, 3.5 mm slices."""
    low, high = Person.make(member.person, member.seed).bounds()
    pixel = float(np.ceil((high[0] - low[0] + 16) / 256 * 20) / 20)
    return ScanSpec(
        name=member.participant_id.replace("sub-", "Demo"),
        person=member.person,
        ct=CtSpec(pixel_mm=pixel, matrix=(256, 192), slice_mm=3.5, noise_hu=14.0),
        pet=PetSpec(pixel_mm=4.0, slice_mm=4.0, noise=0.10, dose_mbq=180.0 + 10 * (member.seed % 7), uptake_min=65.0),
        motion=member.motion,
        deposits=tuple(draw_deposits(member)),
    )
