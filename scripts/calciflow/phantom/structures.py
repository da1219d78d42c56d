"""Named structures of the body, so that truth can say what a false lesion really is."""

STRUCTURES = {
    name: number
    for number, name in enumerate(
        (
            "skull", "jaw", "teeth", "cervical spine", "thoracic spine", "lumbar spine", "sacrum", "rib", "sternum",
            "clavicle", "scapula", "hip bone", "femur", "patella", "lower leg bone", "foot bone", "humerus",
            "forearm bone", "hand bone", "joint or disc", "vessel", "heart", "kidney", "ureter", "bladder", "bowel",
            "stomach", "tendon", "thyroid", "airway", "costal cartilage",
        ),
        1,
    )
}  # fmt: skip
"""Label of each structure in the truth's ``structures.nii.gz``; 0 is none of them."""

_BY_WORD = {
    "calvaria": "skull", "face": "skull", "mandible": "jaw", "sacrum": "sacrum", "coccyx": "sacrum", "rib": "rib",
    "sternum": "sternum", "clavicle": "clavicle", "scapula": "scapula", "hip": "hip bone", "femur": "femur",
    "patella": "patella", "tibia": "lower leg bone", "fibula": "lower leg bone", "humerus": "humerus",
    "radius": "forearm bone", "ulna": "forearm bone", "talus": "foot bone", "calcaneus": "foot bone",
    "navicular": "foot bone", "cuboid": "foot bone", "cuneiform": "foot bone", "metatarsal": "foot bone",
    "toe": "foot bone",
}  # fmt: skip
_SPINE = {"C": "cervical spine", "T": "thoracic spine", "L": "lumbar spine"}


def structure_of_bone(name: str) -> str:
    """The structure that a bone of the phantom belongs to, from the bone's name (``left femur``, ``T4 arch``)."""
    words = name.split()
    if words[0][0] in _SPINE and words[0][1:].isdigit():
        return _SPINE[words[0][0]]
    return next((_BY_WORD[word] for word in words if word in _BY_WORD), "hand bone")
