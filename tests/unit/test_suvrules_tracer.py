"""Which nuclide, which agent."""

import pytest

from calciflow.suvrules.tracer import nuclide_candidates, nuclide_of, tracer_doubt


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
