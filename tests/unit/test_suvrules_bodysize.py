"""Body sizes, against values worked by hand from the published formulas."""

import pytest

from calciflow.errors import Refusal
from calciflow.suvrules.bodysize import body_surface, ideal_weight, lbm_james, lbm_janmahasatian, normaliser


def test_james_and_morgan_for_70_kg_and_175_cm():
    assert lbm_james(70, 1.75, "M", 128) == pytest.approx(77 - 128 * 0.16)
    assert lbm_james(70, 1.75, "M", 120) == pytest.approx(77 - 120 * 0.16)
    assert lbm_james(70, 1.75, "F", 128) == lbm_james(70, 1.75, "F", 120) == pytest.approx(74.9 - 148 * 0.16)


def test_janmahasatian_reproduces_a_published_example():
    # BMI 25 by 80 kg and 1.7889 m: 9270 x 80 / (6680 + 5400) and 9270 x 80 / (8780 + 6100).
    height = (80 / 25) ** 0.5
    assert lbm_janmahasatian(80, height, "M") == pytest.approx(61.391, abs=1e-3)
    assert lbm_janmahasatian(80, height, "F") == pytest.approx(49.839, abs=1e-3)


def test_du_bois_surface_of_a_standard_person_is_1_85_m2():
    assert body_surface(70, 1.75) == pytest.approx(1.848143, abs=1e-6)


def test_ideal_weight_starts_at_152_cm():
    assert ideal_weight(70, 1.52, "M") == pytest.approx(48.0)
    assert ideal_weight(70, 1.52, "F") == pytest.approx(45.5)
    assert ideal_weight(70, 1.75, "M") == pytest.approx(72.38)


def test_any_other_sex_is_the_mean_of_both_masses():
    male, female = (normaliser("LBMJANMA", 70, 1.75, sex) for sex in "MF")
    assert normaliser("LBMJANMA", 70, 1.75, "O") == pytest.approx((male + female) / 2)


def test_types_that_need_a_height_refuse_without_one():
    assert normaliser("BW", 70, None, "O") == 70000
    for suv_type in ("BSA", "LBM", "LBMJAMES128", "LBMJANMA", "IBW"):
        with pytest.raises(Refusal, match=r"0010,1020") as caught:
            normaliser(suv_type, 70, None, "M")
        assert caught.value.code == "body_size"


def test_ideal_weight_of_a_woman_of_165_cm():
    assert ideal_weight(60, 1.65, "F") == pytest.approx(45.5 + 0.91 * 13)


def test_each_of_jamess_formulas_goes_by_its_name():
    # 1.10 x 70 less 120 or 128 times (70 / 175)^2 = 0.16, in grams.
    assert normaliser("LBM", 70, 1.75, "M") == pytest.approx(57_800)
    assert normaliser("LBMJAMES128", 70, 1.75, "M") == pytest.approx(56_520)


def test_the_smallest_positive_mass_stands_and_a_negative_one_is_refused():
    # James' parabola at 1.5 m: 0.822 kg at 205.5 kg, below 0 from 206.25 kg on.
    assert normaliser("LBM", 205.5, 1.5, "M") == pytest.approx(822, abs=0.5)
    with pytest.raises(Refusal, match="no positive mass"):
        normaliser("LBM", 206.5, 1.5, "M")
