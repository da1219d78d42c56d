"""Body sizes that SUVs are normalised by: lean mass, ideal weight, body surface.

All formulas take weight in kg and height in m. ``normaliser`` gives the number that stands where body weight in
grams stands in SUVbw, so that SUVbw = SUVx * weight_in_g / normaliser.

Sources: James, Research on Obesity, HMSO 1976 (128 for males: DICOM's LBMJAMES128), and Morgan and Bray, Clin
Pharmacokinet 1994, 26:292 (120 for males: DICOM's LBM), told apart as the SUV manual has it (Vacha et al. 2026);
Janmahasatian et al., Clin Pharmacokinet 2005, doi 10.2165/00003088-200544100-00004 (``LBMJANMA``); ideal body weight
as in Sugawara et al., Radiology 1999, doi 10.1148/radiology.213.2.r99nv37521 (``IBW``); Du Bois and Du Bois, Arch
Intern Med 1916 (``BSA``).
"""

from collections.abc import Callable

from calciflow.errors import Refusal
from calciflow.suvrules.values import TAGS

WEIGHT_KG = (1.0, 500.0)
"""A body weight outside is a typing error: a newborn weighs over 1 kg, and no scanner's table carries 500 kg."""
HEIGHT_M = (0.3, 2.6)
"""A height outside is a typing error."""
GRAMS_ABOVE = 1000.0
"""A weight above this is in grams: no one weighs 1000 kg (SUV manual, Vacha et al. 2026)."""
CENTIMETRES_ABOVE = 3.0
"""A height above this is in cm; ours."""


def lbm_james(weight: float, height: float, sex: str, male_term: float) -> float:
    """Lean body mass in kg by James; ``male_term`` 120 (Morgan) or 128 (James). ``sex`` is M or F."""
    ratio = (weight / (100 * height)) ** 2
    return 1.10 * weight - male_term * ratio if sex == "M" else 1.07 * weight - 148.0 * ratio


def lbm_janmahasatian(weight: float, height: float, sex: str) -> float:
    """Lean body mass in kg by Janmahasatian."""
    bmi = weight / height**2
    return 9270 * weight / (6680 + 216 * bmi) if sex == "M" else 9270 * weight / (8780 + 244 * bmi)


def ideal_weight(weight: float, height: float, sex: str) -> float:
    """Ideal body weight in kg; it does not depend on ``weight``."""
    over = 100 * height - 152
    return 48.0 + 1.06 * over if sex == "M" else 45.5 + 0.91 * over


def body_surface(weight: float, height: float) -> float:
    """Body surface in m2 by Du Bois."""
    return 0.007184 * (100 * height) ** 0.725 * weight**0.425


_MASSES: dict[str, Callable[[float, float, str], float]] = {
    "LBM": lambda w, h, s: lbm_james(w, h, s, 120.0),
    "LBMJAMES128": lambda w, h, s: lbm_james(w, h, s, 128.0),
    "LBMJANMA": lbm_janmahasatian,
    "IBW": ideal_weight,
}
SUV_TYPES = ("BW", "BSA", *_MASSES)
"""Values of SUVType (0054,1006) that can be turned into SUVbw."""


def normaliser(suv_type: str, weight: float, height: float | None, sex: str) -> float:
    """Give what stands where the body weight in grams stands in SUVbw.

    Parameters
    ----------
    suv_type
        One of ``SUV_TYPES``.
    weight, height
        kg and m; the height may be None for type BW.
    sex
        M or F; anything else: the mean of both.

    Returns
    -------
    float
        Grams; for BSA cm2.

    Raises
    ------
    Refusal
        ``body_size``, if the height is missing or the formula gives no positive mass.
    """
    if suv_type == "BW":
        return 1000 * weight
    if height is None:
        raise Refusal(
            "body_size", f"{TAGS['size']} is missing and SUVType {suv_type} needs it; give height_m in scans.tsv."
        )
    if suv_type == "BSA":
        return 10000 * body_surface(weight, height)
    sexes = [sex] if sex in ("M", "F") else ["M", "F"]
    masses = [_MASSES[suv_type](weight, height, one) for one in sexes]
    # James' parabola turns down, and below 0, for the very obese.
    if min(masses) <= 0:
        raise Refusal(
            "body_size",
            f"the {suv_type} formula gives no positive mass for the weight and height in {TAGS['weight']} and "
            f"{TAGS['size']}; correct them in scans.tsv or export the series in Bq/ml.",
        )
    return 1000 * sum(masses) / len(masses)
