"""Spill of bone against the analytic blur of a slab."""

import numpy as np
import pytest
from scipy.special import erf

from calciflow.measure.spill import blur, predict_spill

SPACING = (3.0, 2.0, 2.0)
FWHM = 6.0


def slab(bone_suv=6.5, soft_suv=0.6, thickness=20.0):
    x = (np.arange(60) - 20) * SPACING[2]
    shape = (12, 16, 60)
    bone = np.broadcast_to(((x >= -thickness) & (x <= 0)).astype(np.float32), shape).copy()
    zeros = np.zeros(shape, np.float32)
    suv = blur(bone * bone_suv + (1 - bone) * soft_suv, FWHM, SPACING)
    return x, bone, zeros, suv


def test_bone_at_suv_6_5_adds_about_one_3_mm_away():
    x, bone, organs, suv = slab()
    spill = predict_spill(suv, bone, organs, FWHM, SPACING)
    edge = 0.5 * SPACING[2]
    at = float(np.interp(edge + 3.0, x, spill.bone[6, 8]))
    assert 0.7 <= at <= 1.3
    sigma = FWHM / 2.3548
    exact = 6.5 * 0.5 * (1 - erf(3.0 / (np.sqrt(2) * sigma)))
    assert at == pytest.approx(exact, abs=0.3)


def test_bone_explains_itself_and_nothing_far_away():
    x, bone, organs, suv = slab()
    spill = predict_spill(suv, bone, organs, FWHM, SPACING)
    assert spill.bone[6, 8, np.argmin(np.abs(x + 10))] == pytest.approx(6.5, rel=0.1)
    assert spill.bone[6, 8, np.argmin(np.abs(x - 16))] < 0.05


def test_a_lesion_is_not_put_down_to_bone():
    x, bone, organs, suv = slab()
    hot = np.zeros(suv.shape, np.float32)
    hot[5:7, 7:9, np.argmin(np.abs(x - 8)) : np.argmin(np.abs(x - 8)) + 3] = 12.0
    both = suv + blur(hot, FWHM, SPACING)
    spill = predict_spill(both, bone, organs, FWHM, SPACING)
    peak = np.unravel_index(np.argmax(np.where(x > 4, both, 0)), both.shape)
    assert spill.bone[peak] / both[peak] < 0.3


def test_organs_explain_their_own_spill():
    x, organ, nothing, suv = slab(bone_suv=20.0)
    spill = predict_spill(suv, nothing, organ, FWHM, SPACING)
    assert float(spill.bone.max()) == 0.0
    near = np.argmin(np.abs(x - 4))
    assert spill.organs[6, 8, near] / suv[6, 8, near] > 0.5


def test_without_bone_there_is_no_spill():
    suv = np.full((6, 8, 8), 0.7, np.float32)
    zeros = np.zeros(suv.shape, np.float32)
    spill = predict_spill(suv, zeros, zeros, FWHM, SPACING)
    assert not spill.bone.any()
    assert not spill.organs.any()
