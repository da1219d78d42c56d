"""Borders of body regions."""

import numpy as np

from calciflow.anatomy.arm_parts import ELBOW_MM, WRIST_MM
from calciflow.anatomy.grid import blocks
from calciflow.anatomy.levels import ANKLE_MM, APEX_MM, LEVELS
from calciflow.anatomy.regions import NECK_MM, TOES_SHARE, slope_inlet
from calciflow.columns import REGION_EXTENTS
from calciflow.labels import REGIONS, region_label

SHAPE, STEP = (60, 50, 60), 4.0
FIRST, SPINE = 30, 15
"""First slice of the neck by its level, and the row of the spine."""


def _inlet(spine_from: int = 0, lungs_to: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Regions before and after; the spine is seen from ``spine_from`` up, and lungs up to ``lungs_to``."""
    grid = blocks(SHAPE, (STEP,) * 3, STEP)
    z, y, x = np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")
    aside = (np.abs(x - 29.5) * STEP).astype(np.float32)
    level = np.where(np.arange(SHAPE[0]) < FIRST, LEVELS.index("chest"), LEVELS.index("neck"))
    regions = np.zeros(SHAPE, np.uint8)
    for side, half in (("left", x < 30), ("right", x >= 30)):
        for name in ("chest", "neck"):
            regions[half & (level == LEVELS.index(name))[:, None, None]] = region_label(name, side)
    bone = (np.abs(y - SPINE) < 4) & (aside < 16) & (z >= spine_from)
    lungs = (z < lungs_to) & (np.abs(y - SPINE) < 4) & (np.abs(aside - 40) < 10)
    return regions, slope_inlet(regions, bone, lungs, {"left": level, "right": level}, aside, grid)


def _first(regions: np.ndarray, row: int, column: int = 40) -> float:
    """Height in mm of the neck's first block in a row."""
    return float(np.flatnonzero(regions[:, row, column] == region_label("neck", "right"))[0] * STEP)


def test_the_neck_begins_at_c7_behind_and_at_the_jugular_notch_in_front():
    """Of a neck 115 mm deep, whose spine's middle lies 40 mm before the tip of C7's spinous process."""
    _, sloped = _inlet()
    notch, tip = _first(sloped, SPINE + round(75 / STEP)), _first(sloped, SPINE - round(40 / STEP))
    assert 44 <= tip - notch <= 56
    # At the spine it begins with the first thoracic vertebra, where the lungs end.
    assert abs(_first(sloped, SPINE) - (FIRST * STEP - APEX_MM)) <= STEP


def test_the_lungs_tips_say_where_the_neck_begins_if_they_are_near():
    for slices, off in ((3, 3), (-4, -4), (20, -APEX_MM / STEP)):  # the last is a windpipe that passes for lung
        _, sloped = _inlet(lungs_to=FIRST + slices)
        assert abs(_first(sloped, SPINE) - (FIRST + off) * STEP) <= STEP


def test_a_windpipe_that_passes_for_lung_up_to_the_image_s_end_does_no_harm(monkeypatch):
    """The field of view ends 36 mm above where the neck begins."""
    monkeypatch.setitem(globals(), "FIRST", SHAPE[0] - 9)
    before, sloped = _inlet(lungs_to=SHAPE[0])
    assert sloped.shape == before.shape
    assert (sloped > 0).all()


def test_both_sides_of_the_inlet_are_alike_and_keep_to_their_side():
    before, sloped = _inlet()
    left, right = (np.isin(sloped, [region_label(n, s) for n in ("chest", "neck")]) for s in ("left", "right"))
    assert (left == right[:, :, ::-1]).all()
    assert ((before % 10) == (sloped % 10)).all()


def test_what_lies_aside_is_chest_as_before():
    _, sloped = _inlet()
    assert _first(sloped, SPINE + 20, 59) >= FIRST * STEP


def test_without_a_spine_the_border_stays_level():
    before, sloped = _inlet(spine_from=SHAPE[0])
    assert (before == sloped).all()


def test_the_manual_says_where_each_region_begins():
    assert list(REGION_EXTENTS) == list(REGIONS)
    said = {
        "elbow": f"{ELBOW_MM:.0f} mm",
        "hand": f"{WRIST_MM:.0f} mm",
        "foot": f"{ANKLE_MM:.0f} mm",
        "toes": f"{100 * TOES_SHARE:.0f} %",
        "neck": f"{NECK_MM:.0f} mm",
    }
    for region, words in said.items():
        assert words in REGION_EXTENTS[region]
