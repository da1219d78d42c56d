"""The stage segment: TotalSegmentator's command line, its environment, and what is said where it is not there."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_totalsegmentator import install

from calciflow.errors import ScanError
from calciflow.images import Volume, read_volume, write_volume
from calciflow.segment import arguments, run_totalsegmentator


@pytest.fixture
def scan(tmp_path):
    """A CT of two rods, one at the patient's left and one at the right (x grows to the right here)."""
    hu = np.full((6, 10, 20), 40, np.int16)
    hu[:, 3:6, 2:5] = hu[:, 3:6, 15:18] = 900
    affine = np.diag([4.0, 4.0, 5.0, 1.0])
    affine[0, 3] = -38
    write_volume(tmp_path / "a study" / "ct.nii.gz", Volume(hu, affine), np.int16)
    return {
        "ct": str(tmp_path / "a study" / "ct.nii.gz"),
        "labels": str(tmp_path / "a study" / "labels.nii.gz"),
        "told": str(tmp_path / "a study" / "labels.json"),
    }


def test_the_map_is_kept_with_what_made_it(scan, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    program = install(tmp_path / "another environment" / "bin")
    run_totalsegmentator(**scan, task="total", command=f"'{program}'", model="fast", threads=3)
    assert "predicting total with 3 threads on cpu True" in capfd.readouterr().out
    labels = read_volume(scan["labels"]).array
    assert (labels[:, 3:6, 2:5] == 75).all()
    assert (labels[:, 3:6, 15:18] == 76).all()
    assert (labels > 0).sum() == 108
    told = json.loads(Path(scan["told"]).read_text())
    assert told == {
        "program": "TotalSegmentator",
        "version": "2.99.0",
        "task": "total",
        "model": "fast",
        "device": "cpu",
    }


def test_the_same_labels_give_the_same_bytes(scan, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{install(tmp_path / 'bin').parent}:/usr/bin:/bin")
    run_totalsegmentator(**scan, task="total")
    first = Path(scan["labels"]).read_bytes()
    run_totalsegmentator(**scan, task="total", threads=2)
    assert Path(scan["labels"]).read_bytes() == first


def test_only_the_task_total_has_other_resolutions():
    assert "--fast" not in arguments("TotalSegmentator", "a", "b", "tissue_types", "gpu", "fast", 1)
    assert "--fastest" in arguments("conda run -n ts TotalSegmentator", "a", "b", "total", "gpu", "fastest", 1)
    assert arguments("conda run -n ts TotalSegmentator", "a", "b", "total", "gpu", "normal", 1)[:4] == [
        "conda",
        "run",
        "-n",
        "ts",
    ]


@pytest.mark.parametrize("command", ["TotalSegmentator", "", "'/not here/TotalSegmentator'"])
def test_where_it_is_not_installed_the_message_says_how(scan, command, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(ScanError) as caught:
        run_totalsegmentator(**scan, task="tissue_types", command=command)
    for words in ("pip install TotalSegmentator", "totalseg_download_weights -t tissue_types", "segment: {command:"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("behaviour", "task", "says"),
    [
        ("sys.exit(3)", "total", ["status 3", "totalseg_download_weights -t total", "segment.model"]),
        ("sys.exit(1)", "tissue_types", ["status 1", "totalseg_set_license"]),
        ("os.kill(os.getpid(), 9)", "total", ["status -9", "memory"]),
        ("sys.exit(0)", "total", ["left 0 files"]),
    ],
)
def test_where_it_fails_nothing_is_left(scan, tmp_path, behaviour, task, says, monkeypatch):
    monkeypatch.setenv("PATH", f"{install(tmp_path / 'bin', behaviour).parent}:/usr/bin:/bin")
    with pytest.raises(ScanError) as caught:
        run_totalsegmentator(**scan, task=task)
    for words in says:
        assert words in str(caught.value)
    assert sorted(path.name for path in (tmp_path / "a study").iterdir()) == ["ct.nii.gz"]


def test_a_map_of_another_grid_is_refused(scan, tmp_path, monkeypatch):
    behaviour = "given.i = str(Path(given.i).parent.parent / 'other.nii.gz')"
    write_volume(tmp_path / "other.nii.gz", Volume(np.full((3, 4, 4), 900, np.int16), np.eye(4)), np.int16)
    monkeypatch.setenv("PATH", f"{install(tmp_path / 'bin', behaviour).parent}:/usr/bin:/bin")
    with pytest.raises(ScanError, match="does not cover"):
        run_totalsegmentator(**scan, task="total")
