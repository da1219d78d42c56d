"""What a stage asks for, against what was measured over small and large scans."""

import json
from pathlib import Path

import pytest

from calciflow.forecast import LEVELS, forecast, in_words
from calciflow.resources import (
    CPU_S,
    MEMORY_MB,
    UNKNOWN,
    fit,
    index_memory_mb,
    index_runtime_min,
    memory_mb,
    read_measured,
    runtime_min,
    voxels,
)
from calciflow.sheets import Scan
from calciflow.study import IMAGES, SCAN_FILES

REPOSITORY = Path(__file__).resolve().parents[2]
MEASURED = read_measured(REPOSITORY / "tests" / "benchmark" / "resources.tsv")
STAGES = sorted({row["stage"] for row in MEASURED})
CHAIN = sorted(stage for level in LEVELS for stage in level)


def test_every_rule_of_a_scan_is_measured():
    assert sorted([*CHAIN, "index"]) == STAGES == sorted(MEMORY_MB) == sorted(CPU_S)
    text = {path.stem: path.read_text() for path in (REPOSITORY / "rules").glob("*.smk")}
    for stage in CHAIN:
        rule = stage.split("-")[0]
        name = {"convert": "convert-{modality}", "review": "lesions"}.get(rule, rule)
        assert f'mem_mb=memory("{name}")' in text[rule]
        assert f'runtime=minutes("{name}")' in text[rule]
    assert "mem_mb=lambda wildcards, attempt: index_memory_mb(attempt)" in text["index"]


def asked(stage, size):
    """Memory and time that the rule asks for at its first try."""
    if stage == "index":
        return index_memory_mb(), index_runtime_min()
    stage = "lesions" if stage == "review" else stage
    return memory_mb(stage, size), runtime_min(stage, size)


def size_of(row):
    return {"ct": int(row["ct_voxels"]), "pet": int(row["pet_voxels"])}


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_asked_for_holds_what_was_measured(stage):
    rows = [row for row in MEASURED if row["stage"] == stage]
    assert len(rows) >= 4
    assert max(int(row["ct_voxels"]) for row in rows) > 50 * min(int(row["ct_voxels"]) for row in rows)
    fits = [asked(stage, size_of(row))[0] >= float(row["max_rss_mb"]) + 200 for row in rows]
    assert sum(fits) >= 0.95 * len(fits)
    assert all(60 * asked(stage, size_of(row))[1] >= 2 * float(row["cpu_seconds"]) for row in rows)
    if stage not in ("index", "review"):
        # And no more than a cluster would mind; converting NIfTI takes more than converting DICOM of the same size.
        assert all(asked(stage, size_of(row))[0] <= 3 * float(row["max_rss_mb"]) + 600 for row in rows)


def test_index_asks_for_a_large_scan_before_it_knows_the_scan():
    """Sizes of hospitals: the slices of an adult from head to toes, and the matrices that scanners give."""
    lengths, spacings = (1600, 1750, 1900), (1.5, 2.0, 2.5, 3.0, 3.75, 4.0, 5.0)
    pets = [(matrix, length / step) for matrix in (128, 144, 168, 200, 256) for length in lengths for step in (2, 3, 4)]
    sizes = [
        {"ct": 512 * 512 * int(length / step), "pet": matrix * matrix * int(slices)}
        for length in lengths
        for step in spacings
        for matrix, slices in pets
    ]
    holds = [index_memory_mb() >= MEMORY_MB["index"].of(size) + 250 for size in sizes]
    assert sum(holds) >= 0.95 * len(holds)
    assert index_memory_mb(2) == 2 * index_memory_mb() >= max(MEMORY_MB["index"].of(size) for size in sizes) + 250
    assert index_memory_mb() < 5000, "a laptop of 8 GB has room for it"
    assert index_runtime_min(3) == 3 * index_runtime_min()


def test_the_lines_are_those_of_the_table():
    for lines, column in ((MEMORY_MB, "max_rss_mb"), (CPU_S, "cpu_seconds")):
        fitted = fit(MEASURED, column)
        assert fitted == lines


def test_a_further_try_gets_more():
    size = {"ct": 10**8, "pet": 10**7}
    assert memory_mb("lesions", size, 2) == 2 * memory_mb("lesions", size)
    assert runtime_min("lesions", size, 3) == 3 * runtime_min("lesions", size)


def test_the_size_is_what_index_measured(tmp_path):
    path = tmp_path / "x_screening.json"
    assert voxels(path) == UNKNOWN, "not indexed yet: taken for a large one"
    path.write_text(json.dumps({"size": {"ct": [512, 512, 300], "pet": [200, 200, 250]}}))
    assert voxels(path) == {"ct": 512 * 512 * 300, "pet": 200 * 200 * 250}
    path.write_text(json.dumps({"size": {"pet": [200, 200, 250]}}) + " ")
    assert voxels(path) == {"ct": 0, "pet": 200 * 200 * 250}, "a PET alone"
    path.write_text("{")
    assert voxels(path) == UNKNOWN


def test_forecast(tmp_path):
    scans = [Scan(f"sub-{n:02}", "ses-01", None, {}) for n in range(20)]
    scans.append(Scan("sub-99", "ses-01", None, {}, exclude="no consent"))
    size = {"ct": [512, 512, 400], "pet": [200, 200, 500]}
    for number in range(10):
        base = tmp_path / "results" / f"sub-{number:02}" / "ses-01"
        base.mkdir(parents=True)
        verdict = "refused" if number == 9 else "accepted"
        (base / f"sub-{number:02}_ses-01_screening.json").write_text(json.dumps({"verdict": verdict, "size": size}))
        if number < 2:
            for name in SCAN_FILES:
                (base / f"sub-{number:02}_ses-01_{name}").touch()
    total = forecast(tmp_path, scans)
    assert {key: total[key] for key in ("scans", "unindexed", "refused", "finished", "todo")} == {
        "scans": 20,
        "unindexed": 10,
        "refused": 1,
        "finished": 2,
        "todo": 7,
    }
    assert total["jobs"] == 2 + 7 + 4, "two for ten scans to index, one a scan, and four of the study"
    assert total["jobs_split"] == 2 + 7 * len(CHAIN) + 4
    one = {"ct": 512 * 512 * 400, "pet": 200 * 200 * 500}
    assert total["peak_memory_mb"] == max(
        index_memory_mb(), *(sum(memory_mb(stage, one) for stage in level) for level in LEVELS)
    )
    assert total["cpu_hours"] > 7 * CPU_S["tissues"].of(one) / 3600
    assert 0 < total["disk_gb_without_images"] < total["disk_gb"] / 10
    again = [Scan("sub-05", "ses-02", None, {}), Scan("sub-05", "ses-03", None, {})]
    for scan in again:
        base = tmp_path / "results" / "sub-05" / scan.session_id
        base.mkdir(parents=True)
        (base / f"{scan.prefix}_screening.json").write_text(json.dumps({"verdict": "accepted", "size": size}))
    assert forecast(tmp_path, [*scans, *again])["jobs"] == total["jobs"] + 2 + 2, (
        "two are compared with the ones before"
    )
    text = in_words(total)
    kept, bare = (f"{total[name]:.1f} GB" for name in ("disk_gb", "disk_gb_without_images"))
    assert f"{kept} kept in results/ by all indexed scans together ({bare} with keep_images: false)" in text
    assert "10 not indexed yet" in text
    assert "index first" in text
    for number in range(9):
        for name in IMAGES:
            (tmp_path / "results" / f"sub-{number:02}" / "ses-01" / f"sub-{number:02}_ses-01_{name}").unlink(True)
    assert forecast(tmp_path, scans)["finished"] == 0
    without = forecast(tmp_path, scans, keep_images=False)
    assert without["finished"] == 2
    assert f"{bare} kept in results/ by all indexed scans together ({kept} with keep_images: true)" in in_words(without)
