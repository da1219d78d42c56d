"""What makes a run on Slurm safe, against programs that behave as Slurm's were seen to."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from calciflow import launcher
from calciflow.cluster import identity, queue, run, sbatch, status, watch
from calciflow.cluster.queue import Job, SlurmSilent
from calciflow.errors import StudyError

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = REPOSITORY / "profiles" / "slurm" / "bin"
SHIPPED = REPOSITORY / "profiles" / "slurm"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A path with made-up programs of Slurm; gives a function that writes one."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def program(name, body):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    for name in queue.PROGRAMS:
        program(name, "exit 0")
    return program


def configured(site, age, accounting="none"):
    site(
        "scontrol",
        f"echo 'MinJobAge               = {age} sec'; echo AccountingStorageType = accounting_storage/{accounting}",
    )


@pytest.mark.parametrize(
    ("age", "accounting", "answers", "command"),
    [
        (300, "none", False, "squeue"),
        (300, "slurmdbd", True, "squeue"),
        (10, "slurmdbd", True, "sacct"),
        (10, "slurmdbd", False, "squeue"),  # sacct is installed, but nobody answers: asking it is waiting for ever
        (10, "none", False, "squeue"),
    ],
)
def test_the_status_command_is_what_the_site_has(site, age, accounting, answers, command):
    configured(site, age, accounting)
    site("sacct", "exit 0" if answers else "echo 'Problem talking to the database' >&2; exit 1")
    assert queue.detect().status_command == command


def test_no_slurm_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StudyError, match="Slurm is not on this machine: sbatch, squeue, scancel, scontrol"):
        run.slurm_options(tmp_path, SHIPPED, [])


def test_a_controller_that_is_away_is_said_at_once(site, tmp_path):
    site("scontrol", "echo 'slurm_load_ctl_conf error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(SlurmSilent, match="Unable to contact slurm controller"):
        run.slurm_options(tmp_path, SHIPPED, [])


def test_a_program_that_hangs_is_not_waited_for():
    with pytest.raises(SlurmSilent, match="within"):
        queue.ask(["sleep", "30"], timeout=0.2)


@pytest.mark.parametrize("option", ["--slurm-array-jobs=all", "--slurm-requeue", "--slurm-jobname-prefix=x"])
def test_unsafe_options_are_refused(site, tmp_path, option):
    configured(site, 300)
    with pytest.raises(StudyError, match="not for calciflow"):
        run.slurm_options(tmp_path, SHIPPED, [option])


def test_unsafe_keys_of_an_own_profile_are_refused(site, tmp_path):
    configured(site, 300)
    (tmp_path / "config.yaml").write_text("executor: slurm\nslurm-requeue: true\n")
    with pytest.raises(StudyError, match="requeued job runs unwatched"):
        run.slurm_options(tmp_path, tmp_path, [])


def test_an_own_profile_gets_the_safe_options_all_the_same(site, tmp_path):
    configured(site, 300)
    (tmp_path / "config.yaml").write_text("executor: slurm\n")
    options, variables = run.slurm_options(tmp_path, tmp_path, [])
    assert "--slurm-no-requeue" in options
    assert options[options.index("--slurm-status-command") + 1] == "squeue"
    assert options[options.index("--slurm-jobname-prefix") + 1] == identity.job_prefix(tmp_path)
    assert variables["PATH"].split(":")[0] == str(BIN)


def test_which_runs_go_to_slurm(tmp_path):
    default = REPOSITORY / "profiles" / "default"
    assert run.on_slurm(SHIPPED, [])
    assert not run.on_slurm(default, [])
    assert run.on_slurm(default, ["--executor", "slurm"])
    assert run.on_slurm(default, ["--executor=slurm"])
    assert not run.on_slurm(SHIPPED, ["-e", "local"])
    with pytest.raises(StudyError, match=r"no config\.yaml"):
        run.on_slurm(tmp_path, [])


def test_the_profile_names_what_is_safe():
    import yaml

    profile = yaml.safe_load((SHIPPED / "config.yaml").read_text())
    assert profile["slurm-no-requeue"]
    assert profile["slurm-status-command"] == "squeue"
    assert profile["slurm-status-attempts"] == run.ATTEMPTS
    assert profile["retries"] >= 2
    assert not set(run.FORBIDDEN) & set(profile)
    for rules in (REPOSITORY / "rules").glob("*.smk"):
        assert "retries:" not in rules.read_text(), "a rule's retries would be made inside one allocation"


def test_a_study_keeps_its_name_when_moved_and_a_copy_has_another(tmp_path):
    study = tmp_path / "study"
    study.mkdir()
    assert identity.job_prefix(study, make=False) is None
    name = identity.job_prefix(study)
    assert name == identity.job_prefix(study)
    shutil.copytree(study, tmp_path / "copy")
    assert identity.job_prefix(tmp_path / "copy") != name
    study.rename(tmp_path / "moved")
    (tmp_path / "link").symlink_to(tmp_path / "moved")
    assert identity.job_prefix(tmp_path / "moved") == name
    assert identity.job_prefix(tmp_path / "link") == name


def test_leftovers_are_cancelled_and_waited_for(site, tmp_path, capsys):
    name = identity.job_prefix(tmp_path)
    (tmp_path / "queue").write_text(
        f"7|{name}_run|RUNNING|None\n8|{name}_run|PENDING|Resources\n9|other|RUNNING|None\n"
    )
    site("squeue", f"cat {tmp_path}/queue")
    site("scancel", f'echo "$@" >> {tmp_path}/cancelled; sed -i "/{name}/d" {tmp_path}/queue')
    run.end_leftovers(tmp_path)
    assert (tmp_path / "cancelled").read_text() == "7 8\n"
    assert "2 Slurm job(s) of an earlier run were cancelled" in capsys.readouterr().err
    assert "other" in (tmp_path / "queue").read_text()


def test_a_study_that_ran_on_slurm_elsewhere_is_warned_of_and_not_stopped(tmp_path, monkeypatch, capsys):
    name = identity.job_prefix(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run.end_leftovers(tmp_path) == 0
    told = capsys.readouterr().err
    assert "make sure that no job of it still runs there" in told
    assert name in told


def test_a_site_that_forgets_jobs_soon_is_told(site, tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("executor: slurm\n")
    configured(site, 300)
    run.slurm_options(tmp_path, tmp_path, [])
    assert "forgets" not in capsys.readouterr().err
    configured(site, 10)
    run.slurm_options(tmp_path, tmp_path, [])
    assert "Slurm forgets ended jobs after 10 s (MinJobAge) and has no accounting" in capsys.readouterr().err


@pytest.mark.parametrize("status", [0, 3])
def test_a_run_of_snakemake_gives_its_status_and_no_verdict(tmp_path, status):
    with open(tmp_path / "lock", "w") as lock:
        ends = [sys.executable, "-c", f"raise SystemExit({status})"]
        assert run.run_snakemake(ends, dict(os.environ), lock.fileno(), None, 30.0) == (status, None)


def test_a_run_on_slurm_is_watched_and_a_thread_leaves_signals_alone(site, tmp_path):
    configured(site, 300)
    found = []
    with open(tmp_path / "lock", "w") as lock:
        ends = [sys.executable, "-c", "pass"]
        call = threading.Thread(
            target=lambda: found.append(run.run_snakemake(ends, dict(os.environ), lock.fileno(), "x", 30.0))
        )
        before = signal.getsignal(signal.SIGTERM)
        call.start()
        call.join(30)
    assert found == [(0, None)]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_submission_that_nobody_answers_for_fails_rather_than_being_made_twice(site, tmp_path):
    site("sbatch", f"echo x >> {tmp_path}/calls; echo 'Unable to contact slurm controller' >&2; exit 1")
    site("squeue", "exit 1")
    done = shim("sbatch", "--comment", "rule_b", "--wrap=true", CALCIFLOW_PATIENCE_S="0")
    assert done.returncode == 1
    assert "whether it took the job is unknown" in done.stderr
    assert (tmp_path / "calls").read_text() == "x\n"


def test_a_submission_is_given_up_once_the_patience_is_over(site, tmp_path):
    site("sbatch", f"echo x >> {tmp_path}/calls; echo 'Unable to contact slurm controller' >&2; exit 4")
    site("squeue", 'echo "3|rule_a"')
    done = shim("sbatch", "--comment", "rule_b", "--wrap=true", CALCIFLOW_PATIENCE_S="0")
    assert done.returncode == 4
    assert "Unable to contact slurm controller" in done.stderr
    assert (tmp_path / "calls").read_text() == "x\n", "Slurm knows no such job, and there is no time for another"


def test_leftovers_that_do_not_go_stop_the_run(site, tmp_path):
    name = identity.job_prefix(tmp_path)
    site("squeue", f"echo '7|{name}_run|COMPLETING|None'")
    with pytest.raises(StudyError, match=r"7 \(COMPLETING\)"):
        queue.cancel_all(name, wait_s=0.5)


def test_leftovers_that_cannot_be_asked_for_stop_the_run(site, tmp_path):
    identity.job_prefix(tmp_path)
    site("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(StudyError, match="may still write"):
        run.end_leftovers(tmp_path)


def test_a_study_that_was_never_on_slurm_does_not_ask_it(site, tmp_path):
    site("squeue", f"touch {tmp_path}/asked")
    run.end_leftovers(tmp_path)
    assert not (tmp_path / "asked").exists()


def test_a_run_on_another_login_node_is_seen_without_its_lock(tmp_path):
    lock = tmp_path / "lock"
    lock.write_text("process 1 on elsewhere\n")
    with pytest.raises(StudyError, match="process 1 on elsewhere gave a sign of life"):
        launcher._wait_for_other_host(lock)
    old = time.time() - launcher.DEAD_AFTER_S - 1
    os.utime(lock, (old, old))
    launcher._wait_for_other_host(lock)


def test_a_profile_is_found_from_the_callers_folder_and_a_missing_one_is_said(tmp_path, monkeypatch, capsys):
    """Snakemake takes a profile's path that does not exist there for no profile, and says nothing."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("allow_incomplete: false\n")
    monkeypatch.chdir(tmp_path)
    assert launcher.main(["run", ".", "--profile", "profiles/slurm"]) == 2
    assert "no profile of calciflow" in capsys.readouterr().err


# ---- The watch

SLEEPER = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(3))
print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture
def waiting():
    """A process that waits, as Snakemake does, and ends on Ctrl-C."""
    process = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def watched(process, looks, patience=0.5):
    """Watch with a queue that answers one look after the other, the last one for ever."""
    looks = list(looks)

    def look(prefix):
        answer = looks.pop(0) if len(looks) > 1 else looks[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    one = watch.Watch(process, "calciflow-x", patience, 0.05, look)
    one.start()
    return one


def test_a_run_whose_jobs_slurm_forgot_is_ended(waiting, capsys):
    one = watched(waiting, [[Job("1", "x", "RUNNING", "None")], []])
    assert waiting.wait(10) == 3, "ended as by Ctrl-C, so that Snakemake cancels what it knows"
    one.stop()
    assert one.verdict == "forgotten"
    assert "no job is in Slurm's queue" in capsys.readouterr().err


def test_a_controller_away_for_longer_than_the_patience_ends_the_run(waiting, capsys):
    one = watched(waiting, [SlurmSilent("Slurm did not answer")])
    assert waiting.wait(10) == 3
    one.stop()
    assert one.verdict == "silent"
    assert "Waiting for it" in capsys.readouterr().err


def test_a_controller_that_comes_back_ends_nothing(waiting):
    running = [Job("1", "x", "RUNNING", "None")]
    one = watched(waiting, [running, *[SlurmSilent("away")] * 5, running])
    time.sleep(1.0)
    assert waiting.poll() is None
    one.stop()
    assert one.verdict is None


def test_jobs_that_cannot_start_are_named(waiting, capsys):
    one = watched(waiting, [[Job("1", "x", "PENDING", "PartitionTimeLimit"), Job("2", "x", "PENDING", "Priority")]])
    time.sleep(0.3)
    one.stop()
    text = capsys.readouterr().err
    assert text.count("job 1 will not start by itself: PartitionTimeLimit") == 1
    assert text.count("2 job(s) waiting") == 1


SLOW_END = """
import signal, sys, time
def end(*_):
    time.sleep(1)
    open("{done}", "w").close()
    sys.exit(0)
signal.signal(signal.SIGINT, end)
open("{up}", "w").close()
time.sleep(30)
"""


def test_ctrl_c_leaves_snakemake_the_time_to_cancel_its_jobs(tmp_path):
    """Python's subprocess.run kills its child a quarter of a second after Ctrl-C: cancelling takes longer."""
    child = SLOW_END.format(up=tmp_path / "up", done=tmp_path / "done")
    run_it = f"run_snakemake([sys.executable, '-c', {child!r}], dict(os.environ), 0, None, 1)"
    code = f"import os, sys\nfrom calciflow.cluster.run import run_snakemake\nsys.exit({run_it}[0])"
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "scripts")},
        stdin=subprocess.DEVNULL,
    )
    deadline = time.time() + 20
    while not (tmp_path / "up").exists() and time.time() < deadline:
        time.sleep(0.05)
    parent.send_signal(signal.SIGINT)
    assert parent.wait(20) == 0
    assert (tmp_path / "done").exists()


# ---- What stands before sbatch and sacct


def shim(name, *arguments, **variables):
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "CALCIFLOW_PYTHON": sys.executable, **variables}
    return subprocess.run(
        [BIN / name, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_submission_whose_answer_was_lost_is_not_made_twice(site, tmp_path):
    site(
        "sbatch",
        f'echo "$@" >> {tmp_path}/calls; '
        'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1',
    )
    site(
        "squeue",
        f"mark=$(sed -n 's/.*\\(\\[[0-9a-f]*\\]\\).*/\\1/p' {tmp_path}/calls); "
        'echo "3|rule_a"; echo "41|rule_b $mark"',
    )
    done = shim("sbatch", "--parsable", "--comment", "rule_b", "--wrap=true")
    assert (done.returncode, done.stdout) == (0, "41\n")
    assert (tmp_path / "calls").read_text().count("\n") == 1


def test_a_submission_that_did_not_arrive_is_made_again(site, tmp_path):
    site(
        "sbatch",
        f"[ -e {tmp_path}/back ] && {{ echo 42; exit 0; }}; touch {tmp_path}/back; "
        'echo "sbatch: error: Batch job submission failed: Unable to contact slurm controller" >&2; exit 1',
    )
    site("squeue", 'echo "3|rule_a"')
    done = shim("sbatch", "--parsable", "--comment", "rule_b", "--wrap=true")
    assert (done.returncode, done.stdout) == (0, "42\n")


def test_an_error_of_the_job_is_passed_on_at_once(site, tmp_path):
    text = "sbatch: error: Batch job submission failed: Requested node configuration is not available"
    site("sbatch", f'echo x >> {tmp_path}/calls; echo "{text}" >&2; exit 1')
    done = shim("sbatch", "--comment", "rule_b", "--wrap=true")
    assert (done.returncode, done.stderr.strip()) == (1, text)
    assert (tmp_path / "calls").read_text() == "x\n"


def test_a_script_on_stdin_reaches_sbatch(site, tmp_path):
    site("sbatch", f"cat > {tmp_path}/script; echo 5")
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "CALCIFLOW_PYTHON": sys.executable}
    subprocess.run(
        [BIN / "sbatch", "/dev/stdin"], env=environment, input=b"#!/bin/sh\ntrue\n", check=True, capture_output=True
    )
    assert (tmp_path / "script").read_text() == "#!/bin/sh\ntrue\n"


def test_who_cancelled_a_job_does_not_confuse_the_executor(site):
    site("sacct", 'echo "12|CANCELLED by 1000"; echo "13|COMPLETED"; exit 0')
    done = shim("sacct", "-X", "--name", "x")
    assert done.stdout == "12|CANCELLED\n13|COMPLETED\n"


@pytest.mark.parametrize("program", ["sacct", "squeue"])
def test_a_preempted_job_is_over(site, program):
    """The executor would wait for Slurm to resume it; but no job of ours is requeued."""
    site(program, 'echo "12|PREEMPTED"; echo "13|RUNNING"; echo "14|SUSPENDED"; echo "$*"; exit 0')
    done = shim(program, "--name", "x")
    assert done.stdout == "12|CANCELLED\n13|RUNNING\n14|SUSPENDED\n--name x\n"
    site(program, "exit 1")
    assert shim(program, "--name", "x").returncode == 1


def test_sacct_without_accounting_is_answered_by_squeue(site):
    """The executor goes to sacct by itself where MinJobAge is short, though no slurmdbd stands behind it."""
    site("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    site("squeue", 'echo "12|RUNNING $*"')
    done = shim("sacct", "-X", "--name", "run_x", CALCIFLOW_SLURM_STATUS="squeue")
    assert done.stdout == "12|RUNNING --format=%i|%T --states=all --noheader --name run_x\n"
    assert shim("sacct", "-X", "--name", "run_x", CALCIFLOW_SLURM_STATUS="sacct").returncode == 1


def test_sacct_is_asked_past_ourselves_and_its_answer_translated(tmp_path, monkeypatch, capsys):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder, text in ((ours, "echo ours"), (theirs, 'echo "7|CANCELLED by 1000"; echo "$@"; exit 3')):
        folder.mkdir()
        for name in ("sacct", "squeue"):
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{ours}:{theirs}:{os.environ['PATH']}")
    monkeypatch.setenv("CALCIFLOW_SLURM_BIN", str(ours))
    assert status.main("sacct", "--name", "run") == 3
    assert capsys.readouterr().out == "7|CANCELLED\n--name run\n"
    monkeypatch.setenv("CALCIFLOW_SLURM_STATUS", "squeue")
    status.main("sacct", "-X", "--name", "run")
    assert capsys.readouterr().out.splitlines()[1] == "--format=%i|%T --states=all --noheader --name run"


@pytest.mark.parametrize(
    ("first", "queue_knows", "printed", "status"),
    [
        ("echo 11", False, "11", 0),  # taken at once
        ("echo 'Socket timed out' >&2; exit 1", True, "77", 0),  # taken, only the answer was lost
        ("echo 'Socket timed out' >&2; exit 1", False, "12", 0),  # not taken: tried again
        ("echo 'Invalid account' >&2; exit 1", True, "", 1),  # the job itself is wrong
    ],
)
def test_a_job_is_neither_lost_nor_submitted_twice(tmp_path, monkeypatch, capfd, first, queue_knows, printed, status):
    folder = tmp_path / "slurm"
    folder.mkdir()
    tried = tmp_path / "tried"
    comment = 'for word in "$@"; do case $word in --comment=*) echo "77|${word#--comment=}" >> TRIED.queue;; esac; done'
    (folder / "sbatch").write_text(
        f"#!/bin/sh\n{comment}\nif [ -e TRIED ]; then echo 12; exit 0; fi\ntouch TRIED\n{first}\n".replace(
            "TRIED", str(tried)
        )
    )
    (folder / "squeue").write_text(f"#!/bin/sh\n{f'cat {tried}.queue' if queue_knows else 'true'}\n")
    for name in ("sbatch", "squeue"):
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CALCIFLOW_SLURM_BIN", str(tmp_path))
    monkeypatch.setenv("CALCIFLOW_PATIENCE_S", "20")
    assert sbatch.main(["job.sh"]) == status
    assert capfd.readouterr().out.strip() == printed


def test_the_mark_joins_a_comment_that_is_there():
    assert sbatch.marked(["--comment", "mine", "job.sh"], " [m]") == ["--comment", "mine [m]", "job.sh"]
    assert sbatch.marked(["job.sh"], " [m]") == ["--comment= [m]", "job.sh"]


def test_without_slurm_nothing_is_submitted(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sbatch.main(["job.sh"]) == 127
    assert "not found" in capsys.readouterr().err


def test_what_outlived_its_slurm_job_is_ended_and_nothing_else(site, tmp_path, capsys):
    """Deaf to signals, as Snakemake is while it hangs on its own lock."""
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    deaf = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "SLURM_JOB_ID": number}
        )
        for number in ("7", "8")
    ]
    plain = {name: value for name, value in os.environ.items() if name != "SLURM_JOB_ID"}
    own = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=plain)
    try:
        assert all(one.stdout.readline() for one in (*deaf, own))
        processes = [deaf[0].pid, deaf[1].pid, own.pid]
        site("squeue", "exit 1")
        assert run.end_orphans(processes) == processes, "nothing is known where Slurm is silent"
        site("squeue", "echo '8|somebody_else|RUNNING|None'")
        site("scancel", "exit 0")
        assert run.end_orphans(processes) == processes[1:]
        assert deaf[0].wait(10) == -signal.SIGKILL
        assert deaf[1].poll() is None
        assert own.poll() is None
        assert f"process {deaf[0].pid} outlived its Slurm job 7" in capsys.readouterr().err
    finally:
        for one in (*deaf, own):
            one.kill()
            one.wait()
            one.stdout.close()
