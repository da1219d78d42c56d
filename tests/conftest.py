"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def testdata() -> Path:
    """Folder of the real scans, or a skip that says why."""
    folder = os.environ.get("CALCIFLOW_TESTDATA")
    if not folder:
        pytest.skip("CALCIFLOW_TESTDATA is not set: it names the folder of real test scans")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"CALCIFLOW_TESTDATA names no folder: {folder}")
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long ones first: a group stays with one worker, and begun last it would keep that at work while others wait."""

    def turn(item: pytest.Item) -> int:
        group = item.get_closest_marker("xdist_group")
        study = group is not None and group.args == ("study",)  # the longest
        ranks = (item.get_closest_marker("slurm"), study, group, item.get_closest_marker("slow"))
        return next((place for place, found in enumerate(ranks) if found), len(ranks))

    items.sort(key=turn)
