"""Quality control of one scan: a page for the physician who must trust, or reject, what was measured.

Everything that was decided on the way is shown where it can be seen to be right or wrong: which series, which SUV
rule, whether PET and CT lie on each other, which tissue was called what, and every lesion in its slice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from calciflow.files import read_json, whole_file, write_text
from calciflow.images import read_volume
from calciflow.labels import COMPARTMENTS, CONCORDANCES, REGIONS
from calciflow.mapping import load_mapping
from calciflow.pages.drawing import View
from calciflow.pages.mip_png import draw_mip
from calciflow.pages.palette import BONE_LINE, DROPPED_WORDS, REGION_COLOURS, SKIN_LINE, TISSUE_COLOURS, words
from calciflow.pages.place_views import place_views
from calciflow.pages.planes import body_box, coarse_pet
from calciflow.pages.rendering import render
from calciflow.pages.review_views import EDIT_TEXTS, review_table, reviewed
from calciflow.pages.scan_views import (
    BONE_SUV,
    MIP_HU,
    MIP_PIXEL_MM,
    MIP_SUV,
    PET_STEP_MM,
    SLICE_HU,
    TURN_STEP_MM,
    Lesion,
    Scan,
    detail_views,
    find_lesions,
    label_views,
    mip_pictures,
    mip_views,
    projected_rings,
    registration_views,
    slice_scale,
    turntable_frames,
)
from calciflow.pages.scan_words import checks, facts, imaged_regions, score_table, warnings_of
from calciflow.pages.tables import LESION_VIEW, Table, lesion_numbers, lesion_title, missing, table
from calciflow.tables import read_table

DATA_FILES: tuple[str, ...] = ("scripts/calciflow/templates/qc.html",)

MARGIN_MM = 12.0
"""Air around the body that pictures keep: what lies further out only makes them smaller."""

MAX_DRAWN = 60
"""Lesions that get a picture, the largest first: 60 pictures are what an eye can go through, and about 3 MB."""


@dataclass(frozen=True)
class Card:
    """A lesion's pictures and numbers."""

    number: int
    title: str
    colour: str
    numbers: list[tuple[str, str]]
    flags: str
    reason: str
    ct: View
    fused: View
    place: tuple[float, float]


def lesion_cards(scan: Scan, lesions: list[Lesion], pixel_mm: float) -> list[Card]:
    """Draw the largest lesions, in falling order of size."""
    by_number = {lesion.number: lesion for lesion in lesions}
    high = slice_scale(lesions)
    cards = []
    for lesion in sorted(lesions, key=lambda item: (-item.size, item.number))[:MAX_DRAWN]:
        plain, fused = detail_views(scan, lesion, by_number, high)
        _, place, _ = projected_rings(scan, lesion, "coronal", pixel_mm)
        flags = "" if missing(lesion.row.get("flags")) else words(str(lesion.row["flags"]).replace(";", ", "))
        reason = "" if missing(lesion.row.get("reason")) else str(lesion.row["reason"])
        title, numbers = lesion_title(lesion.row), lesion_numbers(lesion.row)
        cards.append(Card(lesion.number, title, lesion.colour, numbers, flags, reason, plain, fused, place))
    return cards


def class_counts(lesions: pd.DataFrame) -> list[tuple[str, list[int]]]:
    """Number of lesions by class (rows) and compartment (columns, in the fixed order)."""
    return [
        (kind, [int(((lesions["concordance"] == kind) & (lesions["compartment"] == c)).sum()) for c in COMPARTMENTS])
        for kind in CONCORDANCES
    ]


def lesion_table(lesions: pd.DataFrame, drawn: set[int]) -> Table:
    """Make the page's lesion table; numbers of lesions that are drawn lead to their pictures."""
    bare = ("flags", "morphology", "hydroxyapatite_mg", "tlf", "suv_peak", "review", "reader", "edit")
    found = table(reviewed(lesions), LESION_VIEW, drop_empty=bare)
    for row in found.rows:
        if row[0].text.isdigit() and int(row[0].text) in drawn:
            row[0] = type(row[0])(row[0].text, row[0].order, f"#lesion-{row[0].text}")
    return found


def draw_scan(
    *,
    ct: str,
    suv: str,
    tissues: str,
    regions: str,
    lesions: str,
    table: str,
    scores: str,
    xfm: str,
    xfm_json: str,
    findings: str,
    screening: str,
    suv_json: str,
    page: str,
    mip: str,
    scan: Mapping[str, Any],
    field: str | None = None,
    anatomy: str | None = None,
    record: str | None = None,
    review: str | None = None,
) -> None:
    """Write a scan's page of quality control and its projections.

    Parameters
    ----------
    ct, suv, tissues, regions, lesions
        Volumes; all but ``suv`` on the grid of the CT.
    table, scores
        ``P_lesions.tsv`` and ``P_scores.tsv``.
    xfm, xfm_json, field
        Transform, what ``register`` says about it, and its displacement field if there is one.
    findings, screening, suv_json, anatomy
        What the stages say about themselves; ``anatomy`` may be left out.
    record, review
        A reader's edits, and what the stage ``review`` says about itself; may be left out.
    page, mip
        Outputs: the page and the PNG.
    scan
        ``participant_id``, ``session_id``, ``acquisition``.
    """
    maps = {"tissues": tissues, "regions": regions, "lesions": lesions}
    rows = read_table(table, text_columns=("flags", "reason", "morphology", "structure"))
    ct_volume, map_of = read_volume(ct), {name: read_volume(path).array for name, path in maps.items()}
    margin = [round(MARGIN_MM / step) for step in ct_volume.spacing]
    box = body_box(map_of["tissues"], map_of["lesions"], (margin[0], margin[1], margin[2]))
    volumes = Scan(
        ct_volume.crop(box),
        read_volume(suv),
        map_of["tissues"][box],
        map_of["regions"][box],
        map_of["lesions"][box],
        load_mapping(xfm, field).ct_to_pet,
    )
    found = find_lesions(rows, volumes.lesions)
    coarse = coarse_pet(volumes.ct, volumes.suv, volumes.to_pet, PET_STEP_MM)
    pictures = mip_pictures(volumes, coarse)
    with whole_file(mip) as partial:
        partial.write_bytes(draw_mip(volumes, found, pictures))
    mips = mip_views(volumes, found, pictures)
    cards = lesion_cards(volumes, found, mips["ct_coronal"].pixel_mm)
    frames, frame_width, frame_height = turntable_frames(coarse)
    told = {
        "screening": read_json(screening),
        "suv": read_json(suv_json),
        "registration": read_json(xfm_json),
        "findings": read_json(findings),
        "anatomy": read_json(anatomy) if anatomy else {},
        "review": read_json(review) if review else {},
    }
    imaged, unseen = imaged_regions(told["findings"].get("imaged_fraction") or {})
    dropped = told["findings"].get("dropped") or {}
    content = render(
        "qc.html",
        name=" ".join(str(scan[key]) for key in ("participant_id", "session_id", "acquisition") if scan.get(key)),
        count=len(rows),
        counts=class_counts(rows),
        compartments=COMPARTMENTS,
        checks=checks(told, rows),
        warnings=warnings_of(told),
        mips=mips,
        frames=frames,
        frame_size=(frame_width, frame_height),
        turn_zoom=TURN_STEP_MM / MIP_PIXEL_MM,
        mip_suv=MIP_SUV,
        mip_hu=MIP_HU,
        slice_suv=slice_scale(found),
        bone_suv=BONE_SUV,
        slice_hu=SLICE_HU,
        cards=cards,
        lesions=lesion_table(rows, {card.number for card in cards}),
        edits=review_table(read_table(record, text_columns=EDIT_TEXTS) if record else pd.DataFrame(), one_scan=True),
        dropped=[(DROPPED_WORDS.get(str(cause), words(str(cause))), int(n)) for cause, n in sorted(dropped.items())],
        registration=registration_views(volumes),
        places=place_views(volumes, lambda points: points, told["registration"]),
        skin_line=SKIN_LINE,
        bone_line=BONE_LINE,
        tissue_views=label_views(volumes, "tissues"),
        region_views=label_views(volumes, "regions"),
        tissue_colours=[(words(name), colour) for name, colour in TISSUE_COLOURS.items()],
        region_colours=[(words(name), REGION_COLOURS[name]) for name in REGIONS],
        facts=facts(told),
        imaged=imaged,
        unseen=unseen,
        scores=score_table(read_table(scores)),
    )
    write_text(page, content)
    print(f"{len(rows)} lesions, {len(cards)} of them drawn; page {len(content.encode()) / 1e6:.1f} MB")
