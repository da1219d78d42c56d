"""Files appear whole or not at all, with the same bytes each time."""

import json
import os

import pytest

from calciflow.files import read_json, whole_file, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    target = tmp_path / "table.tsv"
    write_text(target, "old\n")
    with pytest.raises(RuntimeError), whole_file(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old\n"
    assert os.listdir(tmp_path) == ["table.tsv"]


def test_what_a_killed_job_left_is_overwritten(tmp_path):
    target = tmp_path / "volume.nii.gz"
    with whole_file(target) as partial:
        name = partial
        partial.write_bytes(b"whole")
    name.write_bytes(b"left by a killed job, longer than the next")
    with whole_file(target) as partial:
        assert partial == name
        partial.write_bytes(b"next")
    assert target.read_bytes() == b"next"
    assert os.listdir(tmp_path) == ["volume.nii.gz"]


def test_the_temporary_name_keeps_the_ending(tmp_path):
    with whole_file(tmp_path / "x.nii.gz") as partial:
        assert partial.name.endswith(".nii.gz")
        partial.write_bytes(b"")


def test_json_is_standard_and_ordered(tmp_path):
    import numpy as np

    path = tmp_path / "a.json"
    write_json(path, {"b": np.float32(0.5), "a": float("nan"), "c": np.arange(2), "d": {"x", "w"}})
    assert json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(word)) == {
        "b": 0.5,
        "a": None,
        "c": [0, 1],
        "d": ["w", "x"],
    }
    assert list(read_json(path)) == ["b", "a", "c", "d"]
