"""The benchmark's table: estimates with intervals that take a person's deposits together."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from calciflow.benchmark.compare import SMALL_PARTS
from calciflow.benchmark.reading import LIMB_LABELS
from calciflow.labels import AXIAL_REGIONS, COMPARTMENTS, CONCORDANCES
from calciflow.phantom.trap_list import SHAPES, TRAPS
from calciflow.stats.clustered import cluster_bootstrap

COLUMNS = ("quantity", "subset", "n", "people", "estimate", "ci_low", "ci_high")
_BANDS = ("under 0.1 ml", "0.1 to 0.3 ml", "0.3 to 1 ml", "1 ml and more")
_NEAR_BONE_MM = 5.0
_SWALLOWED_ML = 0.1
_LABELS = {"concordance": "visible_class", "compartment": "compartment", "region": "region"}
_WORDS = {
    "residual_p95": "residual, 95th percentile", "moved_motion": "limb that moved alone: motion",
    "moved_residual": "limb that moved alone: residual",
} | {f"residual_{name.replace(' ', '_')}": f"residual, {name}" for name in LIMB_LABELS}  # fmt: skip
_ERRORS = (
    ("volume error", "%", "found_ct_volume_ml", "volume_ml", "CT+"),
    ("mass error", "%", "found_hydroxyapatite_mg", "mass_mg", "CT+"),
    ("HU max error", "HU", "found_hu_max", "hu_visible", "CT+"),
    ("SUVmax error", "%", "found_suv_max", "suv_visible", "PET+"),
    ("SUVpeak error", "%", "found_suv_peak", "suv_peak_visible", "PET+"),
)


def summary_row(
    quantity: str,
    subset: str,
    values: "pd.Series[Any]",
    people: "pd.Series[Any]",
    statistic: Callable[[Any], Any] = np.mean,
) -> dict[str, Any]:
    """One row: the statistic of the known values and its 95 % interval, people drawn with replacement."""
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(float)
    keep = np.isfinite(numbers)
    numbers, who = numbers[keep], people.astype(str).to_numpy()[keep]
    if not len(numbers):
        return {"quantity": quantity, "subset": subset, "n": 0, "people": 0}
    low, high = cluster_bootstrap(list(who), lambda rows: float(statistic(numbers[rows])))
    return {
        "quantity": quantity,
        "subset": subset,
        "n": len(numbers),
        "people": len(set(who)),
        "estimate": float(statistic(numbers)),
        "ci_low": low,
        "ci_high": high,
    }


def _sensitivity(deposits: pd.DataFrame) -> list[dict[str, Any]]:
    visible = deposits[deposits["visible_class"].notna()]
    small = visible["region"].isin(SMALL_PARTS)
    subsets = [("all visible", visible), ("hands and feet", visible[small]), ("elsewhere", visible[~small])]
    subsets += [(f"class {word}", visible[visible["visible_class"] == word]) for word in CONCORDANCES]
    for part, rows in (("hands and feet", visible[small]), ("elsewhere", visible[~small])):
        subsets += [(f"{part}, {band}", rows[rows["size_band"] == band]) for band in _BANDS]
    subsets += [(word, visible[visible["compartment"] == word]) for word in COMPARTMENTS]
    near = visible["distance_to_bone_mm"].astype(float) < _NEAR_BONE_MM
    subsets += [("within 5 mm of bone", visible[near]), ("5 mm from bone and more", visible[~near])]
    subsets.append(("hidden by physics (not counted above)", deposits[deposits["visible_class"].isna()]))
    out = [summary_row("sensitivity", name, rows["detected"], rows["participant_id"]) for name, rows in subsets]
    missed = visible[~visible["detected"].astype(bool)]
    for word in sorted({"bone", *missed["taken_for"].astype(str)}):
        taken = missed["taken_for"] == word
        out.append(summary_row("missed: its place was taken for", word, taken, missed["participant_id"]))
    return out


def _errors(deposits: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for name, unit, found, true, needs in _ERRORS:
        if found not in deposits:
            continue
        part = deposits[deposits["visible_class"].astype(str).str.contains(needs, regex=False)]
        part = part[part["found_concordance"].astype(str).str.contains(needs, regex=False)]
        away = pd.to_numeric(part[found]) - pd.to_numeric(part[true])
        if unit == "%":
            away = 100 * away / pd.to_numeric(part[true])
        if name == "volume error":
            ml, thick = part["volume_ml"].astype(float), _column(part, "slice_mm").astype(float)
            for subset, keep in (
                ("0.1 ml and more, slices up to 3.3 mm", (ml >= 0.1) & (thick <= 3.3)),
                ("0.5 ml and more, slices over 3.3 mm", (ml >= 0.5) & (thick > 3.3)),
            ):
                rows.append(
                    summary_row(
                        name, f"median size, %, {subset}", away[keep].abs(), part["participant_id"][keep], np.median
                    )
                )
        rows.append(summary_row(name, f"median, {unit}", away, part["participant_id"], np.median))
        rows.append(summary_row(name, f"median size, {unit}", away.abs(), part["participant_id"], np.median))
    return rows


def _column(table: pd.DataFrame, name: str) -> "pd.Series[Any]":
    """A column, or missing values where an older truth has none."""
    return table[name] if name in table else pd.Series(np.nan, index=table.index)


def _by_trap(false: pd.DataFrame, scans: pd.DataFrame) -> list[dict[str, Any]]:
    """False positives of each trap, in the scans that hold it; of traps without voxels: all of the scan's."""
    if "traps" not in scans:
        return []
    rows = []
    held = scans["traps"].fillna("").astype(str).str.split(",")
    for name in TRAPS:
        here = scans[[name in words for words in held]]
        people = here["participant_id"]
        if name in (*SHAPES, "attenuation_mismatch"):
            subset = f"{name}, all of the scan"
            rows.append(summary_row("false positives of a trap", subset, here["false_positives"], people))
            continue
        of_it = false[false["cause"].astype(str) == f"trap: {name}"].groupby("participant_id").size()
        rows.append(summary_row("false positives of a trap", name, people.map(of_it).fillna(0), people))
    return rows


def _pairing(deposits: pd.DataFrame) -> list[dict[str, Any]]:
    """Of the deposits that were found: how many as one lesion of their own, merged with another, or in pieces."""
    found = deposits[deposits["visible_class"].notna() & deposits["detected"].astype(bool)]
    return [
        summary_row("found as", word, found["pairing"] == kind, found["participant_id"])
        for word, kind in (("one lesion of its own", "single"), ("merged with another", "merged"), ("split", "split"))
    ]


def _bone_rows(deposits: pd.DataFrame, scans: pd.DataFrame) -> list[dict[str, Any]]:
    """Deposits taken for bone, and bone that looks like a deposit."""
    shown = deposits[deposits["visible_class"].astype(str).str.startswith("CT+")]
    large = shown[shown["volume_ml"].astype(float) >= _SWALLOWED_ML]
    swallowed = large["taken_for"] == "bone"
    per_scan = scans["participant_id"].map(swallowed.groupby(large["participant_id"]).sum()).fillna(0)
    return [
        summary_row("taken for bone", "CT deposits of 0.1 ml and more, share", swallowed, large["participant_id"]),
        summary_row("taken for bone", "CT deposits of 0.1 ml and more, a scan", per_scan, scans["participant_id"]),
        summary_row(
            "bone fragments like a deposit", "a scan", _column(scans, "bone_fragments"), scans["participant_id"]
        ),
    ]


def _labels(single: pd.DataFrame) -> list[dict[str, Any]]:
    """Class, compartment, region and side of deposits that were found as one lesion of their own."""
    people = single["participant_id"]

    def row(
        quantity: str, subset: str, right: "pd.Series[Any]", keep: "pd.Series[bool] | None" = None
    ) -> dict[str, Any]:
        mask = pd.Series(True, index=single.index) if keep is None else keep
        return summary_row(quantity, subset, right[mask], people[mask])

    same = {name: single[f"found_{name}"] == single[true] for name, true in _LABELS.items()}
    small = single["region"].isin(SMALL_PARTS)
    told = _column(single, "found_pet_status") != "indeterminate"
    found_class, true_class = single["found_concordance"], _column(single, "concordance")
    midline = single["region"].isin(AXIAL_REGIONS) & (single["found_side"] == "midline")
    placed = same["region"] & ((single["found_side"] == single["side"]) | midline)
    rows = [
        row("with a flag of doubt", "deposits found alone", single["found_doubted"].astype(float)),
        row("right class", "found alone", same["concordance"]),
        row("right class", "uptake determinate", same["concordance"], told),
        # Uptake that physics should hide, and that was found all the same, is no error.
        row("right class", "the same, or as it truly is", same["concordance"] | (true_class == found_class), told),
        row("right compartment", "found alone", same["compartment"]),
    ]
    if "neighbours" in single:
        beside = single["neighbours"].fillna("").astype(str)
        clear = beside.isin(("", "n/a"))
        either = same["compartment"] | pd.Series(
            [str(one) in text.split(",") for one, text in zip(single["found_compartment"], beside, strict=True)],
            index=single.index,
        )
        rows += [
            row("right compartment", "2 mm and more from another", same["compartment"], clear),
            row("right compartment", "the same, hands and feet", same["compartment"], clear & small),
            row("right compartment", "own, or a neighbour within 2 mm", either),
        ]
    rows += [
        row("compartment Brier score", "0 best, 2 worst", _column(single, "brier")),
        row("right region", "found alone", same["region"]),
        row("right region and side", "found alone", placed),
        row("right region and side", "hands and feet", placed, small),
    ]
    return rows


def summary(deposits: pd.DataFrame, false: pd.DataFrame, scans: pd.DataFrame) -> list[dict[str, Any]]:
    """All rows of the benchmark's table.

    Parameters
    ----------
    deposits, false
        ``compare_deposits`` and ``false_positives`` of all scans, with ``participant_id``.
    scans
        One row a scan.
    """
    people = scans["participant_id"]
    rows = _sensitivity(deposits)
    rows.append(summary_row("false positives a scan", "all", scans["false_positives"], people))
    sure = false[~false["doubted"].astype(bool)].groupby("participant_id").size()
    rows.append(summary_row("false positives a scan", "without a flag of doubt", people.map(sure).fillna(0), people))
    rows.append(summary_row("set aside a scan", "possible myositis", scans["set_aside"], people))
    for column, title in (
        ("cause", "cause"),
        ("concordance", "class"),
        ("true_tissue", "really in"),
        ("region", "region"),
    ):
        for word in sorted(false[column].astype(str).unique()):
            here = false[false[column].astype(str) == word].groupby("participant_id").size()
            counts = people.map(here).fillna(0)
            rows.append(summary_row("false positives a scan", f"{title} {word}", counts, people))
    rows += _by_trap(false, scans) + _errors(deposits)
    rows += _bone_rows(deposits, scans) + _pairing(deposits)
    if "found_concordance" in deposits:
        rows += _labels(deposits[(deposits["pairing"] == "single") & deposits["visible_class"].notna()])
    for word in ("body", "bone", "bone_hands_feet", "bone_elsewhere", "muscle", "subcutaneous_fat"):
        rows.append(summary_row("Dice", word.replace("_", " "), _column(scans, f"dice_{word}"), people))
    parts = ["motion", "residual", "residual_p95", "moved_motion", "moved_residual"]
    parts += [f"residual_{name.replace(' ', '_')}" for name in LIMB_LABELS]
    for name in parts:
        rows.append(summary_row("PET to CT, mm", _WORDS.get(name, name), _column(scans, f"{name}_mm"), people))
    for name in ("ct", "pet", "petct"):
        away = scans[f"score_{name}"].astype(float) - scans[f"score_true_{name}"].astype(float)
        rows.append(summary_row("total score error", f"{name}, mean", away, people))
        rows.append(summary_row("total score error", f"{name}, mean size", away.abs(), people))
    return rows


def confusion(deposits: pd.DataFrame, true: str, found: str) -> pd.DataFrame:
    """Counts of deposits by truth (rows) and result (columns), of those found as one lesion of their own."""
    part = deposits[(deposits["pairing"] == "single") & deposits["visible_class"].notna()]
    table = pd.crosstab(part[true].astype(str), part[found].astype(str))
    table.index.name = f"true_{true.removeprefix('visible_')}"
    return table.reset_index()


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table in markdown."""

    def text(value: Any) -> str:
        return "n/a" if value is None or not np.isfinite(value) else f"{value:.3g}"

    lines = [
        "| quantity | subset | n | people | estimate | 95 % interval |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        span = f"{text(row.get('ci_low'))} to {text(row.get('ci_high'))}"
        cells = (row["quantity"], row["subset"], row["n"], row["people"], text(row.get("estimate")), span)
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"
