"""One PET series under judgement: the sheet's values before the header's, and what was used and doubted on the way."""

from collections.abc import Mapping
from typing import Any

from calciflow.errors import Refusal
from calciflow.suvrules import bodysize
from calciflow.suvrules.times import (
    Administration,
    ScanTimes,
    given_administration,
    header_administration,
    scan_times,
)
from calciflow.suvrules.tracer import HALF_LIVES, agrees, nuclide_candidates, nuclide_of
from calciflow.suvrules.values import TAGS, number, positive

DOSE_IN_BQ_ABOVE = 1e5
"""RadionuclideTotalDose above this is in Bq: as Bq it would be 0.1 MBq, as MBq 100 GBq, neither of which is given."""


class Case:
    """One series under judgement: collects what was used, overridden and doubted on the way."""

    def __init__(
        self, header: Mapping[str, Any], sheet: Mapping[str, Any], dose_range: tuple[float, ...], max_hours: float
    ) -> None:
        self.header = header
        self.sheet = sheet
        self.dose_range = dose_range
        self.max_hours = max_hours
        self.inputs: dict[str, Any] = {}
        self.used: dict[str, Any] = {}
        self.warnings: list[dict[str, str]] = []
        self.uptake_minutes: float | None = None
        self.weight_used: float | None = None
        self.count = int(header.get("number") or 0)
        self.items: list[Mapping[str, Any]] = list(header.get("administrations") or [])
        self.times: ScanTimes = scan_times(header)

    def warn(self, code: str, text: str) -> None:
        """Note a doubt."""
        self.warnings.append({"code": code, "text": text})

    def constant(self, key: str, code: str) -> None:
        """Refuse a series whose slices differ in a tag that belongs to the series."""
        if key in (self.header.get("varying") or []):
            raise Refusal(code, f"{TAGS[key]} differs between slices of the series; send one series at a time.")

    def header_weight(self, missing_ok: bool = False) -> float | None:
        """PatientWeight in kg."""
        self.constant("weight", "weight")
        text = self.header.get("weight")
        remedy = "give weight_kg in scans.tsv"
        if "weight_kg" in self.sheet:
            remedy = "the stored SUV rests on it, so weight_kg in scans.tsv cannot be applied: take it out"
        try:
            if missing_ok and not number(text):
                return None
        except ValueError:
            pass
        kilograms = positive(text, "weight", "no_weight", "weight", remedy)
        if kilograms > bodysize.GRAMS_ABOVE:
            kilograms /= 1000
            self.warn("weight", f"{TAGS['weight']} is above 1000 and was taken as grams.")
        if not bodysize.WEIGHT_KG[0] <= kilograms <= bodysize.WEIGHT_KG[1]:
            raise Refusal("weight", f"{TAGS['weight']} is no body weight in kg; {remedy}.")
        return kilograms

    def quiet_header_weight(self) -> float | None:
        """The header's weight where no rule needs it: for plausibility only."""
        before = list(self.warnings)
        try:
            return self.header_weight(missing_ok=True)
        except Refusal:
            return None
        finally:
            self.warnings = before

    def weight(self) -> float:
        """Body weight in kg."""
        if "weight_kg" not in self.sheet:
            kilograms = self.header_weight()
            if kilograms is None:  # for the type checker: the call above refuses
                raise Refusal("no_weight", f"{TAGS['weight']} is missing.")
            self.inputs[TAGS["weight"]] = kilograms
            return kilograms
        kilograms = self._sheet_number("weight_kg", "weight", bodysize.WEIGHT_KG)
        self.used["weight_kg"] = kilograms
        return kilograms

    def height(self) -> float | None:
        """Body height in m; None if neither header nor sheet tells."""
        try:
            metres = number(self.header.get("size")) or None
        except ValueError:
            metres = -1.0
        if metres is not None and metres > bodysize.CENTIMETRES_ABOVE:
            metres /= 100
            self.warn("height", f"{TAGS['size']} is above 3 and was taken as cm.")
        legal = metres is not None and bodysize.HEIGHT_M[0] <= metres <= bodysize.HEIGHT_M[1]
        if not legal and "height_m" in self.sheet:
            metres = self.used["height_m"] = self._sheet_number("height_m", "body_size", bodysize.HEIGHT_M)
        elif not legal and metres is not None:
            raise Refusal("body_size", f"{TAGS['size']} is no body height in m; give height_m in scans.tsv.")
        elif "height_m" in self.sheet:
            self.warn("override", f"height_m in scans.tsv was not used: the stored SUV rests on {TAGS['size']}.")
        if legal and metres is not None:
            self.inputs[TAGS["size"]] = metres
        return metres

    def _sheet_number(self, key: str, code: str, legal: tuple[float, ...]) -> float:
        try:
            value = number(self.sheet[key])
        except ValueError:
            value = None
        if value is None or not legal[0] <= value <= legal[1]:
            raise Refusal(code, f"{key} in scans.tsv must be a number from {legal[0]:g} to {legal[1]:g}; correct it.")
        return value

    def header_dose(self) -> float:
        """RadionuclideTotalDose in MBq."""
        remedy = "give injected_dose_mbq in scans.tsv"
        if len({str(item.get("dose")) for item in self.items}) > 1:
            raise Refusal("dose", f"the header lists several administrations with their own {TAGS['dose']}; {remedy}.")
        dose = positive(self.items[0].get("dose") if self.items else None, "dose", "no_dose", "dose", remedy)
        if dose > DOSE_IN_BQ_ABOVE:
            dose /= 1e6
        elif not self.header.get("enhanced"):  # there the standard itself says MBq (Enhanced PET Isotope)
            self.warn("dose_unit", f"{TAGS['dose']} is in MBq, not in Bq.")
        low, high = self.dose_range
        if not low <= dose <= high:
            raise Refusal(
                "dose",
                f"{TAGS['dose']} is {dose:.4g} MBq, outside {low:g} to {high:g} MBq (mCi typed as MBq?); {remedy}.",
            )
        return dose

    def dose(self) -> float:
        """Injected activity in MBq."""
        if "injected_dose_mbq" not in self.sheet:
            dose = self.header_dose()
            self.inputs[f"{TAGS['dose']}, MBq"] = dose
            return dose
        dose = self._sheet_number("injected_dose_mbq", "dose", self.dose_range)
        self.used["injected_dose_mbq"] = dose
        return dose

    def half_life(self) -> float:
        """Half-life in s; it must be that of the nuclide."""
        remedy = "have the header corrected and sent again"
        if len({str(item.get("half_life")) for item in self.items}) > 1:
            raise Refusal("half_life", f"the header lists several {TAGS['half_life']}; {remedy}.")
        item = self.items[0] if self.items else {}
        names = nuclide_candidates(item.get("nuclide"))
        text = item.get("half_life")
        try:
            missing = number(text) is None
        except ValueError:
            missing = False
        if missing and len(names) == 1:
            self.warn("half_life", f"{TAGS['half_life']} is missing: that of {names[0]} was used.")
            seconds = HALF_LIVES[names[0]]
        else:
            seconds = positive(text, "half_life", "half_life", "half_life", remedy)
            if not names and nuclide_of(seconds) is None:
                raise Refusal("half_life", f"{TAGS['half_life']} is that of no PET nuclide known here; {remedy}.")
            if names and not any(agrees(seconds, name) for name in names):
                raise Refusal(
                    "half_life",
                    f"{TAGS['half_life']} is {seconds:.6g} s, which is not {' or '.join(names)} as the nuclide's code "
                    f"says; {remedy}.",
                )
        self.inputs[TAGS["half_life"]] = seconds
        return seconds

    def administration(self) -> Administration:
        """Time of injection."""
        if "injection_datetime" in self.sheet:
            given = given_administration(self.sheet["injection_datetime"], self.times)
            self.used["injection_datetime"] = "given"
            return given
        found = self.header_injection()
        if found is None:
            raise Refusal(
                "time",
                f"{TAGS['start_datetime']} and {TAGS['start_time']} do not tell when the tracer was injected; give "
                "injection_datetime in scans.tsv.",
            )
        self.warnings += [warning for warning in found.warnings if warning not in self.warnings]
        self.inputs["injection"] = found.source
        return found

    def header_injection(self) -> Administration | None:
        """Time of injection by the header; None if it does not tell, or tells several."""
        starts = {(str(item.get("start_datetime")), str(item.get("start_time"))) for item in self.items}
        if len(starts) != 1:
            return None
        return header_administration(self.items[0], self.times, self.header.get("timezone"))
