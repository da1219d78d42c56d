"""Traps on PET: urine, tracer left in a vein, inflamed joints and muscles, mismatch; and destroyed bone."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from calciflow.labels import TISSUES, region_label
from calciflow.phantom.asymmetry import SMALL
from calciflow.phantom.body import FINGERS
from calciflow.phantom.organs import ureter_path
from calciflow.phantom.pose import SIGN
from calciflow.phantom.shapes import Array, Box, tube
from calciflow.phantom.structures import STRUCTURES
from calciflow.phantom.traps import Point, TrapPainter


def arthritis(painter: TrapPainter) -> None:
    """Joints of fingers, knees and shoulders with uptake; osteophytes on their rims."""
    rng, s = painter.rng, painter.s

    def joint(what: str, centre: Point, radius: float, share: float = 1.0) -> None:
        if rng.uniform() < 0.35:
            return
        whole, soft = painter.tissue("bone", "other", "muscle"), painter.tissue("muscle", "other")
        inflamed = painter.person.bent(painter.ball(centre, radius * 1.1), share)
        painter.put(what, inflamed, None, float(rng.uniform(5, 12)), whole)
        off = rng.normal(0, 1, 3)
        spur = centre + off / np.linalg.norm(off) * radius
        osteophyte = painter.person.bent(painter.ball(spur, 0.35 * radius), share)
        painter.put(f"{what}, osteophyte", osteophyte, 600.0, 8.0, soft)

    for item in painter.person.limbs:
        hand, leg = item.frames["hand"], item.frames["lower_leg"]
        for finger, chain in FINGERS.items():
            for number, point in enumerate(chain[1:-1]):
                joint(f"{item.side} {finger} joint {number + 1}", hand.point(*(np.array(point) * s)), 5.0 * s, SMALL)
        for u in (30, -30):
            joint(f"{item.side} knee", leg.point(u * s, 0, 8 * s), 10.0 * s)
        joint(f"{item.side} shoulder", item.shoulder + np.array([-SIGN[item.side] * 14, 4, -6]) * s, 12.0 * s)


def hot_ureters(painter: TrapPainter) -> None:
    """A stretch of urine in each ureter."""
    rng, s = painter.rng, painter.s
    for side in ("right", "left"):
        path = ureter_path(SIGN[side]) * s
        at = float(rng.uniform(0.6, len(path) - 1.6))
        low = int(at)
        start = path[low] + (at - low) * (path[low + 1] - path[low])
        step = path[low + 1] - path[low]
        end = start + step / np.linalg.norm(step) * float(rng.uniform(12, 40))
        painter.put(f"{side} ureter", tube([start, end], 2.6 * s), 12.0, float(rng.uniform(15, 45)))


def urine_on_skin(painter: TrapPainter) -> None:
    """A wet patch of 2 mm on the skin of the groin and between the thighs."""
    rng, canvas, s = painter.rng, painter.canvas, painter.s
    centres = [np.array([rng.uniform(-15, 15), 0.0, rng.uniform(780, 815)]) * s]
    m = 1 if rng.uniform() < 0.5 else -1
    centres.append(np.array([m * rng.uniform(30, 60), 0.0, rng.uniform(760, 800)]) * s)
    wet = 2.0 + 0.5 * canvas.voxel

    def film(box: Box) -> NDArray[np.bool_]:
        return (canvas.skin[box] > 0) & (canvas.skin[box] < wet)

    for number, centre in enumerate(centres):
        y = painter.surface_y(float(centre[0]), float(centre[2]))
        if y is None:
            continue
        centre[1] = y
        radius = float(rng.uniform(12, 28))
        painter.put(f"patch {number + 1}", painter.ball(centre, radius), 0.0, float(rng.uniform(10, 35)), film)


def injection_residue(painter: TrapPainter) -> None:
    """Tracer beside the vein of one elbow's bend, and in the vein up the arm."""
    rng, s = painter.rng, painter.s
    item = painter.person.limbs[int(rng.integers(2))]
    front = item.frames["upper_arm"].axes[1].astype(np.float32)
    elbow = item.elbow.astype(np.float32)

    def bend(x: Array, y: Array, z: Array) -> NDArray[np.bool_]:
        away = (x - elbow[0]) * front[0] + (y - elbow[1]) * front[1] + (z - elbow[2]) * front[2]
        return away > np.float32(20 * s)

    centre = painter.somewhere("elbow", item.side, "subcutaneous_fat", bend)
    if centre is None:
        return
    up = (item.shoulder - item.elbow) / np.linalg.norm(item.shoulder - item.elbow)
    painter.put(f"{item.side} elbow", painter.ball(centre, float(rng.uniform(3, 6))), None, float(rng.uniform(20, 60)))
    painter.put(f"{item.side} vein", tube([centre, centre + up * 55 * s], 1.8), None, float(rng.uniform(3, 8)))


def myositis(painter: TrapPainter) -> None:
    """Muscle uptake of 1.5 to 4 in both thighs and shoulders, patchy, the same on both sides but for noise."""
    rng, canvas = painter.rng, painter.canvas
    level = float(rng.uniform(2.0, 3.5))
    for region in ("thigh", "shoulder"):
        for side in ("right", "left"):
            inside = (canvas.regions == region_label(region, side)) & (canvas.tissues == TISSUES["muscle"])
            inside &= canvas.fascia < -2  # no tendon sheaths at its border
            found = [np.flatnonzero(inside.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
            if not len(found[0]):
                continue
            z, y, x = (slice(int(at[0]), int(at[-1]) + 1) for at in found)
            part = inside[z, y, x]
            sigma = [14.0 / step for step in canvas.grid.spacing]
            patchy = gaussian_filter(rng.standard_normal(part.shape, dtype=np.float32), sigma)
            patchy /= max(float(patchy.std()), 1e-6)
            cover = (part * np.clip(0.75 + 0.25 * patchy, 0.2, 1.0)).astype(np.float32)
            painter.fill(f"{side} {region}", (z, y, x), cover, None, level)


def acro_osteolysis(painter: TrapPainter) -> None:
    """Two to four fingers a hand whose last phalanx is eaten away from its tip, with a crumb left."""
    rng, canvas, s = painter.rng, painter.canvas, painter.s

    def is_bone(box: Box) -> NDArray[np.bool_]:
        return canvas.structures[box] == STRUCTURES["hand bone"]

    for item in painter.person.limbs:
        hand = item.frames["hand"]
        for name in sorted(rng.choice(list(FINGERS), int(rng.integers(2, 5)), replace=False)):
            joints = [hand.point(*(np.array(joint) * s)) for joint in FINGERS[str(name)]]
            base, tip = joints[-2], joints[-1]
            gone = painter.person.bent(tube([base + 0.42 * (tip - base), base + 0.95 * (tip - base)], 5.2 * s), SMALL)
            if not painter.put(f"{item.side} {name}", gone, 40.0 / painter.calcium, 0.8, is_bone):
                continue
            box = canvas.grid.box(*gone.bounds())
            assert box is not None
            lost = (painter.labels[box] == len(painter.rows)) & is_bone(box)
            canvas.tissues[box][lost] = TISSUES["subcutaneous_fat"]
            canvas.structures[box][lost] = 0
            crumb = base + 0.66 * (tip - base)
            left = painter.person.bent(painter.ball(crumb, 1.1 * s), SMALL)
            canvas.paint(left, 450 * painter.calcium, 1.5, "bone", structure="hand bone")


def attenuation_mismatch(painter: TrapPainter) -> None:
    """Too little activity (down to 0.55) in a band at the dome of the diaphragm; ``mismatch_factor`` says how much."""
    painter.mark("attenuation_mismatch", "band at the diaphragm")


def mismatch_factor(painter: TrapPainter) -> NDArray[np.float32] | None:
    """Factor on apparent activity a slice (z,), from the height of the diaphragm; None without this trap."""
    if not any(row["name"] == "attenuation_mismatch" for row in painter.rows):
        return None
    z = painter.canvas.grid.axes()[2].reshape(-1)
    return (1 - 0.45 * np.exp(-(((z / painter.s - 1200) / 11) ** 2))).astype(np.float32)
