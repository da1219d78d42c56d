"""The workflow on a real Slurm, through kills of everything that can be killed.

A study of six tiny phantoms runs once, with Snakemake killed, a job cancelled and a node lost on the way, and must
equal a local run byte for byte. What else goes wrong on clusters is tried on a toy workflow with the same launcher and
profile, since each cluster job costs two starts of Snakemake.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import slurm_cluster
from calciflow.cluster.identity import job_prefix
from harness import copy_code, write_sheets
from slurm_cluster import Cluster, wait_until

MISSING = slurm_cluster.missing()
HELD = "while [ ! -e release ]; do sleep 0.2; done"
"""A job that ends when the test says so: how long it takes until it is seen at work plays no part."""

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.xdist_group("slurm"),
    pytest.mark.skipif(bool(MISSING), reason=f"Slurm is not installed: no {', '.join(MISSING)}"),
]

TOY = """
import sys
sys.path.insert(0, {scripts!r})

rule all:
    input:
        expand("results/{{n}}.txt", n={jobs})

rule work:
    output:
        "results/{{n}}.txt",
    resources:
        mem_mb=lambda wildcards, attempt: {memory} * attempt,
        runtime=5,
        # Where there are three jobs, each has a node of its own: none goes down with another's.
        slurm_extra="--exclusive" if len({jobs}) == 3 else "",
    shell:
        "echo started >> trace_{{wildcards.n}}; {command}; echo done > {{output}}"
"""


@pytest.fixture(scope="module")
def cluster():
    yield from slurm_cluster.cluster(nodes=3)


class Run:
    """The launcher, at work in the background."""

    def __init__(self, cluster: Cluster, code: Path, study: Path, *options: str) -> None:
        self.study = study
        self.log = study.parent / f"{study.name}.log"
        environment = {**cluster.environment, "PYTHONPATH": str(code / "scripts")}
        command = [sys.executable, "-m", "calciflow.launcher", "run", study.name, "--profile", "slurm", *options]
        with self.log.open("ab") as log:
            # From the study's parent, by a relative path: as the manual says.
            self.process = subprocess.Popen(
                command, cwd=study.parent, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def text(self) -> str:
        return self.log.read_text()

    def end(self, seconds: float) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"not at its end within {seconds:g} s:\n{self.text()}")

    def kill(self) -> None:
        """``kill -9`` of the launcher and of Snakemake; jobs on the nodes go on."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def toy(tmp_path, cluster):
    """Gives a function that starts the toy workflow."""
    runs = []

    def start(command="sleep 4", jobs=(1, 2), memory=300, options=()):
        code = tmp_path / "code"
        if not code.exists():
            copy_code(code)
        text = TOY.format(scripts=str(code / "scripts"), jobs=list(jobs), memory=memory, command=command)
        (code / "Snakefile").write_text(text)
        write_sheets(tmp_path / "toy", "participant_id\tsession_id\tsource\n")
        profile = code / "profiles" / "slurm" / "config.yaml"
        text = re.sub(r"groups:\n(  - .*\n)+", "", profile.read_text())
        profile.write_text(text.replace("status-checks: 10", "status-checks: 1").replace("wait: 60", "wait: 10"))
        runs.append(Run(cluster, code, tmp_path / "toy", *options))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.kill()
    for row in cluster.jobs():
        cluster.call("scancel", row[0])
    wait_until(lambda: not cluster.jobs(), 30, "an empty queue")


def made(run):
    return sorted(path.name for path in (run.study / "results").glob("*.txt"))


def starts(run, number):
    path = run.study / f"trace_{number}"
    return path.read_text().count("started") if path.exists() else 0


def running(cluster, run, count=1):
    return lambda: sum(starts(run, n) for n in (1, 2)) >= count and len(cluster.jobs()) >= count


def test_a_killed_run_leaves_no_second_writer(cluster, toy):
    run = toy("sleep 30")
    wait_until(running(cluster, run, 2), 180, run.text())
    old = {row[0] for row in cluster.jobs()}
    assert all(row[2].startswith("calciflow-") for row in cluster.jobs())
    run.kill()
    assert {row[0] for row in cluster.jobs()} == old, "Slurm knows nothing of the kill"
    again = toy("sleep 1")
    assert again.end(300) == 0, again.text()
    assert "2 Slurm job(s) of an earlier run were cancelled" in again.text()
    states = {row[0]: row[1] for row in cluster.jobs(states="all")}
    assert {states[number] for number in old} == {"CANCELLED"}
    assert made(again) == ["1.txt", "2.txt"]


def test_cancelled_lost_and_too_large_jobs_are_submitted_again(cluster, toy):
    """Job 1 is cancelled, the node of job 2 fails, job 3 needs more memory than it asked for at first."""
    eat = f"{sys.executable} -c 'import time; x = bytearray(450_000_000); time.sleep(4)'"
    run = toy(f"if [ {{wildcards.n}} = 3 ]; then {eat}; else {HELD}; fi", jobs=(1, 2, 3), memory=400)
    wait_until(lambda: all(starts(run, n) for n in (1, 2, 3)), 270, "three jobs at work")
    jobs = {re.search(r"wildcards_(\d)", row[2])[1]: row for row in cluster.jobs("%i|%N|%k")}
    cancelled, lost, large = (jobs[n][0] for n in "123")
    node = jobs["2"][1]
    cluster.kill_node(node)
    cluster.call("scancel", cancelled)
    (run.study / "release").touch()
    try:
        assert run.end(600) == 0, run.text()
    finally:
        cluster.start_node(node)
    wait_until(lambda: cluster.states().count("idle") == len(cluster.nodes), 180, "idle nodes")
    assert made(run) == ["1.txt", "2.txt", "3.txt"]
    rows = cluster.jobs("%i|%T|%m|%k|%j", states="all")
    mine = [row for row in rows if row[4].startswith(job_prefix(run.study))]
    states = {row[0]: row[1] for row in mine}
    assert states[cancelled] == "CANCELLED"
    assert states[lost] == "NODE_FAIL", "lost, and not requeued: it would run beside the job that replaces it"
    assert states[large] not in ("COMPLETED", "CANCELLED", "NODE_FAIL")
    tries = [(row[2], row[1]) for row in mine if "wildcards_3" in row[3]]
    assert ("800M", "COMPLETED") in tries
    assert ("400M", states[large]) in tries
    assert all(starts(run, n) == 2 for n in (1, 2))


def test_a_controller_that_is_away_is_waited_for(cluster, toy):
    run = toy(HELD, jobs=(1,))
    wait_until(running(cluster, run), 180, run.text())
    cluster.stop_controller()
    try:
        (run.study / "release").touch()  # it ends while nobody can say so
        time.sleep(15)
    finally:
        cluster.start_controller()
    assert run.end(360) == 0, run.text()
    assert made(run) == ["1.txt"]
    assert starts(run, 1) == 1


def test_jobs_that_slurm_forgot_are_not_waited_for(cluster, toy):
    """A controller that lost its state knows no job any more; the executor alone would wait for ever."""
    run = toy(HELD, jobs=(1,), options=("--patience", "0.2"))
    wait_until(running(cluster, run), 180, run.text())
    cluster.stop_controller()
    (run.study / "release").touch()
    shutil.rmtree(cluster.root / "state")
    (cluster.root / "state").mkdir(mode=0o700)
    cluster.start_controller()
    assert run.end(360) == 0, run.text()
    assert "no job is in Slurm's queue" in run.text()
    assert made(run) == ["1.txt"]


def test_a_slurm_that_does_not_answer_is_said_at_once(cluster, toy):
    cluster.stop_controller()
    try:
        run = toy(jobs=(1,))
        assert run.end(180) == 2
    finally:
        cluster.start_controller()
    assert "Slurm did not answer" in run.text()


def test_six_scans_through_kills_equal_a_local_run(cluster, tmp_path):
    from calciflow.phantom import write_dicom
    from calciflow.phantom.tiny import tiny_leg

    code = copy_code(tmp_path / "code")
    study = tmp_path / "study"
    rows = [f"sub-0{n}\tses-01\tscans/{n}" for n in range(1, 7)]
    people = "".join(f"sub-0{n}\t{'DM' if n % 2 else 'SSc'}\n" for n in range(1, 7))
    sheet = "\n".join(["participant_id\tsession_id\tsource", *rows, ""])
    write_sheets(study, sheet, people, "allow_incomplete: false\n")
    for number in range(1, 7):
        write_dicom(tiny_leg(number), study / "scans" / str(number))
    local = tmp_path / "local"
    shutil.copytree(study, local)

    def groups():
        return [row for row in cluster.jobs() if row[1] == "RUNNING" and list(study.glob("results/*/*/*_ct.nii.gz"))]

    run = Run(cluster, code, study)
    wait_until(groups, 600, run.text())
    run.kill()
    run = Run(cluster, code, study)
    wait_until(lambda: "of an earlier run were cancelled" in run.text(), 180, "leftovers are cancelled")
    cancelled = wait_until(groups, 600, run.text())[0][0]
    cluster.call("scancel", cancelled)
    others = wait_until(lambda: [row for row in groups() if row[0] != cancelled], 300, run.text())
    node = others[0][3]
    cluster.kill_node(node)
    try:
        assert run.end(1200) == 0, run.text()
    finally:
        cluster.start_node(node)
    environment = {**os.environ, "PYTHONPATH": str(code / "scripts")}
    command = [sys.executable, "-m", "calciflow.launcher", "run", str(local)]
    subprocess.run(command, env=environment, check=True, capture_output=True)

    def files(folder):
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted((folder / "results").rglob("*"))
            if path.is_file()
        }

    one, other = files(local), files(study)
    assert sorted(one) == sorted(other)
    assert [name for name in one if one[name] != other[name]] == []
