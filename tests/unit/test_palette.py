"""Colours of compartments stay apart for every kind of colour vision, and on the page's light and dark ground."""

from itertools import combinations

import numpy as np
import pytest

from calciflow.pages.palette import COMPARTMENT_COLOURS

# Machado, Oliveira & Fernandes, IEEE Trans Vis Comput Graph 2009; 15:1291-1298: linear RGB as it is seen.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])
APART = 15.0
"""CIE 1976 difference: 2.3 is just noticed side by side; small marks apart from each other need several times that."""


def linear(colour):
    value = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    ratio = XYZ @ np.clip(rgb, 0, 1) / WHITE
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISIONS)
def test_compartments_are_told_apart(vision):
    seen = {name: lab(np.array(VISIONS[vision]) @ linear(colour)) for name, colour in COMPARTMENT_COLOURS.items()}
    for a, b in combinations(seen, 2):
        assert np.linalg.norm(seen[a] - seen[b]) > APART, f"{a} and {b}"


@pytest.mark.parametrize("ground", ["#ffffff", "#171c23"])
def test_compartments_stand_out_from_the_paper(ground):
    paper = XYZ[1] @ linear(ground)
    for name, colour in COMPARTMENT_COLOURS.items():
        light, dark = sorted((float(XYZ[1] @ linear(colour)), float(paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 2.2, name


def test_known_colours():
    assert lab(linear("#ff0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    assert lab(linear("#ffffff")) == pytest.approx([100, 0, 0], abs=0.05)
