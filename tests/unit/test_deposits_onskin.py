"""Electrodes and tubes on the skin are no lesions; nodules in the skin are."""

import importlib.util
from pathlib import Path

import numpy as np

from calciflow.deposits.ct import Deposit
from calciflow.deposits.onskin import FLAG, amid_air, on_skin
from calciflow.labels import TISSUES, region_label
from calciflow.lesions import Rules, detect
from calciflow.mapping import Mapping
from calciflow.measure.density import Density

_SPEC = importlib.util.spec_from_file_location("lesion_bodies", Path(__file__).parent.parent / "lesion_bodies.py")
bodies = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(bodies)


def run(limb):
    return detect(
        limb.ct, limb.suv, limb.tissues, limb.regions, limb.anatomy, Mapping.identity(), Rules(),
        scan={"participant_id": "sub-01", "session_id": "ses-01"}, kvp=120.0, fwhm_mm=6.0, tolerance_mm=2.0,
    )  # fmt: skip


def laid_on(limb, inside, hu=330):
    """Add an object to CT and tissue map: the body's outline takes in what touches the skin."""
    ct, tissues = limb.ct.array.copy(), limb.tissues.copy()
    ct[inside] = hu
    tissues[inside & (tissues == 0)] = TISSUES["skin"]
    regions = np.where(tissues > 0, int(limb.regions.max()), 0).astype(np.uint8)
    return bodies.Limb(limb.ct.like(ct), limb.suv, tissues, regions, limb.anatomy)


def places(limb):
    return bodies._axes(limb.ct.array.shape, limb.ct.affine)


def tube(limb):
    """A tube of 5.6 mm across the front of the limb, half a millimetre off the skin."""
    z, y, x = places(limb)
    return (np.hypot(np.hypot(x, y) - (bodies.SKIN_MM + 2.8), z) <= 2.8) & (y > 20)


def test_a_tube_across_the_skin_is_dropped_and_counted():
    limb = bodies.limb()
    result = run(laid_on(limb, tube(limb)))
    assert result.rows == []
    assert result.findings["dropped"]["on the skin"] >= 1


def test_a_nodule_in_the_skin_beside_a_tube_is_a_lesion():
    limb = bodies.limb([bodies.Ball(-52.0, 0.0, 0.0, 0.4, 600.0)])
    result = run(laid_on(limb, tube(limb)))
    assert [row["concordance"][:3] for row in result.rows] == ["CT+"]
    assert abs(result.rows[0]["x_mm"] + 52.0) < 2.0


def test_a_nodule_that_bulges_the_skin_is_a_lesion():
    """Half of a ball of 8 mm stands out of the skin."""
    limb = bodies.limb()
    z, y, x = places(limb)
    ball = (x**2 + (y - bodies.SKIN_MM) ** 2 + z**2) <= 4.0**2
    assert len(run(laid_on(limb, ball, 600)).rows) == 1


def test_a_button_that_passes_for_body_is_flagged_and_a_nodule_under_the_skin_is_not():
    """A button of 10 mm stands 6 mm out of the skin; a nodule of 8 mm bulges it by 1 mm; another stands out by half."""
    limb = bodies.limb()
    z, y, x = places(limb)

    def ball(out_mm):
        return (x**2 + (y - bodies.SKIN_MM - out_mm + 4.0) ** 2 + z**2) <= 4.0**2

    button = (np.hypot(x, z) < 5.0) & (np.abs(y - bodies.SKIN_MM - 3.0) <= 3.0)
    for inside, flagged in ((button, True), (ball(1.0), False), (ball(4.0), True)):
        spoiled = laid_on(limb, inside, 600)
        assert amid_air(deposit(inside), spoiled.ct, spoiled.regions) is flagged
        narrow = np.where(spoiled.regions > 0, region_label("fingers", "right"), 0).astype(np.uint8)
        assert not amid_air(deposit(inside), spoiled.ct, narrow)
    rows = run(laid_on(limb, ball(4.0), 600)).rows
    assert [FLAG in row["flags"] for row in rows] == [True]


def test_where_the_body_is_as_narrow_as_a_tube_nothing_is_told():
    limb = bodies.limb()
    spoiled = laid_on(limb, tube(limb))
    spoiled.regions[spoiled.regions > 0] = region_label("fingers", "right")
    assert run(spoiled).rows


def deposit(mask):
    density = Density(1.0, 1.0, 400.0, 300.0, 0.0, 500.0, 0.0)
    box = tuple(slice(0, size) for size in mask.shape)
    return Deposit(box, mask, mask, density, None, (0, 0, 0), 10.0)


def test_crumbs_beside_what_lies_on_the_skin_are_of_it_and_nodules_are_not():
    limb = bodies.limb()
    z, y, x = places(limb)
    spoiled = laid_on(limb, tube(limb))
    under = np.hypot(np.hypot(x, z), y - (bodies.SKIN_MM - 2.0))
    crumb, deep = under <= 1.5, np.hypot(np.hypot(x, z), y - (bodies.SKIN_MM - 9.0)) <= 1.5
    aside = np.hypot(np.hypot(x, z - 14.0), y - (bodies.SKIN_MM - 2.0)) <= 1.5
    masks = [tube(limb), crumb, deep, aside]
    kinds = on_skin([deposit(one) for one in masks], spoiled.ct, spoiled.tissues, spoiled.regions)
    assert kinds == [True, True, False, False]
    nodule = np.hypot(np.hypot(x, z), y - (bodies.SKIN_MM - 4.5)) <= 3.5
    short = tube(limb) & (np.abs(x) < 6.0)
    kinds = on_skin([deposit(one) for one in (short, nodule)], spoiled.ct, spoiled.tissues, spoiled.regions)
    assert kinds == [True, False]
    # found in four pieces, none of which is three times as large as the crumb
    parts = [short & (x >= low) & (x < low + 3.0) for low in (-6.0, -3.0, 0.0, 3.0)]
    crumb = np.hypot(np.hypot(x, z), y - (bodies.SKIN_MM - 2.5)) <= 2.3
    kinds = on_skin([deposit(one) for one in (*parts, crumb)], spoiled.ct, spoiled.tissues, spoiled.regions)
    assert kinds == [True] * 5
    assert crumb.sum() > max(part.sum() for part in parts) / 3.0
