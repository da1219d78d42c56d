"""Whatever is killed, fills up or cannot be written: the same command again gives the bytes of an undisturbed run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from calciflow.launcher import writers
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
HOLD = '''

_whole = whole_file


@contextmanager
def whole_file(path):
    """A job of the rule that `hold` names says that it is there, and goes on when `hold` is gone."""
    import sys
    import time

    job = next((word for word in sys.argv if ".snakemake/scripts" in word), sys.argv[0]).rsplit(".", 2)[-2]
    hold = Path(".calciflow") / "hold"
    with _whole(path) as partial:
        yield partial
        if hold.exists() and hold.read_text() == job:
            hold.with_name("held-" + job).touch()
            end = time.monotonic() + 900  # no job outlives a test that failed
            while hold.exists() and time.monotonic() < end:
                time.sleep(0.05)
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


def test_snakemake_killed_in_every_stage(base, fresh, tmp_path):
    """Jobs of the killed run live on: the next run does not start beside them."""
    code = tmp_path / "code"
    shutil.copytree(base.code, code, copy_function=shutil.copy2)
    path = code / "scripts" / "calciflow" / "files.py"
    path.write_text(path.read_text() + HOLD)
    study = Study(fresh.folder, code)
    memory = study.folder / ".calciflow"
    memory.mkdir()
    for stage in CHAIN:
        rule = stage.split("-")[0]
        (memory / "hold").write_text(rule)
        kill_run(study, "--forcerun", rule, when=memory / f"held-{rule}")
        text = study.run(check=False)
        assert "processes still work there" in text or "another run is going on" in text, f"{stage} lives on: {text}"
        assert "exit status 2" in text
        (memory / "hold").unlink()
        wait_until(lambda: not writers(study.folder.resolve()), "the killed run's jobs end")
    assert "exit status 0" in study.run()
    assert differences(study, base) == []
    assert list(study.folder.rglob(".partial-*")) == []
    assert study.planned() == {}


def kill_run(study: Study, *options: str, when: Path) -> None:
    """Start a run; ``kill -9`` its launcher and its Snakemake, not their jobs, as soon as the file is there."""
    environment = {**os.environ, "PYTHONPATH": str(study.code / "scripts")}
    command = [sys.executable, "-m", "calciflow.launcher", "run", str(study.folder), "--cores", "2", *options]
    printed = study.folder.parent / "printed.txt"
    # Into a file: a pipe would be held open by the jobs that live on.
    with printed.open("w") as out:
        run = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
    wait_until(lambda: when.exists() or run.poll() is not None, f"{when.name} is there")
    assert run.poll() is None, f"the run ended before {when.name} was there:\n{printed.read_text()}"
    # The job holds still, so Snakemake still waits for it.
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    for pid in (run.pid, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    run.wait()


def wait_until(condition: Callable[[], bool], what: str, limit_s: float = 600) -> None:
    """Wait for a state; the limit is only there to end a test that would never end."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {limit_s:g} s in vain: {what}")
        time.sleep(0.05)


def test_clock_that_went_backwards(base, study):
    """First run on a clock a month ahead, then sheets and scans' folders from tomorrow: nothing is made for ever."""
    month = 30 * 86400
    # Of the scans only folders: that a file has another time is a change of the source, which `index` writes down.
    sources = [study.folder / "scans", *(path for path in (study.folder / "scans").rglob("*") if path.is_dir())]
    made = [path for name in ("results", "private", "config") for path in (study.folder / name).rglob("*")]
    for path in [*sources, *made]:
        moment = path.stat().st_mtime + month  # in the order in which they were made
        os.utime(path, (moment, moment))
    # A stage in the middle runs again, and all that rests on it.
    study.set_config("clinical_scores: config/clinical_scores.tsv\nlesions: {hu_floor: 140}\n")
    assert study.finished()["lesions"] == 2
    assert study.planned() == {}
    study.set_config("clinical_scores: config/clinical_scores.tsv\n")
    tomorrow = time.time() + 86400
    for path in [*sources, *(study.folder / "config").rglob("*")]:
        os.utime(path, (tomorrow, tomorrow))
    study.run("--forcerun", "index")
    assert differences(study, base) == []
    assert study.planned() == {}
    assert study.finished() == {}


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
