"""What a phantom is made of: the person, the scanner, the movement, the deposits. Loadable from yaml."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_type_hints

from calciflow.labels import COMPARTMENTS, CONCORDANCES, REGIONS


@dataclass(frozen=True)
class PersonSpec:
    """A person.

    Attributes
    ----------
    height_m, bmi
        Height (1.45 to 1.95 m) and body mass index (16 to 40 kg/m2); weight follows.
    sex
        ``M`` or ``F``: fat distribution, breasts, pelvis.
    age
        Years; fills DICOM's PatientAge, and muscles of the old have wider fat planes.
    arms
        ``down`` beside the body, ``up`` above the head, ``belly`` with the hands on the belly, ``under`` with the hands
        under the buttocks.
    muscularity
        Muscle girth relative to the usual one at this BMI.
    scoliosis_mm
        How far the spine swings to each side of the midline (0 to 40 mm at 1.70 m): an S of chest and loins.
    hip_rotation_deg
        How far the right and the left leg are turned outwards in the hip (-30 to 60 degrees).
    asymmetry_mm
        By how much bones of each side depart from the even ones (mm at 1.70 m, rms along each axis, 0 to 6 mm; hands
        and feet a third of it): 0 makes both sides mirror images.
    """

    height_m: float = 1.70
    bmi: float = 24.0
    sex: Literal["M", "F"] = "F"
    age: int = 55
    arms: Literal["down", "up", "belly", "under"] = "down"
    muscularity: float = 1.0
    scoliosis_mm: float = 0.0
    hip_rotation_deg: tuple[float, float] = (0.0, 0.0)
    asymmetry_mm: float = 0.0

    def __post_init__(self) -> None:
        if not 1.3 <= self.height_m <= 2.1:
            raise ValueError(f"height_m {self.height_m} is not in 1.3 to 2.1 m")
        if not 14 <= self.bmi <= 45:
            raise ValueError(f"bmi {self.bmi} is not in 14 to 45 kg/m2")
        if self.sex not in ("M", "F"):
            raise ValueError(f"sex {self.sex!r} is not M or F")
        if self.arms not in ("down", "up", "belly", "under"):
            raise ValueError(f"arms {self.arms!r} is not down, up, belly or under")
        if abs(self.scoliosis_mm) > 40:
            raise ValueError(f"scoliosis_mm {self.scoliosis_mm} is not in -40 to 40 mm")
        if not 0 <= self.asymmetry_mm <= 6:
            raise ValueError(f"asymmetry_mm {self.asymmetry_mm} is not in 0 to 6 mm")
        if not all(-30 <= turn <= 60 for turn in self.hip_rotation_deg):
            raise ValueError(f"hip_rotation_deg {self.hip_rotation_deg} is not in -30 to 60 degrees")

    @property
    def weight_kg(self) -> float:
        """Body weight in kg, to 0.1 kg as a header has it."""
        return round(self.bmi * self.height_m**2, 1)


@dataclass(frozen=True)
class CtSpec:
    """A CT.

    Attributes
    ----------
    pixel_mm, matrix
        Pixel size and number of columns and rows.
    slice_mm, thickness_mm
        Slice increment, and slice thickness (None: the same).
    kernel_fwhm_mm
        In-plane resolution.
    kvp
        Tube voltage: calcium is denser at low kVp.
    noise_hu
        Noise in a body of 300 mm effective diameter; grows with the path through the patient.
    table, blanket
        Whether the couch and a blanket over the legs are in view.
    """

    pixel_mm: float = 1.5
    matrix: tuple[int, int] = (340, 300)
    slice_mm: float = 3.0
    thickness_mm: float | None = None
    kernel_fwhm_mm: float = 1.5
    kvp: int = 120
    noise_hu: float = 15.0
    table: bool = True
    blanket: bool = True


@dataclass(frozen=True)
class PetSpec:
    """A PET.

    Attributes
    ----------
    pixel_mm, slice_mm
        Voxel size; the matrix is chosen to hold the CT's field of view plus ``margin_mm``.
    fwhm_mm
        Resolution of the reconstructed image.
    noise
        Relative standard deviation of a voxel of 1 SUV inside a body of 300 mm effective diameter.
    noise_fwhm_mm
        Correlation length of the noise.
    dose_mbq, uptake_min
        Net activity at injection; minutes from injection to scan.
    frame_s, bed_mm
        Duration of a bed position, and its step.
    """

    pixel_mm: float = 4.0
    slice_mm: float = 3.0
    fwhm_mm: float = 6.0
    noise: float = 0.12
    noise_fwhm_mm: float = 5.0
    margin_mm: float = 20.0
    dose_mbq: float = 250.0
    uptake_min: float = 70.0
    frame_s: float = 120.0
    bed_mm: float = 110.0


@dataclass(frozen=True)
class Motion:
    """Rigid movement from CT to PET: rotation about the x, y, z axes through ``centre_mm``, then a shift.

    ``centre_mm`` None is the middle of the CT. A tissue point p of the CT lies at R (p - c) + c + t during the PET.
    """

    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    centre_mm: tuple[float, float, float] | None = None

    @property
    def none(self) -> bool:
        """Whether nothing moved."""
        return not any(self.shift_mm) and not any(self.rotation_deg)


LIMBS = ("head", *(f"{side} {part}" for side in ("left", "right") for part in ("arm", "forearm", "leg", "lower_leg")))
"""What can move on its own between CT and PET."""


@dataclass(frozen=True)
class LimbMotion:
    """One limb or the head moves on its own, before the whole body does: it turns about its joint.

    Attributes
    ----------
    limb
        ``head``, or a side and ``arm`` (about the shoulder), ``forearm`` (elbow), ``leg`` (hip), ``lower_leg`` (knee).
    rotation_deg
        About the x, y and z axes through the joint.
    """

    limb: str
    rotation_deg: tuple[float, float, float]

    def __post_init__(self) -> None:
        if self.limb not in LIMBS:
            raise ValueError(f"limb {self.limb!r} is not one of {', '.join(LIMBS)}")


Form = Literal["nodule", "sheet", "streak", "tumoral"]
Site = Literal["", "fingertip", "tendon", "carpal_tunnel"]
Contact = Literal["", "bone", "skin"]


@dataclass(frozen=True)
class DepositSpec:
    """One deposit, or a cluster of them, to be placed by anatomy.

    Attributes
    ----------
    region, side, compartment
        Fixed words: where the deposit must lie.
    concordance
        What the deposit is: calcium with uptake, calcium alone, uptake alone.
    form
        ``nodule`` (an ellipsoid), ``sheet`` (follows fascia or fat at constant depth), ``streak`` (along the muscle's
        fibres), ``tumoral`` (lobulated).
    volume_ml
        True volume.
    hu
        CT value at 120 kVp in its core (ignored for CT-PET+).
    suv
        True uptake (ignored for CT+PET-, which takes the uptake of its surroundings).
    count, spread_mm
        A cluster: how many, and within which distance of the first; each has its own row in the truth.
    bone_gap_mm, skin_gap_mm
        Least distance from the deposit's surface to bone and to the body's surface.
    site
        Narrows the place: ``fingertip`` (the pulp beyond the last joint), ``tendon`` (in a tendon's sheath),
        ``carpal_tunnel``. Empty: anywhere in the compartment.
    touches
        ``bone`` or ``skin``: the deposit lies against it. Empty: nothing is asked for.
    at_mm
        A wanted place (RAS mm): the nearest allowed one is taken. None: drawn at random.
    """

    region: str
    side: Literal["left", "right"] = "right"
    compartment: str = "subcutaneous"
    concordance: str = "CT+PET+"
    form: Form = "nodule"
    volume_ml: float = 0.5
    hu: float = 500.0
    suv: float = 8.0
    count: int = 1
    spread_mm: float = 25.0
    bone_gap_mm: float = 3.0
    skin_gap_mm: float = 0.0
    site: Site = ""
    touches: Contact = ""
    at_mm: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        for word, allowed, name in (
            (self.region, REGIONS, "region"),
            (self.compartment, COMPARTMENTS, "compartment"),
            (self.concordance, CONCORDANCES, "concordance"),
            (self.form, ("nodule", "sheet", "streak", "tumoral"), "form"),
            (self.side, ("left", "right"), "side"),
            (self.site, get_args(Site), "site"),
            (self.touches, get_args(Contact), "touches"),
        ):
            if word not in allowed:
                raise ValueError(f"deposit: {name} {word!r} is not one of {', '.join(allowed)}")
        if self.volume_ml <= 0 or self.count < 1:
            raise ValueError("deposit: volume_ml and count must be positive")


@dataclass(frozen=True)
class Traps:
    """What looks like a deposit and is none, or misleads otherwise. All are off unless asked for.

    ``PersonSpec`` holds those that are of the body's own shape: ``scoliosis_mm``, ``hip_rotation_deg`` and the arms
    ``under``.

    Attributes
    ----------
    arterial_calcification
        Plaques on the walls of aorta, iliac and femoral arteries.
    costal_cartilage
        Calcium in the cartilage between ribs and breast bone.
    phleboliths
        Small round stones in pelvic veins.
    granulomas
        Shells of calcium in the fat of the buttocks, left by injections.
    oral_contrast, intravenous_contrast
        Dense bowel; dense heart, vessels and kidneys.
    enthesis_spurs
        Bone spurs with uptake where tendons insert: heel, kneecap, elbow, trochanter.
    arthritis
        Joints of fingers, knees and shoulders with uptake and osteophytes.
    hot_ureters
        Urine in parts of the ureters.
    urine_on_skin
        Urine on the skin between the thighs.
    injection_residue
        Tracer left at an elbow's bend, and in the vein above.
    dental_metal, hip_prosthesis
        Metal, with streaks on CT.
    tubes
        Tubes and electrodes on the skin of the chest.
    myositis
        Diffuse symmetric uptake in the muscles of thighs and shoulders, without calcium.
    acro_osteolysis
        Bone of fingertips destroyed, crumbs of it left.
    attenuation_mismatch
        The diaphragm lay higher on PET than on CT: too little activity in a band above the liver.
    """

    arterial_calcification: bool = False
    costal_cartilage: bool = False
    phleboliths: bool = False
    granulomas: bool = False
    oral_contrast: bool = False
    intravenous_contrast: bool = False
    enthesis_spurs: bool = False
    arthritis: bool = False
    hot_ureters: bool = False
    urine_on_skin: bool = False
    injection_residue: bool = False
    dental_metal: bool = False
    hip_prosthesis: bool = False
    tubes: bool = False
    myositis: bool = False
    acro_osteolysis: bool = False
    attenuation_mismatch: bool = False


@dataclass(frozen=True)
class ScanSpec:
    """A scan: who, on which scanner, which part, moved how, with which deposits.

    ``z_range_mm`` limits the field of view (mm above the soles of the standing person; None is head to toe).
    ``name`` marks the fictitious patient in the DICOM files.
    """

    name: str = "phantom"
    person: PersonSpec = field(default_factory=PersonSpec)
    ct: CtSpec = field(default_factory=CtSpec)
    pet: PetSpec = field(default_factory=PetSpec)
    motion: Motion = field(default_factory=Motion)
    limb_motion: LimbMotion | None = None
    z_range_mm: tuple[float, float] | None = None
    centre_xy_mm: tuple[float, float] | None = None
    deposits: tuple[DepositSpec, ...] = ()
    traps: Traps = field(default_factory=Traps)


def _build(kind: Any, value: Any, where: str) -> Any:
    options = [part for part in get_args(kind) if part is not type(None)] if isinstance(kind, UnionType) else [kind]
    if value is None and isinstance(kind, UnionType):
        return None
    kind = options[0]
    if is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ValueError(f"{where}: a mapping is expected")
        hints = get_type_hints(kind)
        known = [item.name for item in fields(kind)]
        for key in value:
            if key not in known:
                raise ValueError(f"{where}: unknown key {key!r}; known are {', '.join(known)}")
        return kind(**{key: _build(hints[key], item, f"{where}.{key}") for key, item in value.items()})  # type: ignore[operator]
    if isinstance(value, list | tuple):
        inner = get_args(kind)
        each = inner[0] if inner else Any
        return tuple(_build(each, item, where) for item in value)
    if kind is float:
        return float(value)
    return value


def from_mapping(content: Mapping[str, Any]) -> ScanSpec:
    """Build a ``ScanSpec`` from nested mappings; an unknown key or word is a ``ValueError`` that names it."""
    spec: ScanSpec = _build(ScanSpec, content, "scan")
    return spec


def load_spec(path: str | Path) -> ScanSpec:
    """Read a ``ScanSpec`` from a yaml file."""
    from ruamel.yaml import YAML

    with open(path, encoding="utf-8") as handle:
        content = YAML(typ="safe").load(handle)
    return from_mapping(content or {})


__all__ = [
    "LIMBS",
    "CtSpec",
    "DepositSpec",
    "LimbMotion",
    "Motion",
    "PersonSpec",
    "PetSpec",
    "ScanSpec",
    "Traps",
    "from_mapping",
    "load_spec",
    "replace",
]
