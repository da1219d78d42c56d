"""People of all builds and poses: weight, regions, sides, nothing where it cannot be."""

import numpy as np
import pytest
from scipy import ndimage

from calciflow.labels import REGION_LABELS, TISSUES
from calciflow.phantom.canvas import Canvas
from calciflow.phantom.model import Person
from calciflow.phantom.physics import blur_resample
from calciflow.phantom.scan import ct_grid, make_scan
from calciflow.phantom.shapes import Grid
from calciflow.phantom.spec import CtSpec, PersonSpec, ScanSpec, from_mapping
from calciflow.phantom.structures import STRUCTURES


def painted(person, step=6.0, seed=3):
    who = Person.make(person, seed)
    low, high = who.bounds()
    size = np.ceil((high - low + 12) / step).astype(int)
    canvas = Canvas(Grid(tuple(int(n) for n in size[::-1]), (step,) * 3, tuple(float(v) for v in low - 6)))
    who.paint(canvas)
    return canvas, who


PEOPLE = [
    PersonSpec(1.70, 24.0, "F", 50, "down"),
    PersonSpec(1.48, 16.5, "F", 30, "up"),
    PersonSpec(1.93, 39.0, "M", 60, "belly"),
    PersonSpec(1.66, 20.0, "F", 45, "down", asymmetry_mm=4.0),
]


@pytest.fixture(scope="module", params=range(4), ids=["usual", "thin", "obese", "uneven"])
def canvas(request):
    return (*painted(PEOPLE[request.param]), PEOPLE[request.param])


def test_body_weighs_what_the_header_says(canvas):
    painted_canvas, _, person = canvas
    litres = float(painted_canvas.cover(painted_canvas.skin).sum(dtype=float)) * 6.0**3 / 1e6
    assert litres == pytest.approx(person.weight_kg, rel=0.05)


def test_mean_uptake_is_that_of_a_whole_body(canvas):
    """Activity is conserved: the mean SUV of a whole body is 1 less what was passed (0.5 to 1.1)."""
    painted_canvas, _, person = canvas
    total = float(painted_canvas.suv.sum(dtype=float)) * 6.0**3 / 1e6
    assert 0.5 < total / person.weight_kg < 1.1


def test_all_regions_are_there_on_both_sides(canvas):
    painted_canvas, _, _ = canvas
    assert set(np.unique(painted_canvas.regions)) == {0, *REGION_LABELS}
    np.testing.assert_array_equal(painted_canvas.regions > 0, painted_canvas.tissues > 0)


def test_right_is_right(canvas):
    painted_canvas, _, _ = canvas
    x = np.broadcast_to(painted_canvas.grid.axes()[0], painted_canvas.regions.shape)
    for label, (region, side) in REGION_LABELS.items():
        if region in ("hand", "fingers", "forearm"):
            continue  # hands on the belly come near the midline
        here = x[painted_canvas.regions == label]
        assert (here > -3).all() if side == "right" else (here < 3).all()


def test_bone_stays_under_the_skin(canvas):
    painted_canvas, _, person = canvas
    bone = painted_canvas.tissues == TISSUES["bone"]
    assert bone.sum() * 6.0**3 / 1e6 > 4.5 * (person.height_m / 1.70) ** 3  # litres
    assert (painted_canvas.skin[bone] < 0).all()


def test_all_tissues_but_none_out_of_place(canvas):
    painted_canvas, _, _ = canvas
    tissue, region = painted_canvas.tissues, painted_canvas.regions
    assert set(np.unique(tissue)) == {0, *TISSUES.values()}
    lung = region[tissue == TISSUES["lung"]] // 10
    assert set(np.unique(lung)) <= {2, 3, 4}  # neck, chest, abdomen
    assert (lung == 2).mean() < 0.02  # the tips alone
    assert 1.5 < (tissue == TISSUES["lung"]).sum() * 6.0**3 / 1e6 < 8


@pytest.mark.parametrize("bmi", [18.0, 25.0, 38.0])
def test_ribs_lie_on_the_lungs(bmi):
    """Between lung and ribs is pleura; the first rib goes round the lung's tip. In fat people there was 3 cm of fat."""
    painted_canvas, _ = painted(PersonSpec(1.7, bmi, "F", 50), step=4.0)
    rib = painted_canvas.structures == STRUCTURES["rib"]
    z = np.arange(rib.shape[0])[:, None, None] * np.ones(rib.shape)
    lung = painted_canvas.tissues == TISSUES["lung"]
    away = ndimage.distance_transform_edt(~lung, sampling=4.0)[rib]
    base = np.quantile(z[lung], 0.3)
    above = z[rib] > base
    assert np.median(away[above]) < 12.0
    assert np.quantile(away[above], 0.95) < 24.0
    assert abs(z[rib].max() - z[lung].max()) * 4.0 < 20.0


def test_fatter_people_have_more_fat():
    shares = []
    for bmi in (18.0, 25.0, 35.0):
        canvas, _ = painted(PersonSpec(1.7, bmi, "F", 50), step=9.0)
        shares.append((canvas.tissues == TISSUES["subcutaneous_fat"]).sum() / (canvas.tissues > 0).sum())
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.3


def test_arms_are_where_they_were_asked_for():
    tips = {}
    for arms in ("down", "up", "belly"):
        person = Person.make(PersonSpec(arms=arms), 1)
        tips[arms] = person.limbs[0].frames["hand"].point(0, 0, 180)
    assert tips["up"][2] > 1900
    assert 550 < tips["down"][2] < 800
    assert tips["down"][0] > 180
    assert abs(tips["belly"][0]) < 80
    assert tips["belly"][1] > 80


@pytest.mark.parametrize("arms", ["down", "up", "belly"])
def test_bones_keep_their_length(arms):
    person = Person.make(PersonSpec(height_m=1.7, arms=arms, bmi=33), 1)
    for item in person.limbs:
        assert np.linalg.norm(item.elbow - item.shoulder) == pytest.approx(300, abs=1)
        assert np.linalg.norm(item.wrist - item.elbow) == pytest.approx(252, abs=1)
        assert np.linalg.norm(item.knuckles - item.wrist) == pytest.approx(92, abs=1)


def test_skeleton_has_normal_uptake_after_the_scanner():
    """SUVmax of T12 and L5 near Rohren 2015 (6.6 and 6.1), muscle and fat below blood."""
    person = Person.make(PersonSpec(), 2)
    grid = Grid((120, 60, 60), (3.0, 3.0, 3.0), (-90.0, -110.0, 960.0))
    canvas = Canvas(grid)
    person.paint(canvas)
    pet = blur_resample(canvas.suv, grid, grid, 6.0)
    z = grid.axes()[2].reshape(-1)
    for low, high in ((985, 1010), (1150, 1180)):
        spine = pet[(z > low) & (z < high)][:, 10:40, 24:36]
        assert 4.5 < spine.max() < 8.5


def test_a_cropped_scan_shows_the_same_body():
    ct = CtSpec(pixel_mm=4.0, matrix=(150, 110), slice_mm=6.0, table=False, blanket=False)
    person = PersonSpec(bmi=26)
    centre = (0.0, 0.0)
    long = make_scan(ScanSpec(person=person, ct=ct, z_range_mm=(300.0, 900.0), centre_xy_mm=centre), 5)
    short = make_scan(ScanSpec(person=person, ct=ct, z_range_mm=(480.0, 720.0), centre_xy_mm=centre), 5)
    inner = slice(30, 70)
    for name in ("tissues", "regions", "ct_ideal", "ct"):
        a, b = getattr(long, name).array[inner], getattr(short, name).array
        np.testing.assert_array_equal(a[2:-2], b[2:-2], err_msg=name)


def test_grid_holds_the_whole_person_with_room_for_the_couch():
    spec = ScanSpec(person=PersonSpec(bmi=22), ct=CtSpec(pixel_mm=2.5, matrix=(256, 200), slice_mm=4.0))
    person = Person.make(spec.person, 1)
    grid = ct_grid(spec, person)
    low, high = person.bounds()
    first = np.array(grid.origin)
    last = first + (np.array(grid.shape)[::-1] - 1) * np.array(grid.spacing)[::-1]
    assert (first < low).all()
    assert (last > high).all()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"height_m": 172.0}, "height_m 172.0 is not in 1.3 to 2.1 m"),
        ({"bmi": 60.0}, "bmi 60.0 is not in 14 to 45 kg/m2"),
        ({"sex": "W"}, "sex 'W' is not M or F"),
        ({"arms": "crossed"}, "arms 'crossed' is not down, up, belly or under"),
        ({"scoliosis_mm": -50.0}, "scoliosis_mm -50.0 is not in -40 to 40 mm"),
        ({"asymmetry_mm": -1.0}, "asymmetry_mm -1.0 is not in 0 to 6 mm"),
        ({"hip_rotation_deg": (0.0, 90.0)}, r"hip_rotation_deg \(0.0, 90.0\) is not in -30 to 60 degrees"),
    ],
)
def test_bodies_that_nobody_has_are_refused(given, says):
    with pytest.raises(ValueError, match=says):
        PersonSpec(**given)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"person": 3}, r"scan\.person: a mapping is expected"),
        ({"person": {"hieght_m": 1.7}}, r"scan\.person: unknown key 'hieght_m'; known are height_m"),
        ({"person": {"bmi": 60}}, "bmi 60.0 is not in 14 to 45"),
    ],
)
def test_a_scan_from_yaml_names_what_it_cannot_read(content, says):
    with pytest.raises(ValueError, match=says):
        from_mapping(content)


def test_what_is_left_empty_in_yaml_is_not_given():
    assert from_mapping({"centre_xy_mm": None, "person": {"bmi": 22}}).centre_xy_mm is None
