"""SUV goes with weight and against dose, whatever kind of image the scanner stored."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calciflow.selftest import every
from calciflow.suvrules import evaluate
from calciflow.suvrules.bodysize import body_surface, ideal_weight, lbm_james, lbm_janmahasatian
from calciflow.suvrules.header import extract
from calciflow.suvrules.tracer import HALF_LIVES

SAME = settings(deadline=None, derandomize=True, max_examples=25)
WEIGHTS, DOSES = st.integers(3, 400), st.integers(16, 990)

MEASURED = {
    "START": {},
    "ADMIN": {"DecayCorrection": "ADMIN"},
    "NONE": {"DecayCorrection": "NONE", "CorrectedImage": ["ATTN"]},
}
"""Activity concentrations: the SUV is made here."""

STORED = {"BW": ("GML", "BW"), "IBW": ("GML", "IBW"), "BSA": ("CM2ML", "BSA")}


def factors(values, sheet=None):
    return evaluate(extract(every(**values)()), sheet).factors


@SAME
@given(st.sampled_from(sorted(MEASURED)), WEIGHTS, DOSES, st.booleans())
def test_what_is_made_of_activity(kind, weight, dose, by_sheet):
    plain = factors(MEASURED[kind])
    if by_sheet:
        found = factors(MEASURED[kind], {"weight_kg": weight, "injected_dose_mbq": dose})
    else:
        changed = {"PatientWeight": str(weight), "dose__RadionuclideTotalDose": str(dose * 1000000)}
        found = factors(MEASURED[kind] | changed)
    assert found == pytest.approx([factor * weight / 70 * 368.08 / dose for factor in plain], rel=1e-9)


@SAME
@given(st.sampled_from(sorted(STORED)), st.sampled_from("MF"), WEIGHTS, DOSES)
def test_a_dose_corrected_by_the_sheet_scales_every_stored_kind(kind, sex, weight, dose):
    units, name = STORED[kind]
    values = {"Units": units, "SUVType": name, "PatientSex": sex, "PatientWeight": str(weight)}
    assert factors(values, {"injected_dose_mbq": dose})[0] == pytest.approx(factors(values)[0] * 368.08 / dose)


@SAME
@given(st.sampled_from("MF"), st.integers(40, 150), st.integers(150, 200))
def test_stored_kinds_go_back_to_body_weight_by_the_size_that_the_scanner_used(sex, weight, height):
    metres = height / 100
    body = {"PatientSex": sex, "PatientWeight": str(weight), "PatientSize": str(metres)}
    sizes = {
        "IBW": ideal_weight(weight, metres, sex),
        "LBM": lbm_james(weight, metres, sex, 120.0),
        "LBMJAMES128": lbm_james(weight, metres, sex, 128.0),
        "LBMJANMA": lbm_janmahasatian(weight, metres, sex),
    }
    for name, size in sizes.items():
        # A lean mass of a very heavy person by James is none: refused elsewhere.
        if 0.2 * weight < size <= weight:
            assert factors({"Units": "GML", "SUVType": name} | body)[0] == pytest.approx(weight / size), name
    area = factors({"Units": "CM2ML", "SUVType": "BSA"} | body)[0]
    assert area == pytest.approx(weight * 1000 / (body_surface(weight, metres) * 1e4))
    assert factors({"Units": "GML", "SUVType": "BW"} | body) == (1.0,)


@SAME
@given(st.sampled_from("MF"), st.integers(40, 110), st.integers(150, 200), st.integers(1, 40))
def test_sizes_grow_with_height_and_lean_mass_stays_below_weight(sex, weight, height, more):
    low, high = height / 100, (height + more) / 100
    assert ideal_weight(weight, high, sex) > ideal_weight(weight, low, sex)
    assert body_surface(weight, high) > body_surface(weight, low)
    lean = lbm_janmahasatian(weight, high, sex)
    assert lbm_janmahasatian(weight, low, sex) < lean
    assert lean < weight or weight / high**2 < 12  # below any living person's index the formula leaves its ground
    assert body_surface(2 * weight, low) == pytest.approx(2**0.425 * body_surface(weight, low))


def test_half_lives_are_the_published_ones():
    """Decay Data Evaluation Project (LNHB, tables of 2024) and NNDC; to the 1 % that scanners differ by."""
    minute, hour, day = 60.0, 3600.0, 86400.0
    published = {
        "C-11": 20.361 * minute,
        "N-13": 9.9670 * minute,
        "O-15": 2.041 * minute,
        "F-18": 1.8290 * hour,
        "Cu-62": 9.67 * minute,
        "Cu-64": 12.7004 * hour,
        "Ga-66": 9.49 * hour,
        "Ga-68": 67.83 * minute,
        "Rb-82": 1.2575 * minute,
        "Y-86": 14.74 * hour,
        "Zr-89": 3.2674 * day,
        "I-124": 4.1760 * day,
        "Y-90": 2.6684 * day,
        "Lu-177": 6.6463 * day,
    }
    assert HALF_LIVES.keys() == published.keys()
    for nuclide, seconds in published.items():
        assert HALF_LIVES[nuclide] == pytest.approx(seconds, rel=0.014), nuclide
