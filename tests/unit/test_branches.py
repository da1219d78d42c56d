"""The bar of ``make coverage`` is one of branches alone."""

import json

import pytest

import branches


@pytest.mark.parametrize(("covered", "status"), [(919, 1), (920, 0), (1000, 0)])
def test_lines_do_not_make_up_for_branches(covered, status, tmp_path, capsys):
    totals = {"covered_lines": 10_000, "num_statements": 10_000, "covered_branches": covered, "num_branches": 1000}
    path = tmp_path / "figures.json"
    path.write_text(json.dumps({"totals": totals | {"percent_covered": 99.0}}))
    assert branches.main(str(path)) == status
    told = capsys.readouterr()
    assert f"lines 100.0 %, branches {covered / 10:.2f} % ({covered} of 1000), both together 99.0 %" in told.out
    assert ("under the bar" in told.err) == bool(status)
