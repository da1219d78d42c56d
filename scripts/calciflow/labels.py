"""The fixed words of the result files: tissues, regions, sides, compartments, classes."""

TISSUES = {
    "skin": 1,
    "subcutaneous_fat": 2,
    "muscle": 3,
    "bone": 4,
    "lung": 5,
    "viscera": 6,
    "other": 7,
}
"""Label of each tissue in ``desc-tissues_dseg``; 0 is outside the body."""

REGIONS = (
    "head",
    "neck",
    "chest",
    "abdomen",
    "pelvis",
    "shoulder",
    "upper_arm",
    "elbow",
    "forearm",
    "hand",
    "fingers",
    "thigh",
    "knee",
    "lower_leg",
    "foot",
    "toes",
)
"""Body regions. The back belongs to chest and abdomen, the buttock to pelvis, wrist to hand, ankle to foot."""

AXIAL_REGIONS = REGIONS[:5]
"""Regions that the midline runs through; a lesion there can have side ``midline``."""

SIDES = ("left", "right", "midline")
COMPARTMENTS = ("skin", "subcutaneous", "fascia", "muscle", "periarticular", "other")
CONCORDANCES = ("CT+PET+", "CT+PET-", "CT-PET+")
PET_STATUSES = ("positive", "negative", "indeterminate")


def region_label(region: str, side: str) -> int:
    """Label in ``desc-regions_dseg``: ten times the region's place in ``REGIONS`` (from 1), plus 1 left, 2 right."""
    return 10 * (REGIONS.index(region) + 1) + {"left": 1, "right": 2}[side]


def region_of(label: int) -> tuple[str, str]:
    """Region and side of a label of ``desc-regions_dseg``."""
    return REGIONS[label // 10 - 1], {1: "left", 2: "right"}[label % 10]


REGION_LABELS = {region_label(r, s): (r, s) for r in REGIONS for s in ("left", "right")}

LESION_COLUMNS = (
    "participant_id session_id acquisition lesion_id lesion_uid concordance compartment compartment_probability "
    "region side x_mm y_mm z_mm pet_status suv_detection_limit ct_volume_ml hu_max hu_mean hydroxyapatite_mg agatston "
    "pet_volume_ml suv_max suv_mean suv_peak tlf bone_spill_fraction distance_to_bone_mm distance_to_skin_mm "
    "morphology structure flags reason"
).split()
"""Columns of ``lesions.tsv`` in the order that other programs rely on; further columns may follow."""

SCORE_COLUMNS = ("participant_id", "session_id", "modality", "region", "side", "score")
