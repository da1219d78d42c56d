"""That the tests of a group share a worker: split over two, each group's study and cluster would be made twice."""

import os

import pytest


@pytest.mark.xdist_group("held")
def test_groups_hold(request):
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("all tests run in one process")
    assert request.node.nodeid.endswith("@held"), "this pytest-xdist groups no tests with this pytest: see envs/"
