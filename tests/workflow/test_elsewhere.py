"""The same study elsewhere gives the same bytes: offline, other cores, names, order, locale, time zone, scratch."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness import REPOSITORY, Study

pytestmark = [pytest.mark.xdist_group("study"), pytest.mark.slow]
OFFLINE = ("unshare", "--net", "--mount")
FILES_A_SCAN = 40


def permitted():
    return subprocess.run([*OFFLINE, "true"], capture_output=True, check=False).returncode == 0


def results(folder: Path) -> dict[str, bytes]:
    """All files of results/ but for what names the source's files, which stands in screening.json alone."""
    found = {}
    for path in sorted((folder / "results").rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.name.endswith("_screening.json"):
                content = json.dumps({**json.loads(content), "source_digest": None}).encode()
            found[str(path.relative_to(folder / "results"))] = content
    return found


def shuffled(source: Path, target: Path) -> None:
    """Copy a folder of DICOM files under other names, in other folders, written in reverse order."""
    for number, path in enumerate(sorted(source.rglob("*"), reverse=True)):
        if path.is_file():
            place = target / f"z{number % 3}" / f"file {(number * 7919) % 1009:04}-{number}"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)


@pytest.mark.skipif(
    shutil.which("unshare") is None or not permitted(), reason="no namespaces: unshare is not permitted"
)
def test_the_same_bytes_elsewhere(base, tmp_path):
    folder = tmp_path / "autre étude"
    shutil.copytree(base.folder / "config", folder / "config")
    for name in ("one", "a scan with blanks"):
        shuffled(base.folder / "scans" / name, folder / "scans" / name)
    scratch = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    before = {path: path.stat().st_mtime_ns for path in (folder / "scans").rglob("*")}
    environment = {
        **os.environ,
        "PYTHONPATH": str(base.code / "scripts"),
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "7",
        "TMPDIR": str(scratch),
    }
    # No interface at all, and sources that cannot be written.
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
    command = [*OFFLINE, "sh", "-c", script, "sh", str(folder / "scans")]
    command += [sys.executable, "-m", "calciflow.launcher", "run", str(folder), "--cores", "1"]
    try:
        done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        left = [path.name for path in scratch.iterdir() if path.name != "snakemake"]
    finally:
        shutil.rmtree(scratch)
    assert left == []
    one, other = results(base.folder), results(folder)
    assert sorted(one) == sorted(other)
    assert [name for name in one if one[name] != other[name]] == []
    assert {path: path.stat().st_mtime_ns for path in (folder / "scans").rglob("*")} == before


def test_a_namespace_without_interface_is_offline():
    if shutil.which("unshare") is None or not permitted():
        pytest.skip("no namespaces: unshare is not permitted")
    code = "import socket\nsocket.create_connection(('192.0.2.1', 80), 2)"
    done = subprocess.run([*OFFLINE, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "unreachable" in done.stderr


def test_a_scan_keeps_few_files(base):
    places = [base.folder / place / "sub-01" / "ses-01" for place in ("results", "logs", "private")]
    found = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert 20 < len(found) <= FILES_A_SCAN, sorted(path.name for path in found)
    assert f"in {len(found)} files, logs included" in (REPOSITORY / "config" / "README.md").read_text(encoding="utf-8")
    assert list(base.folder.rglob(".partial-*")) == []


def test_a_moved_study_has_nothing_to_do(study, tmp_path):
    moved = tmp_path / "elsewhere" / "study"
    moved.parent.mkdir()
    study.folder.rename(moved)
    assert Study(moved, study.code).planned() == {}
