"""Colours and words that every page, picture and figure shares.

Compartments have the colours of Okabe and Ito ("Color Universal Design", 2008), which stay apart in all common
forms of colour blindness (a test simulates them); the two that matter most, subcutaneous and muscle, are its blue and
its vermilion. The grey is ours: a lighter one passes for the pink in deuteranopia.
Classes are told by the line (solid, dashed, dotted), never by colour alone.
"""

COMPARTMENT_COLOURS = {
    "skin": "#56B4E9",
    "subcutaneous": "#0072B2",
    "fascia": "#009E73",
    "muscle": "#D55E00",
    "periarticular": "#CC79A7",
    "other": "#5E5E5E",
}
"""As in the figures of the cohort (a test says so)."""

SKIN_LINE, BONE_LINE = "#0072B2", "#E69F00"
"""Outlines of the CT over the PET."""

CLASS_DASHES: dict[str, tuple[float, ...]] = {"CT+PET+": (), "CT+PET-": (5.0, 3.0), "CT-PET+": (1.2, 2.4)}
"""Lengths of strokes and gaps of a class's outline, in pixels; none is a solid line."""

CLASS_WORDS = {
    "CT+PET+": "calcification with uptake",
    "CT+PET-": "calcification without uptake",
    "CT-PET+": "uptake without calcification",
}

PET_STATUS_WORDS = {
    "positive": "uptake",
    "negative": "no uptake",
    "indeterminate": "uptake cannot be told",
}

MODALITY_WORDS = {"ct": "CT", "pet": "PET", "petct": "PET/CT", "clinical": "Clinical"}

TISSUE_COLOURS = {
    "skin": "#56B4E9",
    "subcutaneous_fat": "#F0E442",
    "muscle": "#D55E00",
    "bone": "#FFFFFF",
    "lung": "#0072B2",
    "viscera": "#CC79A7",
    "other": "#009E73",
}

REGION_COLOURS = {
    "head": "#4477AA",
    "neck": "#EE6677",
    "chest": "#228833",
    "abdomen": "#CCBB44",
    "pelvis": "#66CCEE",
    "shoulder": "#AA3377",
    "upper_arm": "#EE7733",
    "elbow": "#0077BB",
    "forearm": "#EE3377",
    "hand": "#009988",
    "fingers": "#DDCC77",
    "thigh": "#CC3311",
    "knee": "#33BBEE",
    "lower_leg": "#AA4499",
    "foot": "#999933",
    "toes": "#6699CC",
}
"""Neighbouring regions differ in hue and in lightness; every region also carries its name in the legend."""

HEAT_STOPS = ("#000000", "#5A0A0A", "#B4200A", "#F06414", "#FFBE32", "#FFFFDC")
"""From no uptake to the end of the scale; lightness only rises, so it also reads in grey."""

DROPPED_WORDS = {
    "bone": "in bone",
    "vessel": "in a vessel wall",
    "vessels": "in a vessel wall",
    "viscera": "in viscera or bowel",
    "lung": "in the lung",
    "teeth": "teeth or dental work",
    "outside": "outside the body",
    "outside_body": "outside the body",
    "too_small": "below the smallest volume that counts",
    "noise": "not above noise",
    "metal": "metal or its streaks",
    "urine": "urine",
    "joint": "in a joint",
    "border": "at the border of the image",
}
"""Words for the causes by which candidates are left out; an unknown cause is shown as it stands."""

RESEARCH_USE = "For research use only. Not a medical device; not for diagnosis or for treatment decisions."


def rgb(colour: str) -> tuple[int, int, int]:
    """Turn ``#RRGGBB`` into three numbers, 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def words(name: str) -> str:
    """Turn a fixed word such as ``lower_leg`` into prose."""
    return name.replace("_", " ")
