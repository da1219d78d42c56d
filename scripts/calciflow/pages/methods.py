"""The methods paragraph of the report, written from the parameters and versions of this very run."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import calciflow
from calciflow.pages.palette import words
from calciflow.pages.tables import number

PACKAGES = (
    "snakemake",
    "numpy",
    "scipy",
    "pandas",
    "statsmodels",
    "SimpleITK",
    "pydicom",
    "python-gdcm",
    "nibabel",
    "connected-components-3d",
    "edt",
    "isal",
    "pydantic",
    "jinja2",
    "matplotlib",
    "pillow",
)
"""Distributions that the stages rest on."""

REFERENCES = {
    "richardson": "Richardson et al. Frontiers in Nuclear Medicine. 2025. doi:10.3389/fnume.2025.1593825",
    "snakemake": (
        "Mölder F, et al. Sustainable data analysis with Snakemake. F1000Research. 2021;10:33. "
        "doi:10.12688/f1000research.29032.2"
    ),
    "suv": (
        "Vacha et al. Comprehensive manual for SUV computation and digital reference objects. 2026. "
        "github.com/oncoray/suv_computation"
    ),
    "simpleitk": (
        "Lowekamp BC, et al. The design of SimpleITK. Front Neuroinform. 2013;7:45. doi:10.3389/fninf.2013.00045"
    ),
    "agatston": (
        "Agatston AS, et al. Quantification of coronary artery calcium using ultrafast computed tomography. "
        "J Am Coll Cardiol. 1990;15:827-832. doi:10.1016/0735-1097(90)90282-T"
    ),
    "wilcoxon": (
        "Wilcoxon F. Individual comparisons by ranking methods. Biometrics Bulletin. 1945;1:80-83. doi:10.2307/3001968"
    ),
    "hodges": (
        "Hodges JL, Lehmann EL. Estimates of location based on rank tests. Ann Math Stat. 1963;34:598-611. "
        "doi:10.1214/aoms/1177704172"
    ),
    "mann": (
        "Mann HB, Whitney DR. On a test of whether one of two random variables is stochastically larger than the "
        "other. Ann Math Stat. 1947;18:50-60. doi:10.1214/aoms/1177730491"
    ),
    "holm": "Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat. 1979;6:65-70.",
    "bids": (
        "Gorgolewski KJ, et al. The brain imaging data structure, a format for organizing and describing outputs of "
        "neuroimaging experiments. Sci Data. 2016;3:160044. doi:10.1038/sdata.2016.44"
    ),
}


@dataclass(frozen=True)
class Methods:
    """Paragraphs with reference numbers in brackets, and the references they number."""

    paragraphs: list[str]
    references: list[str]


class _Writer:
    """Numbers references in the order of their first use."""

    def __init__(self) -> None:
        self.cited: list[str] = []

    def cite(self, *keys: str) -> str:
        for key in keys:
            if key not in self.cited:
                self.cited.append(key)
        return "[" + ", ".join(str(self.cited.index(key) + 1) for key in keys) + "]"


def versions() -> list[tuple[str, str]]:
    """Name and version of what this run rests on; packages that are not installed are left out."""
    found = [("calciflow", calciflow.__version__), ("Python", platform.python_version())]
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return found


PHRASES: dict[str, dict[str, str]] = {
    "tissues": {"engine": "engine “{}”", "grid_mm": "outline and soft tissue on a grid of {} mm"},
    "register": {
        "mode": "mode “{}”",
        "block_mm": "CT averaged over {} mm",
        "max_shift_mm": "shifts above {} mm rejected",
        "max_rotation_deg": "rotations above {} degrees rejected",
        "min_shift_mm": "no correction below {} mm",
        "min_limb_shift_mm": "no limb corrected below {} mm",
        "max_limb_shift_mm": "a limb's shift above {} mm rejected",
        "tolerance_mm": "misregistration reported from {} mm on",
    },
    "lesions": {
        "hu_floor": "calcium from {} HU on at 120 kVp, higher in noise",
        "noise_factor": "at least {} SD of the noise above muscle",
        "min_volume_ml": "deposits from {} ml on",
        "merge_mm": "pieces up to {} mm apart joined",
        "pet_threshold": "PET threshold “{}”",
        "suv_absolute": "SUV {} if absolute",
        "pet_rise": "uptake at least {} of the blood pool above its background",
        "pet_z": "and at least {} SD of the noise above it",
        "pet_min_volume_ml": "foci from {} ml on",
        "bone_spill_max": "uptake indeterminate where more than {} of it is bone's blur",
        "suv_peak": "SUVpeak after {}",
        "positive_z": "positive from {} standard errors on",
        "negative_ratio": "negative only if surely below {} times the blood pool",
        "hydroxyapatite_mg_per_hu_ml": "{} mg hydroxyapatite per HU and ml",
        "pet_fwhm_mm": "PET resolution {} mm",
        "tolerance_mm": "CT and PET matched within {} mm",
    },
    "compartments": {
        "shell_mm": "tissues within {} mm decide",
        "capsule_mm": "periarticular within {} mm of a joint capsule",
        "midline_mm": "midline within {} mm of the middle plane",
    },
}
"""How the methods say a setting; one that is not here is said by its name and unit."""

_UNITS = ("mm", "ml", "mg", "hu", "deg", "minutes", "hours", "mbq", "kg", "m")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return number(value, 4)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_value(item) for item in value)
    return str(value)


def _phrase(section: str, key: str, value: Any) -> str:
    known = PHRASES.get(section, {}).get(key)
    if known:
        return known.format(_value(value))
    name, _, unit = key.rpartition("_")
    if name and unit in _UNITS:
        return f"{words(name)} {_value(value)} {unit}"
    return f"{words(key)} {_value(value)}"


def settings_text(section: str, settings: Mapping[str, Any]) -> str:
    """Say all settings of a section, in their order; those that are not set (none, or an empty list) are left out."""
    said = []
    for key, value in settings.items():
        if value is None or (isinstance(value, Sequence) and not value):
            continue
        if key == "suv_absolute" and settings.get("pet_threshold") != "absolute":
            continue
        if "limb" in key and settings.get("mode") != "limbs":
            continue
        said.append(_phrase(section, key, value))
    return "; ".join(said)


def _with_settings(sentence: str, section: str, parameters: Mapping[str, Any]) -> str:
    found = parameters.get(section)
    text = settings_text(section, found) if isinstance(found, Mapping) else ""
    return f"{sentence} ({text})." if text else f"{sentence}."


def write_methods(parameters: Mapping[str, Any], analysed: int, people: int) -> Methods:
    """Write the methods of this run.

    Parameters
    ----------
    parameters
        The effective config: one mapping a section.
    analysed, people
        Scans that were analysed, and of how many people.
    """
    writer = _Writer()
    cite = writer.cite
    have = dict(versions())

    def section(name: str) -> Mapping[str, Any]:
        found = parameters.get(name)
        return found if isinstance(found, Mapping) else {}

    suv, cohort = section("suv"), section("cohort")
    hours = suv.get("max_uptake_hours")
    dose = suv.get("dose_range_mbq")
    limits = []
    if isinstance(dose, Sequence) and len(dose) == 2:
        limits.append(f"injected activity {number(dose[0])} to {number(dose[1])} MBq")
    if hours is not None:
        limits.append(f"at most {number(hours)} h from injection to scan")
    bounds = f" Scans outside the plausible range ({', '.join(limits)}) were refused." if limits else ""
    was, scans = ("was", "scan") if analysed == 1 else ("were", "scans")
    persons = "person" if people == 1 else "people"
    images = " ".join(
        [
            f"{analysed} PET/CT {scans} of {people} {persons} {was} analysed with calciflow {have['calciflow']}, a "
            f"workflow for 18F-NaF PET/CT in Snakemake {have.get('snakemake', '')} {cite('snakemake')}.",
            "DICOM headers were checked before any measurement, and scans that could not be measured were refused with "
            "a stated reason.",
            "PET was converted to body-weight standardised uptake values (SUV) by the rules of the SUV manual "
            f"{cite('suv')}.{bounds}",
        ]
    )
    anatomy = " ".join(
        [
            _with_settings(
                "Skin, subcutaneous fat, muscle, bone, lung, viscera, and body regions with sides were segmented on CT",
                "tissues",
                parameters,
            ),
            "PET was laid on CT by the scanner's own alignment."
            if section("register").get("mode") == "header"
            else _with_settings(
                f"PET was aligned to CT with SimpleITK {have.get('SimpleITK', '')} {cite('simpleitk')}"
                f"{', then limb by limb' if section('register').get('mode') == 'limbs' else ''}; a correction was kept "
                "only if the skeleton then lay on its uptake better, by more than chance",
                "register",
                parameters,
            ),
        ]
    )
    deposits = " ".join(
        [
            _with_settings(
                "Calcifications were sought on CT at its own resolution, foci of uptake on PET at its own, and the two "
                "were matched in millimetres. Candidates in bone, vessels, viscera or teeth were dropped and counted. "
                f"Agatston scores follow the original weights {cite('agatston')}. A deposit without measurable uptake "
                "was called negative only if uptake could have been detected at its size and place, else indeterminate",
                "lesions",
                parameters,
            ),
            _with_settings(
                "Each deposit was given a compartment with a probability, from the tissue around it",
                "compartments",
                parameters,
            ),
        ]
    )
    form = section("scores").get("form", "not stated")
    level = cohort.get("ci_level")
    intervals = f" (nominal level {number(100 * float(level))} %, the attained level is given)" if level else ""
    primary = cohort.get("primary")
    named = ""
    if isinstance(primary, Sequence) and len(primary) == 3:
        parts = ", ".join(words(str(part)) for part in primary)
        named = f" One comparison was named beforehand ({parts}); all others are exploratory."
    excluded = cohort.get("exclude_flags") or []
    flags = f" Deposits flagged {', '.join(str(flag) for flag in excluded)} were set aside." if excluded else ""
    statistics = (
        f"Scores per body region follow the scoring form “{form}”, applied alike to CT, PET and PET/CT; regions that "
        f"were not imaged have no score.{flags} Paired scores were compared by the Wilcoxon signed-rank test "
        f"{cite('wilcoxon')}, exact (all sign flips of midranks) and asymptotic (tie-corrected normal, no continuity "
        f"correction), with the Hodges-Lehmann shift {cite('hodges')} and its exact interval{intervals}; groups by the "
        f"exact Mann-Whitney test {cite('mann')}. Values were summarised per person before any test, since deposits of "
        "one person are not independent. Beside each p stands the smallest that the number of people allows. "
        f"Exploratory p values were adjusted by Holm's method {cite('holm')} within each analysis.{named} The study "
        f"design follows {cite('richardson')}; results are laid out after BIDS {cite('bids')}."
    )
    return Methods([images, anatomy, deposits, statistics], [REFERENCES[key] for key in writer.cited])


def shown_parameters(parameters: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Give the effective config as (section, [(key, value)]); of a sheet's path only whether it was given."""
    general: list[tuple[str, str]] = []
    sections: list[tuple[str, list[tuple[str, str]]]] = []
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            if value:
                sections.append((str(key), [(str(k), _plain(v)) for k, v in value.items()]))
        elif key in ("participants", "scans", "clinical_scores"):
            general.append((str(key), "not given" if value in (None, "") else "given"))
        else:
            general.append((str(key), _plain(value)))
    return [("general", general), *sections] if general else sections


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_plain(item) for item in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
