"""That the weights of bone or deposit say what anatomy says."""

from dataclasses import replace

import pytest

from calciflow.anatomy.evidence import Surroundings
from calciflow.anatomy.judge import Candidate, Place, probability
from calciflow.anatomy.objects import Shape

SOLID = Shape(0.3, 0.0, float("nan"), 5.0, 10.0, 800.0, 500.0, 12.0, 0.5, 10.0)
IN_MUSCLE = Surroundings(0.0, 0.2, 55.0, 0.5)
FREE = Candidate(1, SOLID, IN_MUSCLE, False, 1.0, 0.0, 0.0, (0.0, 0.0, 0.0))
PIECE = replace(FREE, tied=True, contact=0.17, saddle=0.85)


@pytest.mark.parametrize("region", ["hand", "fingers", "knee", "thigh", "upper_arm", "toes", "elbow", "lower_leg"])
def test_what_lies_free_in_a_limb_is_no_bone(region):
    assert probability(FREE, Place(region)) < 0.2


@pytest.mark.parametrize("region", ["chest", "pelvis", "abdomen"])
def test_free_bones_of_the_trunk_lie_at_the_midline(region):
    deep = replace(FREE, shape=replace(SOLID, depth_mm=30.0))
    sternum = probability(deep, Place(region, aside_mm=3.0))
    assert probability(deep, Place(region, aside_mm=80.0)) < 0.2
    assert sternum > 0.6


@pytest.mark.parametrize("region", ["chest", "abdomen", "shoulder", "neck"])
def test_what_lies_apart_right_beside_a_lung_is_a_piece_of_rib(region):
    """In slices of 5 mm ribs fall into pieces; under the shoulders these were called deposits of the limb."""
    piece = replace(FREE, shape=replace(SOLID, depth_mm=40.0), around=Surroundings(0.0, 0.02, 48.0, 0.5))
    assert probability(piece, Place(region, aside_mm=70.0, among_ribs=True)) > 0.7
    assert probability(piece, Place(region, aside_mm=70.0)) < 0.2


@pytest.mark.parametrize("region", ["neck", "chest", "pelvis", "abdomen"])
def test_what_lies_alone_in_fat_is_no_bone_of_the_trunk(region):
    """A nodule in the fat of the belly, the nape or over the sacrum, near the midline, was lost as bone."""
    deep = replace(FREE, shape=replace(SOLID, depth_mm=22.0), around=Surroundings(0.0, 0.0, -95.0, 0.5))
    place = Place(region, aside_mm=9.0)
    assert probability(deep, place) < 0.2
    beside = replace(deep, around=replace(deep.around, seen=0.3))  # the tip of a spinous process, the coccyx
    assert probability(beside, place) > 0.6


def test_an_upper_arm_at_the_midline_is_sternum():
    deep = replace(FREE, shape=replace(SOLID, depth_mm=30.0))
    assert probability(deep, Place("upper_arm", aside_mm=2.0)) == pytest.approx(
        probability(deep, Place("chest", aside_mm=2.0)), abs=0.35
    )


@pytest.mark.parametrize("region", ["hand", "foot", "fingers", "knee", "forearm", "shoulder"])
def test_a_thin_neck_speaks_against_bone_a_broad_one_for_it(region):
    neck = replace(PIECE, contact=0.05, saddle=0.3)
    assert probability(neck, Place(region)) < probability(PIECE, Place(region)) - 0.2
    assert probability(PIECE, Place(region)) > 0.6


def test_a_piece_inside_cancellous_bone_is_bone_wherever_it_lies():
    inside = replace(FREE, around=Surroundings(0.8, 1.0, 140.0, 0.5))
    for region in ("thigh", "foot", "pelvis", "head"):
        assert probability(inside, Place(region)) > 0.95
    assert probability(inside) > 0.95


def test_the_axis_of_a_digit_speaks_for_bone():
    shallow = replace(SOLID, depth_mm=3.0, least_depth_mm=1.5)
    central = replace(SOLID, depth_mm=8.0, least_depth_mm=5.0)
    pulp = replace(PIECE, saddle=0.6, shape=shallow, around=replace(IN_MUSCLE, centrality=0.15))
    axis = replace(PIECE, saddle=0.6, shape=central, around=replace(IN_MUSCLE, centrality=0.7))
    odds = [p / (1 - p) for p in (probability(axis, Place("fingers")), probability(pulp, Place("fingers")))]
    assert odds[0] > 5 * odds[1]


def test_no_bone_lies_in_the_cavities():
    assert probability(PIECE, Place("abdomen", in_cavity=True)) == 0.0


@pytest.mark.parametrize("by_cavity", [False, True])
def test_the_pelvis_has_no_free_bone_beside_the_coccyx(by_cavity):
    """A streak of 2.1 ml in a muscle, 22 mm from the midline, was once taken for bone."""
    place = Place("pelvis", by_cavity=by_cavity, aside_mm=22.0)
    for seen in (0.2, 0.6, 1.0):
        streak = replace(FREE, around=Surroundings(0.0, seen, 55.0, 0.5))
        assert probability(streak, place) < 0.5


@pytest.mark.parametrize("region", ["chest", "abdomen", "neck"])
def test_behind_the_vertebrae_free_bone_lies_at_the_midline(region):
    """A streak of 0.7 ml in a back muscle, 31 mm from the midline, was once taken for bone."""
    deep = replace(FREE, shape=replace(SOLID, depth_mm=30.0))
    assert probability(deep, Place(region, aside_mm=25.0, dorsal=True)) < 0.1
    assert probability(deep, Place(region, aside_mm=4.0, dorsal=True)) > 0.6


def test_the_sternum_is_wider_than_a_spinous_process():
    deep = replace(FREE, shape=replace(SOLID, depth_mm=30.0))
    assert probability(deep, Place("chest", aside_mm=20.0)) > 5 * probability(deep, Place("abdomen", aside_mm=20.0))


def test_ends_of_floating_ribs_lie_along_the_cavity():
    deep = replace(FREE, shape=replace(SOLID, depth_mm=30.0))
    rib = probability(deep, Place("abdomen", by_cavity=True, aside_mm=60.0, dorsal=True))
    assert rib > 5 * probability(deep, Place("abdomen", aside_mm=60.0, dorsal=True))


def test_the_larynx_lies_deeper_than_skin_off_the_midline():
    shallow = replace(FREE, shape=replace(SOLID, depth_mm=4.0, least_depth_mm=2.0))
    assert probability(shallow, Place("neck", aside_mm=20.0)) < 0.1
    # The prominence, and what is deep.
    assert probability(shallow, Place("neck", aside_mm=3.0)) > 0.3
    deep = replace(FREE, shape=replace(SOLID, depth_mm=15.0))
    assert probability(deep, Place("neck", aside_mm=20.0)) > 0.3


def test_what_only_grazes_a_bone_is_free():
    """A nodule of 3.3 ml over a spinous process, in touch by its blur alone, was once taken for bone."""
    grazing = replace(PIECE, contact=0.01, saddle=0.17)
    for region in ("abdomen", "neck", "thigh", "hand"):
        place = Place(region, aside_mm=40.0)
        assert probability(grazing, place) == probability(replace(grazing, tied=False), place) < 0.2


@pytest.mark.parametrize(("region", "aside_mm"), [("head", 5.0), ("head", 50.0), ("neck", 40.0), ("", 60.0)])
def test_head_and_neck_have_no_free_bones_but_hyoid_and_larynx(region, aside_mm):
    in_fat = replace(FREE, around=replace(IN_MUSCLE, bed_hu=-90.0))
    assert probability(in_fat, Place(region, aside_mm=aside_mm)) < 0.1


def test_the_hyoid_is_not_called_a_deposit_outright():
    hyoid = replace(FREE, shape=replace(SOLID, volume_ml=1.0, depth_mm=30.0, least_depth_mm=25.0))
    assert probability(hyoid, Place("neck", aside_mm=10.0)) > 0.3


def test_a_scalp_holds_no_bone():
    in_fat = replace(IN_MUSCLE, bed_hu=-60.0)
    scalp = replace(PIECE, shape=replace(SOLID, depth_mm=4.0, least_depth_mm=2.0), around=in_fat)
    deep = replace(PIECE, shape=replace(SOLID, depth_mm=12.0, least_depth_mm=9.0))
    assert probability(scalp, Place("head", aside_mm=40.0)) < 0.5 < probability(deep, Place("head", aside_mm=40.0))
