"""One limb moves on its own between CT and PET: where it goes, and what the truth says of it."""

import numpy as np
import pytest

from calciflow.files import read_json
from calciflow.images import read_volume
from calciflow.phantom.canvas import Canvas
from calciflow.phantom.model import Person
from calciflow.phantom.movement import MovedLimb, Movement, Rigid, lever_of, movement_of, pivot_of, place_after
from calciflow.phantom.physics import pet_grid, pet_ideal
from calciflow.phantom.scan import make_scan
from calciflow.phantom.shapes import Grid
from calciflow.phantom.spec import LimbMotion, Motion, PersonSpec, PetSpec, from_mapping, replace
from calciflow.phantom.tiny import leg_spec
from calciflow.phantom.truth import write_truth

GRID = Grid((40, 40, 60), (2.0, 2.0, 2.0), (-59.0, -39.0, -39.0))
PET = PetSpec(pixel_mm=2.0, slice_mm=2.0, fwhm_mm=6.0)


def centre_of(image, grid):
    x, y, z = grid.axes()
    total = image.sum(dtype=float)
    return np.array([float((image * c).sum(dtype=float) / total) for c in (x, y, z)])


def test_only_the_limb_moves_and_activity_is_kept():
    """Two blobs; the right one turns by 10 degrees about the origin and both shift by 3 mm."""
    suv = np.zeros(GRID.shape, np.float32)
    suv[19:21, 19:21, 9:11] = 5  # x = -40
    suv[19:21, 19:21, 49:51] = 5  # x = +40
    body = Rigid.of(Motion((0, 3, 0)), (0.0, 0.0, 0.0)).matrix()
    turn = Rigid.of(Motion(rotation_deg=(0, 0, 10), centre_mm=(0, 0, 0)), (0.0, 0.0, 0.0)).matrix()
    box = (slice(0, 40), slice(0, 40), slice(30, 60))
    limb = MovedLimb("left arm", np.zeros(3), box, np.ones((40, 40, 30), np.float32), body @ turn)
    new = pet_grid(GRID, PET)
    before = suv.copy()
    moved = pet_ideal(suv, GRID, new, PET, Movement(GRID, body, limb))
    np.testing.assert_array_equal(suv, before)
    still = pet_ideal(suv, GRID, new, PET, Movement(GRID, np.eye(4)))
    assert moved.sum() == pytest.approx(still.sum(), rel=0.01)
    x = new.axes()[0]
    angle = np.deg2rad(10)
    wanted = np.array([40 * np.cos(angle), 40 * np.sin(angle) + 3, 0])
    np.testing.assert_allclose(centre_of(moved * (x > 0), new), wanted, atol=0.3)
    np.testing.assert_allclose(centre_of(moved * (x < 0), new), [-40, 3, 0], atol=0.3)


@pytest.fixture(scope="module")
def leg():
    spec = replace(leg_spec(), limb_motion=LimbMotion("right leg", (0.0, 3.0, 0.0)), motion=Motion((1.0, 0.0, 0.0)))
    return make_scan(spec, 5), spec


def test_a_leg_turns_about_its_hip(leg):
    scan, spec = leg
    person = Person.make(spec.person, 5)
    hip = pivot_of("right leg", person.limbs, person.build.scale)
    limb = scan.movement.limb
    np.testing.assert_allclose(limb.pivot, hip)
    # the joint itself moves with the body alone
    np.testing.assert_allclose(limb.matrix @ [*hip, 1], scan.ct_to_pet @ [*hip, 1], atol=1e-9)
    far = hip - [0, 0, 300]
    away = np.linalg.norm((limb.matrix @ [*far, 1] - scan.ct_to_pet @ [*far, 1])[:3])
    assert away == pytest.approx(300 * 2 * np.sin(np.deg2rad(1.5)), rel=1e-3)
    weight = scan.movement.weight_map()
    right = scan.regions.array % 10 == 2
    assert weight[right].min() == 100
    assert weight[~right].max() == 0


def test_pet_follows_the_truth(leg):
    """The hot shaft of the right femur is where the limb's matrix says, and the left one where the body's does."""
    scan, _ = leg
    bone = scan.tissues.array == 4
    still = make_scan(replace(leg_spec(), motion=Motion((1.0, 0.0, 0.0))), 5)
    assert scan.movement.matrix_at(np.array([80.0, 0, 600])).tolist() == scan.movement.limb.matrix.tolist()
    difference = np.abs(scan.pet_ideal.array - still.pet_ideal.array)
    x = scan.pet_ideal.world(np.argwhere(difference > 0.2))[:, 0]
    assert len(x)
    assert x.min() > 0  # nothing of the other leg changed
    index = np.argwhere(bone & (scan.regions.array % 10 == 2))[::7]
    places = place_after(scan.tissues.world(index), np.ones(len(index)), scan.ct_to_pet, scan.movement.limb.matrix)
    inside = (places[:, 2] > 570) & (places[:, 2] < 630)
    at = np.rint(scan.pet_ideal.index(places[inside])).astype(int)
    here = scan.pet_ideal.array[tuple(at.T)].mean()
    before = np.rint(scan.pet_ideal.index(scan.tissues.world(index)[inside] + [1, 0, 0])).astype(int)
    assert here > 1.15 * scan.pet_ideal.array[tuple(before.T)].mean()


def test_truth_names_the_limb(leg, tmp_path):
    scan, _ = leg
    write_truth(scan, tmp_path)
    content = read_json(tmp_path / "scan.json")["limb_motion"]
    assert content["limb"] == "right leg"
    np.testing.assert_allclose(content["pivot_ras_mm"], scan.movement.limb.pivot)
    np.testing.assert_allclose(content["ct_to_pet_ras_mm"], scan.movement.limb.matrix)
    moved = read_volume(tmp_path / "moved.nii.gz").array
    np.testing.assert_array_equal(moved, scan.movement.weight_map())


@pytest.mark.parametrize("limb", ["head", "left arm", "right forearm", "left leg", "right lower_leg"])
def test_limbs_are_found_on_a_whole_body(limb):
    person = Person.make(PersonSpec(), 3)
    low, high = person.bounds()
    size = np.ceil((high - low) / 8).astype(int)
    canvas = Canvas(Grid((int(size[2]), int(size[1]), int(size[0])), (8.0, 8.0, 8.0), tuple(map(float, low))))
    person.paint(canvas)
    move = movement_of(Motion(), LimbMotion(limb, (1.0, 0.0, 0.0)), person.limbs, person.build.scale, canvas)
    assert move.limb is not None
    share = (move.limb.weight > 0.5).sum() / (canvas.regions > 0).sum()
    # parts of body weight: head 8, arm 5, forearm and hand 2, leg 16, lower leg and foot 6 % (Winter, table 4.1)
    wanted = {"head": 0.08, "arm": 0.05, "forearm": 0.022, "leg": 0.16, "lower_leg": 0.061}[limb.split()[-1]]
    assert 0.5 * wanted < share < 1.6 * wanted
    # the farthest point lies about a lever's length from the joint
    index = np.argwhere(move.limb.weight > 0.5) + [part.start for part in move.limb.box]
    world = index[:, ::-1] * 8 + low
    reach = np.linalg.norm(world - move.limb.pivot, axis=1).max()
    assert reach == pytest.approx(lever_of(limb, person.limbs, person.build.scale), rel=0.2)


def test_a_limb_out_of_view_does_not_move():
    scan = make_scan(replace(leg_spec(deposits=()), limb_motion=LimbMotion("head", (3.0, 0.0, 0.0))), 5)
    assert scan.movement.limb is None


def test_unknown_limb_is_named():
    with pytest.raises(ValueError, match="limb 'tail' is not one of head"):
        from_mapping({"limb_motion": {"limb": "tail", "rotation_deg": [0, 0, 1]}})
