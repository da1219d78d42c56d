"""A focus without calcium that is hotter than the skeleton: injected or spilled tracer, perhaps."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from calciflow.columns import FLAGS
from calciflow.deposits.unbound import ARMS, HOTTER
from calciflow.labels import region_label
from calciflow.lesions import Rules, detect
from calciflow.mapping import Mapping

_SPEC = importlib.util.spec_from_file_location("lesion_bodies", Path(__file__).parent.parent / "lesion_bodies.py")
bodies = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(bodies)
Ball, BONE_SUV = bodies.Ball, bodies.SUV["bone"]


def flags_of(ball, region="thigh"):
    limb = bodies.limb([ball])
    regions = np.where(limb.regions > 0, region_label(region, "right"), 0).astype(np.uint8)
    found = detect(
        limb.ct, limb.suv, limb.tissues, regions, limb.anatomy, Mapping.identity(), Rules(),
        scan={"participant_id": "sub-01", "session_id": "ses-01"}, kvp=120.0, fwhm_mm=6.0, tolerance_mm=2.0,
    )  # fmt: skip
    (row,) = found.rows
    return row["concordance"], row["suv_max"], set((row["flags"] or "").split(";"))


@pytest.mark.parametrize(("region", "flag"), [*((arm, "injection site?") for arm in ARMS), ("thigh", "contamination?")])
def test_tracer_that_no_mineral_binds_is_flagged(region, flag):
    concordance, suv_max, flags = flags_of(Ball(28.0, 0.0, 0.0, 2.0, None, 5.0 * BONE_SUV), region)
    assert concordance == "CT-PET+"
    assert suv_max > HOTTER * BONE_SUV
    assert flag in flags
    assert {flag} == flags & {"injection site?", "contamination?"}
    assert flag in FLAGS


@pytest.mark.parametrize(
    "ball",
    [
        Ball(28.0, 0.0, 0.0, 2.0, None, BONE_SUV),  # as hot as bone: mineral that CT doesn't show yet
        Ball(28.0, 0.0, 0.0, 2.0, 500.0, 5.0 * BONE_SUV),  # calcium that binds it
        Ball(14.0, 0.0, 0.0, 1.0, None, 5.0 * BONE_SUV),  # at a bone: a joint can be as hot
    ],
)
def test_what_mineral_may_bind_is_not(ball):
    assert not flags_of(ball, "elbow")[2] & {"injection site?", "contamination?"}
