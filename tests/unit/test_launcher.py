"""The launcher: targets, locks, changed sources."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from calciflow import launcher
from calciflow.cluster.run import RESTARTS
from calciflow.errors import StudyError
from calciflow.files import write_json
from calciflow.internal import fail_and_retry
from calciflow.sheets import Scan
from calciflow.study import (
    SCAN_FILES,
    ask_refresh,
    refresh_tokens,
    results_without_memory,
    settle_times,
)
from calciflow.tree import Tree, source_digest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "my study"
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "config.yaml").write_text("allow_incomplete: false\n")
    (folder / "config" / "participants.tsv").write_text("participant_id\tgroup\nsub-01\tDM\n")
    (folder / "config" / "scans.tsv").write_text("participant_id\tsession_id\tsource\nsub-01\tses-01\tscans/one\n")
    (folder / "scans" / "one").mkdir(parents=True)
    (folder / "scans" / "one" / "a.dcm").write_bytes(b"1")
    return folder


def test_targets():
    scans = [Scan("sub-01", "ses-01", piece, {}) for piece in ("body", "legs")] + [Scan("sub-02", "ses-01", None, {})]
    assert launcher.targets(["sub-02/ses-01"], scans) == [
        f"results/sub-02/ses-01/sub-02_ses-01_{name}" for name in SCAN_FILES
    ]
    assert len(launcher.targets(["sub-01/ses-01"], scans)) == 2 * len(SCAN_FILES)
    few = launcher.targets(["sub-02/ses-01"], scans, keep_images=False)
    assert not [name for name in few if name.endswith(("_ct.nii.gz", "_pet.nii.gz"))]
    assert len(few) == len(SCAN_FILES) - 3
    assert launcher.targets(["sub-01/ses-01/acq-legs"], scans)[-1].endswith("sub-01_ses-01_acq-legs_qc.html")
    with pytest.raises(StudyError, match="sub-03"):
        launcher.targets(["sub-03/ses-01"], scans)


def test_no_study_is_said(tmp_path, capsys):
    assert launcher.main(["run", str(tmp_path)]) == 2
    assert "calciflow new" in capsys.readouterr().err


def test_a_study_is_held_by_one_run(study):
    with launcher._held(study), pytest.raises(StudyError, match=f"process {os.getpid()} on"), launcher._held(study):
        pass
    with launcher._held(study):  # and free again
        pass


def test_a_job_that_outlived_its_run_is_seen(study):
    code = "import time; time.sleep(60)"
    job = subprocess.Popen([sys.executable, "-c", code, ".snakemake/scripts/x.lesions.py"], cwd=study)
    # argv[3] names the script here; a real job has it at argv[1].
    try:
        time.sleep(0.3)
        assert launcher.writers(study) == [job.pid]
        with pytest.raises(StudyError, match=str(job.pid)), launcher._held(study):
            pass
    finally:
        job.kill()
        job.wait()
    assert launcher.writers(study) == []


def test_the_lock_ends_with_its_holder(study):
    (study / ".calciflow").mkdir()
    path = study / ".calciflow" / "lock"
    holder = subprocess.Popen(["flock", str(path), "sleep", "60"], start_new_session=True)
    try:
        deadline = time.time() + 10
        while time.time() < deadline:
            with open(path, "a") as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    break
            time.sleep(0.05)
        with pytest.raises(StudyError, match="another run"), launcher._held(study):
            pass
    finally:
        os.killpg(holder.pid, 9)
        holder.wait()
    # The lock is also held by flock's own child, which dies at the same signal but is not waited for.
    deadline = time.time() + 10
    while time.time() < deadline:
        try:
            with launcher._held(study):
                return
        except StudyError:
            time.sleep(0.05)
    pytest.fail("the lock outlived its holder by 10 s")


def test_refresh_finds_a_changed_source(study, capsys, monkeypatch):
    monkeypatch.chdir("/")  # paths are the study's, not the caller's
    screening = study / "results" / "sub-01" / "ses-01" / "sub-01_ses-01_screening.json"
    write_json(screening, {"source_digest": source_digest([Tree(study / "scans" / "one")])})
    assert launcher.main(["refresh", str(study)]) == 0
    assert "no source has changed" in capsys.readouterr().out
    assert refresh_tokens(study) == {}
    (study / "scans" / "one" / "deep").mkdir()
    (study / "scans" / "one" / "deep" / "b.dcm").write_bytes(b"2")
    assert launcher.main(["refresh", str(study)]) == 0
    assert "sub-01_ses-01" in capsys.readouterr().out
    assert list(refresh_tokens(study)) == ["sub-01_ses-01"]


def test_source_digest_sees_what_matters(study, tmp_path):
    folder = study / "scans" / "one"
    before = source_digest([Tree(folder)])
    assert source_digest([Tree(folder)]) == before
    (folder / "a.dcm").write_bytes(b"22")
    assert source_digest([Tree(folder)]) != before
    assert source_digest([Tree(tmp_path / "none")]) != source_digest([Tree(study / "config")])


def test_tokens(study):
    ask_refresh(study, "sub-01_ses-01", "x")
    ask_refresh(study, "sub-02_ses-01", "y")
    assert refresh_tokens(study) == {"sub-01_ses-01": "x", "sub-02_ses-01": "y"}


def test_results_without_memory(study):
    assert not results_without_memory(study)
    (study / "results").mkdir()
    (study / "results" / "screening.tsv").write_text("x")
    assert results_without_memory(study)
    (study / ".snakemake" / "metadata").mkdir(parents=True)
    assert not results_without_memory(study)


def test_only_times_from_the_future_are_settled(study):
    now = time.time_ns()
    hour = 3600 * 10**9
    moments = {"results/a.tsv": -hour, "results/sub-01/b.tsv": hour, "private/c.json": 2 * hour, "scans/d.dcm": hour}
    for name, offset in moments.items():
        path = study / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, ns=(now + offset, now + offset))
    assert settle_times(study, time.time_ns()) == 2
    assert (study / "results/a.tsv").stat().st_mtime_ns == now - hour
    assert (study / "results/sub-01/b.tsv").stat().st_mtime_ns == (study / "private/c.json").stat().st_mtime_ns
    assert (study / "scans/d.dcm").stat().st_mtime_ns == now + hour, "the data are not ours to touch"
    assert settle_times(study, time.time_ns()) == 0


def test_a_bug_in_index_asks_for_another_try_each_time(study, monkeypatch):
    monkeypatch.chdir(study)
    for attempt in (2, 3):
        with pytest.raises(RuntimeError, match=r"traceback is in some\.log"):
            fail_and_retry(prefix="sub-01_ses-01", index_log="some.log")
        assert refresh_tokens(study)["sub-01_ses-01"] == f"attempt {attempt}"


def test_an_option_that_only_run_passes_on_is_refused_elsewhere(study, capsys):
    with pytest.raises(SystemExit) as ended:
        launcher.main(["refresh", str(study), "--cores", "4"])
    assert ended.value.code == 2
    assert "unknown option: --cores" in capsys.readouterr().err


def test_the_forecast_counts_what_is_not_excluded(study, capsys):
    (study / "config" / "scans.tsv").write_text(
        "participant_id\tsession_id\tsource\texclude\nsub-01\tses-01\tscans/one\tn/a\nsub-01\tses-02\tscans/one\tyes\n"
    )
    assert launcher.main(["forecast", str(study)]) == 0
    assert "1 scans: 0 finished, 0 to do, 0 refused, 1 not indexed yet" in capsys.readouterr().out


def test_an_archive_without_scans_is_said(tmp_path, capsys):
    archive = tmp_path / "archive"
    archive.mkdir()
    assert launcher.main(["new", str(tmp_path / "new"), str(archive)]) == 2
    assert str(archive) in capsys.readouterr().err


def test_without_snakemake_the_way_to_it_is_said(study, capsys, monkeypatch):
    monkeypatch.setattr(launcher.importlib.util, "find_spec", lambda name: None)
    assert launcher.main(["run", str(study)]) == 2
    assert "make env" in capsys.readouterr().err


def test_a_profile_that_is_nowhere_is_said(study, capsys):
    assert launcher.main(["run", str(study), "--profile", "slrum"]) == 2
    assert "--profile slrum: no profile of calciflow (default, slurm), and no folder" in capsys.readouterr().err


@pytest.fixture
def runs(monkeypatch):
    """Snakemake that does nothing and ends as told; gives the commands it got."""
    commands, ends = [], []

    def run(command, environment, descriptor, prefix, patience_s):
        commands.append(command)
        return ends.pop(0) if ends else (0, None)

    monkeypatch.setattr(launcher, "run_snakemake", run)
    return commands, ends


def test_targets_go_before_the_users_options_and_split_last(study, runs):
    commands, _ = runs
    assert launcher.main(["run", str(study), "--scan", "sub-01/ses-01", "--split", "--cores", "2"]) == 0
    (command,) = commands
    assert command[-4:] == ["--cores", "2", "--groups", "index=index"]
    targets = [f"results/sub-01/ses-01/sub-01_ses-01_{name}" for name in SCAN_FILES]
    assert command[-4 - len(targets) : -4] == targets
    assert command[command.index("--directory") + 1] == str(study.resolve())


def test_a_study_without_images_asks_for_none(study, runs):
    commands, _ = runs
    (study / "config" / "config.yaml").write_text("keep_images: false\n")
    assert launcher.main(["run", str(study), "--scan", "sub-01/ses-01"]) == 0
    assert "results/sub-01/ses-01/sub-01_ses-01_qc.html" in commands[0]
    assert "results/sub-01/ses-01/sub-01_ses-01_ct.nii.gz" not in commands[0]
    options = ["--scan", "sub-01/ses-01", "--config", "allow_incomplete=true", "keep_images=true"]
    assert launcher.main(["run", str(study), *options]) == 0
    assert "results/sub-01/ses-01/sub-01_ses-01_ct.nii.gz" in commands[1], "asked for on the command line"


def test_a_run_whose_jobs_were_forgotten_starts_again_but_not_for_ever(study, runs):
    commands, ends = runs
    ends += [(1, "forgotten"), (0, None)]
    assert launcher.main(["run", str(study)]) == 0
    assert len(commands) == 2
    commands.clear()
    ends += [(0, "forgotten")] * 10
    assert launcher.main(["run", str(study)]) == 1, "a run that was ended early is no success"
    assert len(commands) == RESTARTS + 1


def test_the_status_of_a_failed_run_is_given_on(study, runs):
    commands, ends = runs
    ends.append((3, None))
    assert launcher.main(["run", str(study)]) == 3
    ends.append((0, "silent"))
    assert launcher.main(["run", str(study)]) == 1
    assert len(commands) == 2


def test_times_from_the_future_are_settled_and_said_but_not_by_a_dry_run(study, runs, capsys):
    late = study / "results" / "a.tsv"
    late.parent.mkdir()
    late.touch()
    moment = time.time_ns() + 3600 * 10**9
    os.utime(late, ns=(moment, moment))
    assert launcher.main(["run", str(study), "-n"]) == 0
    assert late.stat().st_mtime_ns == moment
    assert launcher.main(["run", str(study)]) == 0
    assert late.stat().st_mtime_ns < moment
    assert "1 files said they are from the future" in capsys.readouterr().err


def test_a_killed_runs_lock_is_cleared_before_the_run(study, runs, capsys, monkeypatch):
    locks = study / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").touch()
    cleared = []
    monkeypatch.setattr(launcher.subprocess, "run", lambda command, **options: cleared.append(command))
    assert launcher.main(["run", str(study)]) == 0
    assert [command[-1] for command in cleared] == ["--unlock"]
    assert "its lock is cleared" in capsys.readouterr().err


def test_a_study_that_cannot_be_written_is_said(study, capsys):
    (study / ".calciflow").write_text("a file where the folder should be")
    assert launcher.main(["run", str(study)]) == 2
    assert f"{study}: cannot be written (File exists)" in capsys.readouterr().err


def test_a_run_gives_signs_of_life(study, monkeypatch):
    monkeypatch.setattr(launcher, "SIGN_EVERY_S", 0.02)
    path = study / ".calciflow" / "lock"
    with launcher._held(study):
        os.utime(path, ns=(0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime_ns == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert abs(time.time_ns() - path.stat().st_mtime_ns) < 60e9


def test_refresh_leaves_excluded_scans_alone(study, capsys):
    (study / "config" / "scans.tsv").write_text(
        "participant_id\tsession_id\tsource\texclude\nsub-01\tses-01\tscans/one\tyes\n"
    )
    write_json(
        study / "results" / "sub-01" / "ses-01" / "sub-01_ses-01_screening.json", {"source_digest": "of another time"}
    )
    assert launcher.main(["refresh", str(study)]) == 0
    assert "no source has changed" in capsys.readouterr().out
    assert refresh_tokens(study) == {}
