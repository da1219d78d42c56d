"""Why a false lesion was found, and bone that looks like a deposit: hand-made maps."""

import numpy as np
import pandas as pd
import pytest

from calciflow.benchmark.causes import bone_fragments, cause_of, nearest_label
from calciflow.benchmark.compare import brier, tissue_dice
from calciflow.benchmark.figures import confusion_figure
from calciflow.images import Volume
from calciflow.labels import TISSUES, region_label
from calciflow.phantom.model import Person
from calciflow.phantom.spec import PersonSpec
from calciflow.phantom.structures import STRUCTURES, structure_of_bone

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def volume(*at):
    """Labels at voxels: (z, y, x, label)."""
    array = np.zeros((30, 30, 30), np.uint8)
    for z, y, x, value in at:
        array[z, y, x] = value
    return Volume(array, AFFINE)


POINT = np.array([[30.0, 30.0, 30.0]])  # voxel 15, 15, 15


def test_nearest_label():
    labels = volume((15, 15, 17, 3), (15, 15, 12, 5))
    assert nearest_label(POINT, labels, 4.1) == 3
    assert nearest_label(POINT, labels, 3.9) is None
    assert nearest_label(POINT, volume(), 10) is None


@pytest.mark.parametrize(
    ("trap", "deposit", "structure", "wanted"),
    [
        ((15, 15, 16, 1), (15, 15, 16, 1), (15, 15, 15, 2), "trap: tube"),
        ((15, 15, 19, 1), (15, 15, 18, 1), (15, 15, 15, 2), "beside a deposit"),
        ((15, 15, 19, 1), (15, 15, 25, 1), (15, 15, 17, 2), "rib"),
        ((15, 15, 19, 1), (15, 15, 25, 1), (15, 15, 20, 2), "muscle, nothing near"),
    ],
)
def test_cause(trap, deposit, structure, wanted):
    got = cause_of(POINT, "muscle", volume(deposit), (volume(structure), {2: "rib"}), (volume(trap), {1: "tube"}))
    assert got == wanted


def test_cause_of_an_older_truth():
    assert cause_of(POINT, "muscle", volume(), None, None) == "muscle, nothing near"


def test_bone_fragments():
    """A missed piece of 27 voxels of 8 mm3 counts; the same beside found bone, or as soft tissue, does not."""
    true = np.zeros((30, 30, 30), bool)
    true[3:6, 3:6, 3:6] = True  # missed, alone
    true[20:23, 20:23, 20:26] = True  # one half found, the other touches it
    true[10, 10, 10] = True  # 0.008 ml: too small
    found = np.zeros_like(true)
    found[20:23, 20:23, 20:25] = True
    hu = np.where(true, 400, 40).astype(np.int16)
    assert bone_fragments(true, found, hu, (2.0, 2.0, 2.0)) == 1
    assert bone_fragments(true, found, np.minimum(hu, 100), (2.0, 2.0, 2.0)) == 0
    assert bone_fragments(true, true, hu, (2.0, 2.0, 2.0)) == 0


def test_bone_of_hands_and_feet_apart():
    truth = np.full((1, 1, 4), TISSUES["bone"], np.uint8)
    found = truth.copy()
    found[0, 0, 0] = TISSUES["muscle"]
    regions = np.array([[[region_label("fingers", "left")] * 2 + [region_label("thigh", "left")] * 2]], np.uint8)
    got = tissue_dice(truth, found, regions)
    assert got["bone_hands_feet"] == pytest.approx(2 / 3)
    assert got["bone_elsewhere"] == 1


def test_brier_score_by_hand():
    lesion = {
        "p_skin": 0.0, "p_subcutaneous": 0.7, "p_fascia": 0.0, "p_muscle": 0.3, "p_periarticular": 0, "p_other": 0
    }  # fmt: skip
    assert brier(lesion, "subcutaneous") == pytest.approx(0.3**2 + 0.3**2)
    assert brier(lesion, "muscle") == pytest.approx(0.7**2 + 0.7**2)
    assert brier({**lesion, "p_skin": np.nan}, "muscle") is None
    assert brier({}, "muscle") is None


def test_confusion_figure_has_its_numbers(tmp_path):
    table = pd.DataFrame({"true_compartment": ["muscle", "skin"], "muscle": [7, 0], "skin": [1, 23]})
    confusion_figure(table, tmp_path / "one.svg")
    confusion_figure(table, tmp_path / "two.svg")
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    assert all(word in text for word in (">7<", ">23<", ">muscle<", ">compartment<"))


def test_every_bone_of_the_phantom_has_its_structure():
    axial, free = Person.make(PersonSpec(), 1).bones()
    got = {bone.name: structure_of_bone(bone.name) for bone in axial + free}
    assert set(got.values()) <= set(STRUCTURES)
    assert got["T4 arch"] == "thoracic spine"
    assert got["left rib 7"] == "rib"
    assert got["right scaphoid"] == got["left thumb metacarpal"] == got["left index phalanx 2"] == "hand bone"
    assert got["left toe 2 phalanx 1"] == got["right calcaneus"] == "foot bone"
    assert {name for name, word in got.items() if word == "hand bone" and "hip" in name} == set()
