"""Which nuclide, which agent."""

import pytest

from calciflow.suvrules.tracer import HALF_LIVES, nuclide_candidates, nuclide_of, tracer_doubt


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"code": "C-111A1", "meaning": "^18^Fluorine"}, ["F-18"]),
        ({"code": "C-111A1", "meaning": None}, ["F-18"]),
        ({"code": "77004003", "meaning": ""}, ["F-18"]),
        ({"code": None, "meaning": "18F"}, ["F-18"]),
        ({"code": None, "meaning": "F-18"}, ["F-18"]),
        ({"code": None, "meaning": "Fluorine-18"}, ["F-18"]),
        ({"code": "C-131A1", "meaning": "^68^Gallium"}, ["Ga-68"]),
        ({"code": "C-131A3", "meaning": None}, ["Ga-68"]),
        ({"code": None, "meaning": "Lu-177"}, ["Lu-177"]),
        ({"code": "X", "meaning": "unobtainium"}, []),
        (None, []),
    ],
)
def test_nuclides(item, expected):
    assert nuclide_candidates(item) == expected


def test_half_lives_tell_nuclides_apart():
    assert nuclide_of(6588) == nuclide_of(6586.2) == "F-18"
    assert nuclide_of(4057.7) == nuclide_of(4080) == "Ga-68"
    assert nuclide_of(109.77) is None


# Half-lives of NNDC's NuDat 3 in minutes, hours or days; codes (SRT, SNOMED CT) and meanings of DICOM PS3.16 CID 4020.
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


@pytest.mark.parametrize(
    ("name", "half_life", "words"),
    [
        ("C-11", 20.36 * MINUTE, ("^11^Carbon", "11C", "C11", "Carbon-11")),
        ("N-13", 9.965 * MINUTE, ("^13^Nitrogen", "13N", "Nitrogen 13")),
        ("O-15", 122.24, ("^15^Oxygen", "15O", "O-15")),
        ("F-18", 109.77 * MINUTE, ("^18^Fluorine", "18F", "Fluor-18")),
        ("Cu-62", 9.67 * MINUTE, ("^62^Copper", "Cu-62")),
        ("Cu-64", 12.701 * HOUR, ("^64^Copper", "64Cu")),
        ("Ga-66", 9.49 * HOUR, ("^66^Gallium", "66Ga")),
        ("Ga-68", 67.71 * MINUTE, ("^68^Gallium", "Ga-68")),
        ("Rb-82", 76.4, ("^82^Rubidium", "82Rb")),
        ("Y-86", 14.74 * HOUR, ("^86^Yttrium", "86Y")),
        ("Zr-89", 78.41 * HOUR, ("^89^Zirconium", "89Zr")),
        ("I-124", 4.176 * DAY, ("^124^Iodine", "124I")),
        ("Y-90", 64.05 * HOUR, ("^90^Yttrium", "Y-90")),
        ("Lu-177", 6.6443 * DAY, ("^177^Lutetium", "177Lu")),
    ],
)
def test_every_nuclide_by_its_name_and_half_life(name, half_life, words):
    assert HALF_LIVES[name] == pytest.approx(half_life, rel=0.004)
    assert nuclide_of(half_life) == nuclide_of(1.012 * half_life) == nuclide_of(0.988 * half_life) == name
    for meaning in words:
        assert nuclide_candidates({"code": None, "meaning": meaning}) == [name]


@pytest.mark.parametrize(
    ("codes", "names"),
    [
        (("C-105A1", "40565002"), ["C-11"]),
        (("C-107A1", "21576001"), ["N-13"]),
        (("C-B1038", "80751004"), ["O-15"]),
        (("C-111A1", "77004003"), ["F-18"]),
        (("C-131A3", "35337001"), ["Ga-68"]),
        (("79477007",), ["Ga-66"]),
        (("C-131A1",), ["Ga-66", "Ga-68"]),  # Ga-66 by the standard; headers of Ga-68 carry it
    ],
)
def test_codes_of_nuclides(codes, names):
    for code in codes:
        assert nuclide_candidates({"code": code, "meaning": None}) == names


def test_a_half_life_two_percent_off_is_no_nuclides():
    assert nuclide_of(1.02 * 6586.2) is None
    assert nuclide_of(0.98 * 6586.2) is None


def administration(agent, meaning=None, code=None, nuclide="^18^Fluorine"):
    return {"agent": agent, "agent_code": {"code": code, "meaning": meaning}, "nuclide": {"meaning": nuclide}}


@pytest.mark.parametrize(
    "agent",
    [
        "Sodium fluoride F^18^",
        "NaF",
        "18F-NaF",
        "F18 NaF",
        "Na18F",
        "Sodium Fluoride",
        "Natriumfluorid",
        "FLUORURE DE SODIUM",
    ],
)
def test_names_of_fluoride(agent):
    assert tracer_doubt([administration(agent)], 6586.2) is None


@pytest.mark.parametrize(
    "agent",
    [
        "FDG",
        "Fluorodeoxyglucose",
        "F18-FDG",
        "PSMA-1007",
        "Ga-DOTATATE",
        "Fluorocholine",
        "NaFDG",
        "Solution",
        "",
        None,
    ],
)
def test_other_agents_are_doubted(agent):
    assert tracer_doubt([administration(agent)], 6586.2)


def test_codes_alone_suffice():
    assert tracer_doubt([administration(None, code="129501009")], 6586.2) is None
    assert tracer_doubt([administration(None, code="C-B1032")], 6586.2) is None


def test_contradicting_names_are_doubted():
    assert "FDG" in tracer_doubt([administration("FDG", meaning="Sodium fluoride", code="C-B1032")], 6586.2)


def test_lutetium_stored_as_pet_is_doubted():
    assert "Lu-177" in tracer_doubt([administration("NaF", nuclide="177Lu")], None)
    assert "Lu-177" in tracer_doubt([administration("NaF", nuclide=None)], 574344.0)


def test_no_text_of_the_header_leaks():
    assert "Mustermann" not in tracer_doubt([administration("Dose for Mustermann", nuclide="Erika Mustermann")], None)


@pytest.mark.parametrize(
    ("agent", "named"),
    [
        ("Fludeoxyglucose FDG", "the agent is FDG, not fluoride"),
        ("PSMA-11", "the agent is PSMA, not fluoride"),
        ("Piflufolastat", "the agent is PSMA, not fluoride"),
        ("Ga-68 DOTATATE", "the agent is a somatostatin analogue, not fluoride"),
        ("FAPI-46", "the agent is FAPI, not fluoride"),
        ("Fluorocholine", "the agent is choline, not fluoride"),
        ("Fluorethylcholin", "the agent is choline, not fluoride"),
    ],
)
def test_another_agent_is_named_wherever_it_stands(agent, named):
    assert tracer_doubt([administration(agent)], 6586.2) == named
    assert tracer_doubt([administration(None, meaning=agent)], 6586.2) == named, "in the code's meaning"


def test_fluoride_in_the_codes_meaning_suffices():
    assert tracer_doubt([administration(None, meaning="Sodium fluoride F^18^")], 6586.2) is None
