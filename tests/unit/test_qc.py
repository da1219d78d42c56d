"""The page of quality control: what is on it, where pictures put things, what it must never let through."""

import base64
import hashlib
import importlib.util
import io
import json
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from calciflow.images import Volume
from calciflow.labels import region_label
from calciflow.pages.drawing import fuse, grey, heat, path_of, rings
from calciflow.pages.place_views import place_views
from calciflow.pages.planes import body_box, plane, project, sample_pet, square, turntable
from calciflow.pages.scan_views import Lesion, Scan, find_lesions, lesion_level, projected_rings, slice_scale
from calciflow.pages.scan_words import checks, facts, imaged_regions, score_table
from calciflow.pages.tables import number, p_value
from calciflow.qc import draw_scan
from calciflow.tables import read_table

_SPEC = importlib.util.spec_from_file_location("page_inputs", Path(__file__).parent.parent / "page_inputs.py")
assert _SPEC is not None
assert _SPEC.loader is not None
inputs = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(inputs)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    keywords: dict[str, Any] = inputs.scan_files(tmp_path_factory.mktemp("scan"))
    draw_scan(**keywords)
    return keywords


def page_of(keywords: dict[str, Any]) -> str:
    return Path(keywords["page"]).read_text(encoding="utf-8")


def synthetic(to_pet: Any = lambda points: points) -> Scan:
    made = inputs.arrays()
    ct, pet = Volume(made["ct"], inputs.affine()), Volume(made["suv"], inputs.affine())
    return Scan(ct, pet, made["tissues"], made["regions"], made["lesions"], to_pet)


class TestPictures:
    def test_patients_right_is_on_the_left_and_superior_on_top(self) -> None:
        array = np.zeros((10, 20, 30), np.float32)
        array[8, 15, 25] = 1.0  # superior, anterior, right
        for kind, place in (("coronal", (1, 4)), ("sagittal", (1, 4)), ("axial", (4, 4))):
            assert np.argwhere(project(array, kind)).tolist() == [list(place)]

    def test_pixels_are_square_whatever_the_voxels(self) -> None:
        # A ball of 30 mm radius on voxels of 5 x 3 x 2.5 mm is a disc, as wide as high, in every view.
        ball = inputs.ball((30, 35, 45), (30.0, 30.0, 30.0)).astype(np.float32)
        for kind, level in (("axial", 30), ("coronal", 35), ("sagittal", 45)):
            disc = plane(kind, ball.shape, inputs.SPACING, level, 1.0).sample(ball) > 0.5
            heights, widths = np.ptp(np.argwhere(disc), axis=0) + 1
            assert heights == pytest.approx(60, abs=5), kind
            assert widths == pytest.approx(60, abs=5), kind

    def test_pet_is_drawn_where_the_transform_puts_it(self) -> None:
        # The PET lies 12 mm to the patient's right; the mapping knows, so the focus shows at its place on the CT.
        made = inputs.arrays()
        moved = inputs.affine()
        moved[0, 3] += 12.0
        ct, pet = Volume(made["ct"], inputs.affine()), Volume(made["suv"], moved)
        where = plane("axial", ct.array.shape, ct.spacing, 30, 1.0)
        right = sample_pet(ct, pet, lambda p: p + np.array([12.0, 0.0, 0.0]), where.indices)
        wrong = sample_pet(ct, pet, lambda p: p, where.indices)
        truth = where.sample(made["suv"])
        assert np.nanmax(np.abs(right - truth)) < 1e-4
        assert np.nanmax(np.abs(wrong - truth)) > 3

    def test_outside_the_pet_is_not_zero_uptake(self) -> None:
        made = inputs.arrays()
        ct = Volume(made["ct"], inputs.affine())
        short = Volume(
            made["suv"][20:], inputs.affine() @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 20], [0, 0, 0, 1]])
        )
        below = plane("axial", ct.array.shape, ct.spacing, 5, 3.0)
        assert np.isnan(sample_pet(ct, short, lambda p: p, below.indices)).all()

    def test_outline_encloses_the_mask(self) -> None:
        mask = np.zeros((12, 14))
        mask[3:7, 5:11] = 1
        (ring,) = rings(mask)
        x, y = ring.T
        area = abs(np.sum(x * np.roll(y, 1) - y * np.roll(x, 1))) / 2
        assert area == pytest.approx(24, abs=1)  # 4 x 6 pixels; corners are cut at half a pixel
        assert (x.min(), x.max(), y.min(), y.max()) == (5, 11, 3, 7)

    def test_outline_at_the_border_is_closed(self) -> None:
        assert len(rings(np.ones((4, 4)))) == 1
        assert path_of(rings(np.ones((4, 4)))).endswith("Z")
        assert path_of(rings(np.zeros((4, 4)))) == ""

    def test_outline_of_a_lesion_lies_on_its_shadow(self) -> None:
        scan = synthetic()
        row = inputs.lesion_row(1)
        (lesion,) = find_lesions(read_rows([row]), scan.lesions)
        for kind in ("coronal", "sagittal"):
            _, middle, _ = projected_rings(scan, lesion, kind, 1.5)
            z, y, x = inputs.LESIONS[1][0]
            across = {"coronal": (89 - x, 2.5), "sagittal": (69 - y, 3.0)}[kind]
            assert middle[0] == pytest.approx((across[0] + 0.5) * across[1] / 1.5, abs=1)
            assert middle[1] == pytest.approx((59 - z + 0.5) * 5.0 / 1.5, abs=1)

    def test_level_is_the_largest_section(self) -> None:
        scan = synthetic()
        lesions = find_lesions(read_rows([inputs.lesion_row(label) for label in inputs.LESIONS]), scan.lesions)
        for lesion in lesions:
            centre = inputs.LESIONS[lesion.number][0]
            level, middle = lesion_level(scan, lesion)
            assert (level, *middle) == pytest.approx(centre, abs=0.6)

    def test_turning_by_half_mirrors_the_view(self) -> None:
        array = np.zeros((4, 21, 31), np.float32)
        array[2, 5, 25] = 7.0
        views = turntable(array, 4)
        assert views.max(axis=(1, 2)).tolist() == [7.0] * 4  # no view loses it
        columns = [float(np.argwhere(view)[:, 1].mean()) - (views.shape[2] - 1) / 2 for view in views]
        assert columns[0] == pytest.approx(-10, abs=1)  # 10 voxels to the patient's right: left of the middle
        assert columns[2] == pytest.approx(10, abs=1)  # from behind it is on the other side

    def test_projections_of_ct_and_pet_share_their_middle(self) -> None:
        picture = np.zeros((40, 30), np.float32)
        picture[19:21, 14:16] = 1
        for spacing, pixel in (((5.0, 2.5), 1.5), ((3.0, 3.0), 1.5), ((3.27, 0.98), 1.5)):
            made = square(picture, spacing, pixel)
            middle = (np.argwhere(made > 0.5) - (np.array(made.shape) - 1) / 2).mean(axis=0)
            np.testing.assert_allclose(middle, 0, atol=0.01)

    def test_scales(self) -> None:
        assert grey(np.array([-5.0, 0.0, 5.0, 10.0, 20.0, np.nan]), 0, 10).tolist() == [0, 0, 128, 255, 255, 0]
        assert grey(np.array([0.0, 10.0]), 0, 10, inverse=True).tolist() == [255, 0]
        lightness = heat(np.linspace(0, 6, 50), 6.0) @ np.array([0.2126, 0.7152, 0.0722])
        assert (np.diff(lightness) >= 0).all()

    def test_no_uptake_leaves_the_ct_as_it_is(self) -> None:
        base = np.full((3, 3), 90, np.uint8)
        for value in (0.0, 0.5, np.nan):
            assert (fuse(base, np.full((3, 3), value), 6.0) == 90).all()
        assert not (fuse(base, np.full((3, 3), 3.0), 6.0) == 90).all()


def read_rows(rows: list[dict[str, Any]]) -> Any:
    import pandas as pd

    return pd.DataFrame(rows)


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0.031234, "0.0312"),
            (1234.5, "1234"),
            (12.0, "12"),
            (0, "0"),
            (None, "n/a"),
            (float("nan"), "n/a"),
            (99.99, "100"),
            (-0.5, "-0.5"),
        ],
    )
    def test_number(self, value: Any, text: str) -> None:
        assert number(value) == text

    @pytest.mark.parametrize(
        ("p", "text"),
        [
            (0.03125, "0.03125"),
            (0.02643, "0.02643"),
            (0.0625, "0.0625"),
            (0.00214, "0.0021"),
            (0.5, "0.500"),
            (1e-6, "< 0.0001"),
            (None, "n/a"),
        ],
    )
    def test_p(self, p: Any, text: str) -> None:
        assert p_value(p) == text


class TestPage:
    def test_says_what_was_measured(self, drawn: dict[str, Any]) -> None:
        page = page_of(drawn)
        for text in (
            "sub-01 ses-01",
            "1 · right thigh · muscle · calcification with uptake",
            "2 · left thigh · subcutaneous · calcification without uptake",
            "5 · left thigh · fascia · uptake without calcification",
            "a correction was tried and rejected",
            "largest residual 6.2 mm (left hand)",
            "80 % of the body on CT is in the PET",
            "The header does not name the tracer.",
            "The PET ends above the knees.",
            "below the smallest volume that counts",
            "near bone, truncated",
            "40 %",
            "61",
            "For research use only",
        ):
            assert text in page, text

    def test_every_lesion_has_its_picture_and_row(self, drawn: dict[str, Any]) -> None:
        page = page_of(drawn)
        for label in inputs.LESIONS:
            assert page.count(f'id="lesion-{label}"') == 1
            assert f'href="#lesion-{label}"' in page
        assert len(re.findall(r'<tr><td class="num"[^>]*><a href="#lesion-', page)) == len(inputs.LESIONS)

    def test_pictures_decode_and_are_not_empty(self, drawn: dict[str, Any]) -> None:
        uris = re.findall(r'"data:image/(?:png|jpeg);base64,([^"]+)"', page_of(drawn))
        assert len(uris) >= 4 + 18 + 2 * len(inputs.LESIONS)
        for uri in uris:
            with Image.open(io.BytesIO(base64.b64decode(uri))) as image:
                assert min(image.size) > 30

    def test_asks_nothing_of_anyone(self, drawn: dict[str, Any]) -> None:
        page = page_of(drawn)
        assert not re.findall(r'(?:src|href|action)="(?!data:|#)[^"]*"', page)
        assert "url(" not in page
        assert "@import" not in page

    def test_only_the_pages_own_script_may_run(self, drawn: dict[str, Any]) -> None:
        page = page_of(drawn)
        (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}'" in page
        assert not re.findall(r"\son[a-z]+=", page)

    def test_same_input_same_bytes(self, drawn: dict[str, Any], tmp_path: Path) -> None:
        again = drawn | {"page": str(tmp_path / "a.html"), "mip": str(tmp_path / "a.png")}
        draw_scan(**again)
        for name in ("page", "mip"):
            assert Path(again[name]).read_bytes() == Path(drawn[name]).read_bytes()

    def test_strings_from_outside_stay_text(self, tmp_path: Path) -> None:
        hostile = "<img src=x onerror=alert(1)>\"'{{ 7 * 7 }}</script>"
        keywords = inputs.scan_files(tmp_path, hostile=hostile)
        draw_scan(**keywords)
        page = page_of(keywords)
        assert "<img src=x" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;" in page
        assert "{{ 7 * 7 }}" in page

    def test_scan_without_lesions(self, tmp_path: Path) -> None:
        keywords = inputs.scan_files(tmp_path, labels=())
        draw_scan(**keywords)
        assert "No lesion was found in this scan." in page_of(keywords)
        assert Path(keywords["mip"]).stat().st_size > 500

    def test_many_lesions_are_capped_and_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("calciflow.qc.MAX_DRAWN", 1)
        keywords = inputs.scan_files(tmp_path)
        draw_scan(**keywords)
        page = page_of(keywords)
        assert "Drawn are the 1 largest lesions; the other 2 stand in the table only." in page
        assert 'id="lesion-5"' in page  # the one of 4.2 ml
        assert 'id="lesion-1"' not in page

    def test_lesion_that_the_map_lacks_is_an_error(self, tmp_path: Path) -> None:
        keywords = inputs.scan_files(tmp_path, labels=(1, 2))
        other = inputs.scan_files(tmp_path / "other", labels=(1,))
        with pytest.raises(ValueError, match="lesion 2 of the table is not in the label map"):
            draw_scan(**(keywords | {"lesions": other["lesions"]}))

    def test_sparse_json(self, tmp_path: Path) -> None:
        # What a stage did not write is not stated, rather than an error: the page must not be what stops a scan.
        keywords = inputs.scan_files(tmp_path)
        for name in ("screening", "suv_json", "xfm_json", "findings"):
            Path(keywords[name]).write_text("{}")
        draw_scan(**keywords)
        assert "No stage gave a warning." in page_of(keywords)

    def test_projection_png(self, drawn: dict[str, Any]) -> None:
        with Image.open(drawn["mip"]) as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
        # Two views of 225 mm at 1.5 mm side by side, 300 mm high.
        assert pixels.shape[:2] == (200 + 14 + 10, 2 * 150 + 16)  # letters of 14 pixels above
        vermilion = (np.abs(pixels - np.array([0xD5, 0x5E, 0x00])).sum(axis=2) < 12).nonzero()
        assert len(vermilion[0]) > 50  # the muscle lesion, in both halves
        assert vermilion[1].min() < 75 < 150 + 16 < vermilion[1].max()  # patient's right: left in either half


def test_warnings_come_as_text_or_with_a_code(tmp_path: Path) -> None:
    keywords = inputs.scan_files(tmp_path)
    Path(keywords["findings"]).write_text(json.dumps({"warnings": ["plain text", {"code": "only_code"}]}))
    draw_scan(**keywords)
    page = page_of(keywords)
    assert "plain text" in page
    assert "only code" in page


@pytest.mark.parametrize(
    ("verdict", "residual", "level"),
    [("kept", 2.0, "good"), ("kept", 6.0, "look"), ("rejected", 2.0, "look"), ("untestable", None, "look")],
)
def test_registration_asks_to_be_looked_at(verdict: str, residual: float | None, level: str) -> None:
    told = {
        "screening": {"verdict": "accepted"},
        "suv": {},
        "registration": {
            "gate": {"verdict": verdict, "reason": "no hot bone"},
            "residual_mm": {"left upper_arm": residual},
            "tolerance_mm": 3.0,
        },
        "findings": {},
        "anatomy": {},
    }
    (check,) = [c for c in checks(told, read_rows([inputs.lesion_row(1)])) if c.name == "Registration"]
    assert check.level == level
    assert ("no hot bone" in check.detail) == (verdict in ("rejected", "untestable"))
    assert ("left upper arm" in check.detail) == (residual is not None)


def told_of(registration: dict[str, Any], **suv: Any) -> dict[str, dict[str, Any]]:
    return {
        "screening": {"verdict": "accepted"},
        "suv": suv,
        "registration": registration,
        "findings": {},
        "anatomy": {},
    }


def test_numbers_of_the_checks_come_with_their_units() -> None:
    """Shift by Pythagoras, the largest of the turns, and values of the sheet counted."""
    registration = {
        "gate": {"verdict": "kept"},
        "shift_mm": [3.0, 4.0, 12.0],
        "rotation_deg": [0.5, -2.0, 1.0],
        "residual_mm": 1.5,
        "tolerance_mm": 3.0,
        "pet_coverage": 0.5,
    }
    told = told_of(registration, uptake_minutes=62.0, whole_body_mean_suv=1.1, overrides={"weight_kg": 70})
    found = {check.name: check for check in checks(told, read_rows([inputs.lesion_row(1)]))}
    assert found["Registration"].detail == "shift 13 mm, rotation 2°, largest residual 1.5 mm (body)"
    assert found["SUV"].detail == (
        "scan 62 min after injection, mean of the body 1.1 g/ml, 1 value(s) from the sheet, not the header"
    )
    assert (found["Coverage"].verdict, found["Coverage"].level) == ("50 % of the body on CT is in the PET", "look")
    single = told_of({"gate": {"verdict": "kept"}, "shift_mm": 2.0, "rotation_deg": -1.0})
    found = {check.name: check for check in checks(single, read_rows([inputs.lesion_row(1)]))}
    assert found["Registration"].detail == "shift 2 mm, rotation 1°"
    assert "Coverage" not in found


def test_facts_are_said_in_words_and_long_lists_by_their_span() -> None:
    suv = {"factors": [float(n) for n in range(1, 21)], "names": [str(n) for n in range(20)], "stored": True}
    suv |= {"none": None, "units": "Bq/ml", "inner": {"weight_kg": 70.0}}
    (pairs,) = [pairs for title, pairs in facts(told_of({}, **suv)) if title == "SUV"]
    assert dict(pairs) == {
        "factors": "20 values, 1 to 20",
        "stored": "yes",
        "units": "Bq/ml",
        "inner: weight kg": "70",
    }


def test_a_scan_without_scores_has_an_empty_table() -> None:
    columns = ["modality", "region", "side", "score"]
    assert score_table(pd.DataFrame(columns=columns)).rows == []
    rows = [
        ("petct", "total", None, 3),
        ("ct", "hand", "left", 1),
        ("petct", "hand", "left", None),
        ("mr", "hand", "left", 2),
    ]
    table = score_table(pd.DataFrame([dict(zip(columns, row, strict=True)) for row in rows]))
    assert table.columns[-1].key == "mr", "one that nobody knows stands last"
    assert [row[0].text for row in table.rows] == ["hand", "total"]
    assert [cell.text for cell in table.rows[0]].count("n/a") == 1


def test_limbs_are_named_that_were_corrected_or_lie_apart() -> None:
    registration = {
        "gate": {"verdict": "kept"},
        "residual_mm": {"left hand": None},
        "tolerance_mm": 3.0,
        "limbs": {"head": {"verdict": "kept"}, "left upper_arm": {"verdict": "kept"}, "left hand": {"verdict": "x"}},
        "misregistered": ["left hand", "left fingers"],
    }
    told = {"screening": {}, "suv": {}, "registration": registration, "findings": {}, "anatomy": {}}
    (check,) = [c for c in checks(told, read_rows([inputs.lesion_row(1)])) if c.name == "Registration"]
    assert check.level == "look"
    assert "corrected on their own: head, left upper arm" in check.detail
    assert "misregistered: left hand, left fingers" in check.detail


def hands_scan(to_pet: Any) -> Scan:
    """The synthetic body as two hands and pelvis: bone runs through all of them."""
    made = inputs.arrays()
    left = made["regions"] == region_label("thigh", "left")
    made["regions"][left] = region_label("hand", "left")
    made["regions"][30:][made["regions"][30:] == region_label("thigh", "right")] = region_label("pelvis", "right")
    ct, pet = Volume(made["ct"], inputs.affine()), Volume(made["suv"], inputs.affine())
    return Scan(ct, pet, made["tissues"], made["regions"], made["lesions"], to_pet)


class TestPlaces:
    registration: ClassVar[dict[str, Any]] = {
        "tolerance_mm": 3.0,
        "residual_mm": {"left hand": 4.2, "left pelvis": 0.0},
        "misregistered": ["left hand"],
        "limbs": {"left hand": {"verdict": "rejected", "shift_mm": 9.0}},
    }

    def test_what_is_in_view_is_drawn_with_what_is_left_of_its_motion(self) -> None:
        places = place_views(hands_scan(lambda points: points), lambda points: points, self.registration)
        assert {place.name: place.beyond for place in places} == {"left hand": True, "pelvis": False}
        hand, pelvis = places
        assert "4.2 mm left" in hand.note
        assert "rejected" in hand.note
        assert pelvis.note == "nothing left to correct"
        assert [len(place.views) for place in places] == [1, 1]
        # The bone of 240 mm by 30 by 15 mm runs along z: the plane with most of it holds that axis.
        assert {letters[2] for letters in (view.letters for place in places for view in place.views)} == {"S"}

    def test_what_was_moved_is_also_drawn_as_the_header_had_it(self) -> None:
        moved = place_views(hands_scan(lambda points: points + 9.0), lambda points: points, self.registration)
        assert [len(place.views) for place in moved] == [2, 2]
        before, after = moved[0].views
        assert "as the header has it" in before.label
        assert before.image != after.image
        assert [line.path for line in before.outlines] == [line.path for line in after.outlines]

    def test_nothing_is_said_of_what_registration_does_not_tell(self) -> None:
        places = place_views(hands_scan(lambda points: points), lambda points: points, {})
        assert [place.note for place in places] == ["what is left cannot be measured"] * 2
        assert not any(place.beyond for place in places)


def test_regions_out_of_view_are_named_apart() -> None:
    seen, unseen = imaged_regions(
        {"left hand": {"ct": 1.0, "pet": 0.4}, "head": {"ct": 0.0, "pet": 0.0}, "neck": {"ct": None, "pet": None}}
    )
    assert seen == [("left hand", "100 %", "40 %", False)]
    assert unseen == ["head", "neck"]


def test_heat_scale_follows_the_scan() -> None:
    box = (slice(0, 1),) * 3
    assert slice_scale([]) == 6.0
    assert slice_scale([Lesion({"suv_max": peak}, box) for peak in (1.0, 2.0, 11.0, 14.0, 14.5)]) == 15.0
    assert slice_scale([Lesion({"suv_max": 500.0}, box)]) == 50.0


def test_box_holds_body_and_lesions() -> None:
    tissues = np.zeros((20, 20, 20), np.uint8)
    tissues[5:10, 6:9, 7:8] = 3
    lesions = np.zeros_like(tissues)
    assert body_box(tissues, lesions, (2, 0, 30)) == (slice(3, 12), slice(6, 9), slice(0, 20))
    lesions[15, 2, 7] = 1
    assert body_box(tissues, lesions, (0, 0, 0)) == (slice(5, 16), slice(2, 9), slice(7, 8))
    assert body_box(lesions * 0, lesions * 0, (1, 1, 1)) == (slice(0, 20),) * 3


def test_lesion_without_volumes_sorts_last() -> None:
    box = (slice(0, 1),) * 3
    assert Lesion({"ct_volume_ml": float("nan"), "pet_volume_ml": None}, box).size == 0.0
    assert Lesion({"ct_volume_ml": 0.2, "pet_volume_ml": 1.5}, box).size == 1.5


def test_table_is_read_as_written(drawn: dict[str, Any]) -> None:
    rows = read_table(drawn["table"], text_columns=("flags",))
    assert rows["lesion_id"].tolist() == list(inputs.LESIONS)
