"""Whatever is killed, fills up or cannot be written: the same command again gives the bytes of an undisturbed run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import Study

pytestmark = [pytest.mark.xdist_group("study"), pytest.mark.slow]
CHAIN = ("index", "convert-ct", "suv", "tissues", "register", "lesions", "compartments", "review", "scores", "qc")
KILL_ONCE = '''

_whole = whole_file


@contextmanager
def whole_file(path):
    """Die, as by `kill -9`, with half a file written: once in each job, before its first file appears."""
    import signal
    import sys

    target = Path(path)
    job = next((word for word in sys.argv if ".snakemake/scripts" in word), sys.argv[0]).rsplit(".", 2)[-2]
    who = target.name.split("_")[0] if target.name.startswith("sub-") else "study"
    mark = Path(".calciflow") / f"killed-{job}-{who}-{'pet' if '_pet' in target.name else 'ct'}"
    with _whole(path) as partial:
        yield partial
        if not mark.exists():
            mark.parent.mkdir(exist_ok=True)
            mark.touch()
            with open(partial, "r+b") as handle:
                handle.truncate(partial.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
'''


def results(study: Study) -> dict[str, bytes]:
    root = study.folder / "results"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def differences(study: Study, base: Study) -> list[str]:
    one, other = results(study), results(base)
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


@pytest.fixture
def fresh(base, tmp_path):
    """The study before its first run, with the same code and inputs."""
    folder = tmp_path / "my study"
    for name in ("config", "scans"):
        shutil.copytree(base.folder / name, folder / name, copy_function=shutil.copy2)
    return Study(folder, base.code)


def test_every_job_killed_with_half_a_file(base, fresh, tmp_path):
    code = tmp_path / "code"
    shutil.copytree(base.code, code, copy_function=shutil.copy2)
    path = code / "scripts" / "calciflow" / "files.py"
    path.write_text(path.read_text() + KILL_ONCE)
    study = Study(fresh.folder, code)
    study.run("--retries", "1")
    killed = {path.name.split("-")[1] for path in (study.folder / ".calciflow").glob("killed-*")}
    assert {name.split("-")[0] for name in CHAIN} <= killed, "every stage was killed"
    assert {"screen", "cohort", "report"} <= killed
    assert differences(study, base) == []
    assert list(study.folder.rglob(".partial-*")) == []
    assert study.planned() == {}


def test_snakemake_killed_in_every_stage(base, fresh):
    """Jobs of the killed run live on: the next run does not start beside them."""
    waited, printed = False, fresh.folder.parent / "printed.txt"
    environment = {**os.environ, "PYTHONPATH": str(fresh.code / "scripts")}
    command = [sys.executable, "-m", "calciflow.launcher", "run", str(fresh.folder), "--cores", "2"]
    for stage in CHAIN:
        log = fresh.folder / "logs" / "sub-01" / "ses-01" / f"sub-01_ses-01_{stage}.log"
        while not log.exists():
            # Into a file: a pipe would be held open by the jobs that live on.
            with printed.open("w") as out:
                run = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
            while run.poll() is None and not log.exists():
                time.sleep(0.02)
            kill_snakemake(run)
            text = printed.read_text()
            waited |= "processes still work there" in text or "another run is going on" in text
    deadline = time.monotonic() + 60
    while "exit status 0" not in (text := fresh.run(check=False)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert "exit status 0" in text
    assert waited, "at least one job outlived its Snakemake"
    assert differences(fresh, base) == []
    assert fresh.planned() == {}


def kill_snakemake(run: "subprocess.Popen[bytes]") -> None:
    """``kill -9`` of the launcher and of its Snakemake, not of the jobs."""
    if run.poll() is not None:
        return
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    for pid in (run.pid, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    run.wait()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB, that can be made larger or read-only; gives a function that remounts it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted")

    def remount(options):
        subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)

    yield folder, remount
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_and_read_only_disks(base, fresh, small_disk):
    disk, remount = small_disk
    folder = disk / "study"
    shutil.copytree(fresh.folder / "config", folder / "config")
    (folder / "scans").symlink_to(fresh.folder / "scans")
    study = Study(folder, fresh.code)
    text = study.run(check=False)
    assert "exit status 1" in text
    assert "No space left on device" in text
    remount("size=200m,ro")
    text = study.run(check=False)
    assert "exit status 2" in text
    assert "cannot be written" in text
    remount("size=200m,rw")
    study.run()
    assert differences(study, base) == []
    assert list(folder.rglob(".partial-*")) == []
    assert study.planned() == {}
