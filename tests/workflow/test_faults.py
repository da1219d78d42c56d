"""A scan that fails stops alone; its log holds the traceback; the same command resumes."""

import json

import pytest

pytestmark = pytest.mark.xdist_group("study")


def break_stage(study, rule, function):
    """Make a stage fail for sub-02 alone."""
    path = study.code / "scripts" / "calciflow" / f"{rule}.py"
    text = path.read_text()
    path.write_text(
        f"{text}\n_whole = {function}\n\n\ndef {function}(**kwargs):\n"
        '    if "sub-02" in str(kwargs):\n        raise RuntimeError("a bug in this stage")\n    _whole(**kwargs)\n'
    )
    return lambda: path.write_text(text)


def test_a_crash_stops_its_scan_alone_and_the_same_command_resumes(study):
    mend = break_stage(study, "lesions", "find_lesions")
    before = (study.folder / "results" / "cohort" / "lesions.tsv").read_bytes()
    text = study.run(check=False)
    assert "exit status 1" in text
    log = (study.folder / "logs" / "sub-02" / "ses-01" / "sub-02_ses-01_lesions.log").read_text()
    assert "Traceback" in log
    assert "a bug in this stage" in log
    assert study.path("sub-01_ses-01", "scores.tsv").exists()
    assert study.planned()["lesions"] == 1, "what the failed job left out is made by the next run"

    text = study.run("--config", "allow_incomplete=true")
    assert "exit status 0" in text
    cohort = (study.folder / "results" / "cohort" / "lesions.tsv").read_text()
    assert "sub-01" in cohort
    assert "sub-02" not in cohort
    page = (study.folder / "results" / "report.html").read_text()
    assert "1 accepted scan(s) had not finished and are not in these numbers: sub-02 ses-01" in page

    mend()
    study.run()
    assert (study.folder / "results" / "cohort" / "lesions.tsv").read_bytes() == before
    assert study.planned() == {}


def test_a_bug_in_index_is_a_verdict_and_is_tried_again(study):
    """All scans hit it, so the cohort is empty: tables and report are made all the same, and the run fails."""
    before = (study.folder / "results" / "cohort" / "lesions.tsv").read_bytes()
    path = study.code / "scripts" / "calciflow" / "dicom" / "selection.py"
    whole = path.read_text()
    path.write_text(f'{whole}\n\ndef choose(*args, **kwargs):\n    raise RuntimeError("a bug in index")\n')
    text = study.run(check=False)
    assert "exit status 1" in text
    table = (study.folder / "results" / "screening.tsv").read_text()
    assert table.count("\trefused\tinternal\t") == 2
    assert "a bug in index" in (study.folder / "logs" / "sub-01" / "ses-01" / "sub-01_ses-01_index.log").read_text()
    assert (study.folder / "results" / "cohort" / "lesions.tsv").read_text().count("\n") == 1
    assert "internal" in (study.folder / "results" / "report.html").read_text()

    assert study.finished(check=False)["index"] == 2, "tried again, though nothing has changed"

    path.write_text(whole)
    study.run()
    assert (study.folder / "results" / "cohort" / "lesions.tsv").read_bytes() == before
    assert study.planned() == {}


def test_a_run_is_alone_in_its_study(study):
    import fcntl

    with open(study.folder / ".calciflow" / "lock", "a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        text = study.run(check=False)
    assert "another run is going on" in text
    assert "exit status 2" in text


def test_a_lock_that_nobody_holds_is_cleared(study):
    locks = study.folder / ".snakemake" / "locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.input.lock").write_text("results/report.html\n")
    (locks / "0.output.lock").write_text("results/report.html\n")
    text = study.run()
    assert "its lock is cleared" in text
    assert not list(locks.glob("*"))


def leak(study):
    """Put an identifier of the first scan into a log; gives it."""
    listed = json.loads((study.folder / "private" / "sub-01" / "ses-01" / "sub-01_ses-01_selection.json").read_text())
    uid = next(item["value"] for item in listed["identifiers"] if item["what"] == "StudyInstanceUID")
    with open(study.folder / "logs" / "screen.log", "a") as log:
        log.write(f"study {uid}\n")
    (study.folder / "results" / "audit.json").unlink(missing_ok=True)
    return uid


def test_an_identifier_in_a_log_fails_the_run_and_names_the_file(study):
    uid = leak(study)
    text = study.run(check=False)
    assert "exit status 1" in text
    assert "logs/screen.log holds StudyInstanceUID of sub-01_ses-01" in text
    assert uid not in text
    assert uid in (study.folder / "private" / "audit.tsv").read_text()
    assert not (study.folder / "results" / "audit.json").exists()
    (study.folder / "logs" / "screen.log").write_text("clean again\n")
    assert study.finished() == {"audit": 1}


def test_a_run_that_fails_is_audited_all_the_same(study):
    leak(study)
    with open(study.code / "scripts" / "calciflow" / "report.py", "a") as handle:
        handle.write("\nraise ValueError('a bug')\n")
    text = study.run(check=False)
    assert "exit status 1" in text
    assert "logs/screen.log holds StudyInstanceUID of sub-01_ses-01" in text
