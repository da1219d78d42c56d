"""Shells of calcium in a buttock's fat against solid deposits and open arcs, on made volumes."""

import numpy as np
import pytest
from scipy import ndimage

from calciflow.deposits.ct import Deposit
from calciflow.deposits.shell import in_buttock, injection_scars, is_shell, with_scars
from calciflow.images import Volume
from calciflow.labels import TISSUES, region_label
from calciflow.measure.density import Density

FAT = -100.0


def made(spacing, inside, seed=0):
    """A deposit in fat as CT shows it: ``inside`` of (z, y, x) mm gives HU over the fat; blur 1.6 mm, noise 20 HU."""
    half = np.array([26.0, 26.0, 26.0])
    every = [int(np.ceil(step / 0.5)) for step in spacing]
    fine = [step / n for step, n in zip(spacing, every, strict=True)]
    axes = [np.arange(-h, h + step / 2, step) for h, step in zip(half, fine, strict=True)]
    body = inside(*np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    sigma = [np.hypot(0.7, step / np.sqrt(12.0)) / f for step, f in zip(spacing, fine, strict=True)]
    hu = ndimage.gaussian_filter(body, sigma)[:: every[0], :: every[1], :: every[2]] + FAT
    hu += np.random.default_rng(seed).normal(0, 20, hu.shape)
    parts, _ = ndimage.label(hu > FAT + 200, np.ones((3, 3, 3)))
    mask = parts == np.bincount(parts[parts > 0]).argmax()
    density = Density(1.0, 1.0, float(hu.max()), float(hu[mask].mean()), 0.0, 500.0, FAT)
    box = tuple(slice(0, size) for size in hu.shape)
    peak = tuple(int(v) for v in np.argwhere(mask)[0])
    return Deposit(box, mask, mask, density, None, peak, 10.0), np.rint(hu).astype(np.int16)


def shell(radius, thick=1.6, hu=500.0, core=0.0, gap=None):
    def inside(z, y, x):
        r = np.sqrt(z**2 + y**2 + x**2)
        body = np.where(r <= radius, np.where(r > radius - thick, hu, core), 0.0)
        return body if gap is None else np.where(y > gap * radius, 0.0, body)

    return inside


@pytest.mark.parametrize("radius", [5.0, 7.0, 10.0])
@pytest.mark.parametrize("spacing", [(1.5, 0.9, 0.9), (2.0, 1.2, 1.2)])
def test_a_round_shell_is_hollow(spacing, radius):
    deposit, hu = made(spacing, shell(radius))
    assert is_shell(deposit.voxels, FAT, hu, spacing)


@pytest.mark.parametrize("radius", [3.0, 5.0, 7.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_solid_ball_is_not(radius, seed):
    spacing = (2.0, 1.2, 1.2)
    deposit, hu = made(spacing, shell(radius, core=500.0), seed)
    assert not is_shell(deposit.voxels, FAT, hu, spacing)


def test_nor_is_an_arc_a_tube_or_a_large_rim():
    spacing = (1.5, 1.0, 1.0)
    for form in (
        shell(9.0, gap=-0.2),
        shell(20.0),
        lambda z, y, x: np.where((np.hypot(y, x) < 6) & (np.hypot(y, x) > 4) & (np.abs(z) < 14), 500.0, 0.0),
        lambda z, y, x: np.where((np.abs(y) < 1) & (np.hypot(z, x) < 8), 500.0, 0.0),
    ):
        deposit, hu = made(spacing, form)
        assert not is_shell(deposit.voxels, FAT, hu, spacing)


def test_pieces_of_a_thin_rim_are_one_shell_and_scattered_grains_are_none():
    spacing = (1.5, 1.0, 1.0)
    whole, hu = made(spacing, shell(8.0))
    upper = whole.mask & (np.indices(hu.shape)[0] > hu.shape[0] // 2 + 1)
    lower = whole.mask & (np.indices(hu.shape)[0] < hu.shape[0] // 2 - 1)
    labels = np.full(hu.shape, TISSUES["subcutaneous_fat"], np.uint8)
    labels[:, -3:] = TISSUES["bone"]  # rows grow to the front
    regions = np.full(hu.shape, region_label("pelvis", "left"), np.uint8)
    ct = Volume(hu, np.diag([1.0, 1.0, 1.5, 1.0]))
    pieces = [Deposit(whole.box, mask, mask, whole.density, None, whole.peak, 10.0) for mask in (upper, lower)]
    assert injection_scars(pieces, [0, 1], ct) == [[0, 1]]
    (one,) = with_scars(pieces, ct, labels, regions)
    assert one.flags == ["injection scar?"]
    assert {tuple(v) for v in one.voxels} == {tuple(v) for piece in pieces for v in piece.voxels}
    assert one.density.volume_ml == pytest.approx(2 * whole.density.volume_ml)
    assert one.density.hu_mean == pytest.approx(whole.density.hu_mean)
    solid, dense = made(spacing, shell(8.0, core=500.0))
    pieces = [
        Deposit(solid.box, solid.mask & part, part, solid.density, None, solid.peak, 10.0)
        for part in (np.indices(hu.shape)[0] > hu.shape[0] // 2 + 1, np.indices(hu.shape)[0] < hu.shape[0] // 2 - 1)
    ]
    assert injection_scars(pieces, [0, 1], Volume(dense, ct.affine)) == []


@pytest.mark.parametrize(("core", "flagged"), [(0.0, True), (500.0, False)])
def test_what_keeps_company_with_a_shell_is_doubted_too(core, flagged):
    """A nodule of 6 mm, 20 mm beside a ball of 16 mm: scars of injections if that is hollow, else two deposits."""
    spacing = (1.5, 1.0, 1.0)
    ball, hu = made(spacing, shell(8.0, core=core))
    high = np.indices(hu.shape) * np.array(spacing)[:, None, None, None]
    middle = (np.array(hu.shape) - 1) * spacing / 2.0
    nodule = np.linalg.norm(high - (middle + np.array([0.0, 0.0, 20.0]))[:, None, None, None], axis=0) < 3.0
    sheet = (np.abs(high[1] - middle[1] + 18.0) < 1.5) & (np.abs(high[2] - middle[2]) < 15.0)
    sheet &= np.abs(high[0] - middle[0]) < 3.0
    hu[nodule | sheet] = 400
    labels = np.full(hu.shape, TISSUES["subcutaneous_fat"], np.uint8)
    labels[:, -3:] = TISSUES["bone"]  # rows grow to the front
    regions = np.full(hu.shape, region_label("pelvis", "left"), np.uint8)
    ct = Volume(hu, np.diag([1.0, 1.0, 1.5, 1.0]))
    others = [Deposit(ball.box, mask, mask, ball.density, None, ball.peak, 10.0) for mask in (nodule, sheet)]
    flags = [one.flags for one in with_scars([ball, *others], ct, labels, regions)]
    assert flags == [["injection scar?"] * flagged, ["injection scar?"] * flagged, []]  # the sheet is 30 mm wide


def buttock():
    """A pelvis in slices of 3 mm: fat around muscle and a hip bone on each side, rows growing to the front."""
    y, x = np.meshgrid(np.arange(121) - 60, np.arange(201) - 100, indexing="ij")
    section = np.where(np.hypot(x * 2 / 180.0, y * 2 / 110.0) < 1, TISSUES["subcutaneous_fat"], 0).astype(np.uint8)
    section[np.hypot(x * 2 / 140.0, y * 2 / 70.0) < 1] = TISSUES["muscle"]
    for middle in (-70, 70):
        section[np.hypot(x * 2 - middle, y * 2) < 18] = TISSUES["bone"]
    labels = np.repeat(section[None], 15, axis=0)
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = [-200.0, -120.0, -21.0]
    return labels, Volume(labels.astype(np.int16), affine)


@pytest.mark.parametrize(
    ("y_mm", "region", "there"),
    [(-90.0, "pelvis", True), (90.0, "pelvis", False), (-40.0, "pelvis", False), (-90.0, "thigh", False)],
)
def test_injections_go_into_the_fat_behind_the_hip_bones(y_mm, region, there):
    labels, ct = buttock()
    row = round((y_mm + 120.0) / 2.0)
    box = (slice(2, 13), slice(row - 8, row + 9), slice(112, 129))
    mask = np.zeros((11, 17, 17), bool)
    mask[4:7, 6:11, 6:11] = True
    density = Density(1.0, 1.0, 400.0, 300.0, 0.0, 500.0, FAT)
    deposit = Deposit(box, mask, mask, density, None, (7, row, 120), 10.0)
    regions = np.full(labels.shape, region_label(region, "left"), np.uint8)
    assert in_buttock(deposit, labels, regions, ct) is there
