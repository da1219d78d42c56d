"""Arms followed from the chest, on an analytic skeleton: what the clavicle leads to is no arm."""

import numpy as np
import pytest

from calciflow.anatomy.grid import blocks
from calciflow.anatomy.limbs import ARM_SEGMENTS, find_arms, skeleton_graph

STEP = 4.0
SHAPE = (240, 70, 130)
GRID = blocks(SHAPE, (STEP, STEP, STEP), STEP)
Z, Y, X = np.meshgrid(*[np.arange(n) * STEP for n in SHAPE], indexing="ij", sparse=True)
MIDDLE = (SHAPE[2] - 1) / 2 * STEP
ASIDE = X - MIDDLE
TOP, BACK, FRONT = 900.0, 80.0, 190.0


def rod(start, end, radius):
    """Blocks within a radius of a straight line between two points (across, y, z)."""
    a, b = np.array(start, float), np.array(end, float)
    along = b - a
    t = ((ASIDE - a[0]) * along[0] + (Y - a[1]) * along[1] + (Z - a[2]) * along[2]) / (along @ along)
    t = np.clip(t, 0, 1)
    away = (ASIDE - a[0] - t * along[0]) ** 2 + (Y - a[1] - t * along[1]) ** 2 + (Z - a[2] - t * along[2]) ** 2
    return away < radius**2


def chest(clavicles):
    """Spine, shoulder girdle, arms at the sides; clavicles that end a joint's width from a breast bone, or none."""
    bone = rod((0, BACK, 300), (0, BACK, TOP), 18) | rod((-160, BACK, 870), (160, BACK, 870), 9)
    for m in (-1, 1):
        bone |= rod((m * 160, BACK, 870), (m * 165, 110, 860), 20)  # shoulder blade and humeral head
        bone |= rod((m * 165, 110, 860), (m * 190, 110, 560), 11) | rod((m * 170, 110, 560), (m * 210, 110, 560), 14)
        bone |= rod((m * 190, 110, 560), (m * 195, 120, 310), 10) | rod((m * 185, 120, 310), (m * 205, 120, 310), 14)
        bone |= rod((m * 195, 120, 310), (m * 200, 125, 130), 8)
        if clavicles:
            bone |= rod((m * 160, 110, 870), (m * 30, FRONT, 850), 8)
    breastbone = rod((0, FRONT, 850), (0, FRONT, 660), 12)
    return bone | breastbone, breastbone


@pytest.mark.parametrize("clavicles", [False, True])
def test_the_breast_bone_is_no_forearm(clavicles):
    """Where no rib ties the breast bone to the spine, the way to it leads over shoulder and clavicle.

    It was called forearm and elbow, and the heart behind it muscle of that arm.
    """
    bone, breastbone = chest(clavicles)
    graph = skeleton_graph(bone, np.ones(SHAPE, bool), GRID)
    thorax = np.broadcast_to(
        (np.hypot((ASIDE) / 110, (Y - 130) / 45) < 1) & (Z > 600) & (Z < 860), SHAPE
    )  # lungs with what lies between
    root = int(np.argmin(np.linalg.norm(graph.nodes * STEP - (860, BACK, MIDDLE), axis=1)))
    arms = find_arms(graph, root, thorax, 100.0, np.zeros(SHAPE, bool), GRID)
    assert len(arms) == 2
    for arm in arms:
        assert not breastbone[tuple(arm.nodes.T)].any()
        hand = arm.nodes[arm.segments >= ARM_SEGMENTS.index("hand")]
        assert len(hand)
        assert hand[:, 0].max() * STEP < 370.0
