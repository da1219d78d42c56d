"""The figures of ``make benchmark-cohort``: by hand on made-up benchmark files, and on one real scan."""

import pytest
from cohort_run import Used, figures, measure


def test_figures_by_hand(tmp_path):
    cells = {"sub-1_lesions": "6.0\t300.5\t4.0", "sub-2_lesions": "4.0\t-\t-", "cohort": "2.0\t100\t1.0"}
    for name, row in cells.items():
        path = tmp_path / "benchmarks" / "a" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\tcpu_time\n{row}\n")
    for name, size in (("results/sub-1/x.nii.gz", 1_500_000), ("logs/x.log", 500_000), ("scans/x.dcm", 9_000_000)):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(size))
    found = {name: value for name, value, _ in figures(2, 2, Used(10.0, 900.0), Used(1.5, 100.0), tmp_path)}
    assert found["jobs"] == 3
    assert found["throughput"] == 720, "2 scans in 10 s"
    assert found["a scan's jobs"] == 6, "12 core-seconds for 2 scans"
    assert found["of that at work"] == 2.5
    assert found["overhead a scan"] == 4, "2 cores for 10 s, less 12 s of jobs: 8 s for 2 scans"
    assert found["overhead a job"] == pytest.approx(8 / 3)
    assert found["share of overhead"] == pytest.approx(40)
    assert found["peak memory, largest job"] == 300.5
    assert (found["disk a scan"], found["files a scan"]) == (1, 1), "sources are not the study's"


@pytest.mark.slow
def test_a_scan_for_real(tmp_path):
    rows = measure(1, 2, tmp_path / "study", keep_images=False)
    found = {name: value for name, value, _ in rows}
    assert found["jobs"] == 11 + 6, "eleven a scan, and screen, dataset, cohort, course, report, audit"
    assert 0 < found["overhead a scan"] < 2 * found["wall time"]
    assert found["of that at work"] > 2
    assert found["peak memory, all processes"] > found["peak memory, largest job"] > 100
    assert found["disk a scan"] < 1.5, "the images are gone"
    assert not list((tmp_path / "study" / "results").rglob("*_ct.nii.gz"))
