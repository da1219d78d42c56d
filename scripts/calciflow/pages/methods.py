"""The methods paragraph of the report, written from the parameters and versions of this very run."""

import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import calciflow
from calciflow.forms import Form
from calciflow.pages.methods_statistics import statistics_text
from calciflow.pages.palette import words
from calciflow.pages.references import REFERENCES
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


_NAMES = {"percist": "PERCIST", "ibsi": "IBSI"}


def _value(value: Any) -> str:
    if str(value) in _NAMES:
        return _NAMES[str(value)]
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
        if value is None or (isinstance(value, Sequence | Mapping) and not value):
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


def write_methods(
    parameters: Mapping[str, Any],
    analysed: int,
    people: int,
    analyses: Collection[str] = (),
    form: Form | None = None,
) -> Methods:
    """Write the methods of this run.

    Parameters
    ----------
    parameters
        The effective config: one mapping a section.
    analysed, people
        Scans that were analysed, and of how many people.
    analyses
        Analyses that the statistics hold (`change` for sessions compared): only these are described.
    form
        The scoring form.
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
    scoring = _scoring(str(section("scores").get("form", "not stated")), form)
    statistics = f"{statistics_text(cite, cohort, section('change'), analyses)} "
    statistics += f"The comparisons are those of {cite('richardson')}; results are laid out after BIDS {cite('bids')}."
    return Methods([images, anatomy, deposits, scoring, statistics], [REFERENCES[key] for key in writer.cited])


def _scoring(name: str, form: Form | None) -> str:
    """What was scored, in the form's own words where it is at hand."""
    text = f"Scores per body region follow the scoring form “{name}”"
    if form is not None:
        text += f" ({form.title}; source: {form.source})"
    text += ", applied alike to CT, PET and PET/CT; regions that were not imaged have no score."
    return f"{text} {' '.join(form.description.split())}" if form is not None and form.description else text


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
