"""The workflow on a real Slurm, through kills of everything that can be killed.

A study of tiny phantoms runs twice, once with Snakemake killed, a job cancelled and a node lost on the way, and must
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
from calciflow.forecast import STUDY_JOBS
from calciflow.resources import index_memory_mb
from calciflow.study import IMAGES
from harness import Study, copy_code, write_sheets
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

GROUP_TOY = """
import sys
sys.path.insert(0, {scripts!r})

rule all:
    input:
        expand("results/{{n}}.txt", n={jobs})

rule lesions:
    output:
        "results/{{n}}.part",
    resources:
        mem_mb=300,
        runtime=5,
        slurm_extra="--exclusive",
    shell:
        "echo started >> trace_{{wildcards.n}}; echo whole > {{output}}"

rule compartments:
    input:
        "results/{{n}}.part",
    output:
        "results/{{n}}.txt",
    resources:
        mem_mb=lambda wildcards, attempt: {memory} * attempt,
        runtime=5,
        slurm_extra="--exclusive",
    shell:
        "echo $SLURM_JOB_ID >> second_{{wildcards.n}}; echo half > {{output}}; {command}; cat {{input}} > {{output}}"
"""
"""Two stages of a scan's group, as the profile groups them; each group has a node of its own."""


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


def hurry(code: Path) -> Path:
    """Ask for jobs and files sooner than a real cluster should be asked."""
    profile = code / "profiles" / "slurm" / "config.yaml"
    text = profile.read_text()
    profile.write_text(text.replace("status-checks: 10", "status-checks: 1").replace("wait: 60", "wait: 10"))
    return code


@pytest.fixture
def toy(tmp_path, cluster):
    """Gives a function that starts the toy workflow."""
    runs = []

    def start(command="sleep 4", jobs=(1, 2), memory=300, options=(), text=TOY):
        code = tmp_path / "code"
        if not code.exists():
            copy_code(code)
        snakefile = text.format(scripts=str(code / "scripts"), jobs=list(jobs), memory=memory, command=command)
        (code / "Snakefile").write_text(snakefile)
        write_sheets(tmp_path / "toy", "participant_id\tsession_id\tsource\n")
        hurry(code)
        if text is TOY:
            profile = code / "profiles" / "slurm" / "config.yaml"
            profile.write_text(re.sub(r"groups:\n(  - .*\n)+", "", profile.read_text()))
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


def jobs_of(run, number):
    """Slurm's numbers of the jobs in which the second stage of a group began, in their order."""
    path = run.study / f"second_{number}"
    return path.read_text().split() if path.exists() else []


def job_of(run, number):
    """The last of them."""
    return jobs_of(run, number)[-1]


def begun(run, number):
    """Starts of the second stage of a group."""
    return len(jobs_of(run, number))


def mine(cluster, run):
    """Jobs of the study, ended ones too: number, and state, memory, node."""
    rows = cluster.jobs("%i|%T|%m|%N|%j", states="all")
    return {row[0]: row[1:4] for row in rows if row[4].startswith(job_prefix(run.study))}


def test_a_group_that_is_preempted_or_out_of_memory_is_tried_again(cluster, toy):
    """Group 1 needs more memory in its second stage than it asked for at first; group 2 is pushed off its node."""
    eat = f"{sys.executable} -c 'import time; x = bytearray(450_000_000); time.sleep(4)'"
    run = toy(f"if [ {{wildcards.n}} = 1 ]; then {eat}; else {HELD}; fi", memory=400, text=GROUP_TOY)
    wait_until(lambda: begun(run, 2), 270, run.text())
    pushed = job_of(run, 2)
    cluster.preempt(mine(cluster, run)[pushed][2])
    wait_until(lambda: mine(cluster, run)[pushed][0] != "RUNNING", 60, "preempted")
    (run.study / "release").touch()
    assert run.end(600) == 0, run.text()
    jobs = mine(cluster, run)
    assert jobs[pushed][0] == "PREEMPTED", "and not requeued: it would run beside the job that replaces it"
    small, large = sorted((memory, state) for number, (state, memory, _) in jobs.items() if number in jobs_of(run, 1))
    assert small[0] == "400M"
    assert small[1] not in ("COMPLETED", "CANCELLED", "PREEMPTED")
    assert large == ("800M", "COMPLETED")
    assert [jobs[number][0] for number in jobs_of(run, 2)] == ["PREEMPTED", "COMPLETED"]
    assert made(run) == ["1.txt", "2.txt"]
    assert {(run.study / "results" / f"{n}.txt").read_text() for n in (1, 2)} == {"whole\n"}
    assert [starts(run, n) for n in (1, 2)] == [2, 2], "the first stage of a group runs again with it"


def test_a_preempted_group_is_made_by_the_same_command(cluster, toy):
    """No try is left: the run ends with an error, and nothing that the group began is taken for finished."""
    command = f"if [ {{wildcards.n}} = 2 ]; then {HELD}; fi"
    run = toy(command, options=("--retries", "0"), text=GROUP_TOY)
    wait_until(lambda: begun(run, 2), 270, run.text())
    pushed = job_of(run, 2)
    cluster.preempt(mine(cluster, run)[pushed][2])
    assert run.end(300) == 1, run.text()
    assert mine(cluster, run)[pushed][0] == "PREEMPTED"
    assert made(run) == ["1.txt"]
    (run.study / "release").touch()
    again = toy(command, options=("--retries", "0"), text=GROUP_TOY)
    assert again.end(300) == 0, again.text()
    assert made(again) == ["1.txt", "2.txt"]
    assert (run.study / "results" / "2.txt").read_text() == "whole\n"
    assert (begun(run, 1), begun(run, 2)) == (1, 2), "what was finished is not made again"


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


def files(folder):
    """Content of all results."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "results").rglob("*"))
        if path.is_file()
    }


SCANS = 3
"""Of the study: one for each way to lose a job. A scan costs about a minute of a slow core, here and on the nodes."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A study of tiny phantoms, a person each, and what a run without Slurm makes of it: folder, and files' content."""
    from calciflow.phantom import write_dicom
    from calciflow.phantom.tiny import tiny_leg

    root = tmp_path_factory.mktemp("tiny")
    numbers = range(1, SCANS + 1)
    rows = [f"sub-0{n}\tses-01\tscans/{n}" for n in numbers]
    people = "".join(f"sub-0{n}\t{'DM' if n % 2 else 'SSc'}\n" for n in numbers)
    sheet = "\n".join(["participant_id\tsession_id\tsource", *rows, ""])
    write_sheets(root / "study", sheet, people, "allow_incomplete: false\n")
    for number in numbers:
        write_dicom(tiny_leg(number), root / "study" / "scans" / str(number))
    local = root / "local"
    shutil.copytree(root / "study", local)
    Study(local, copy_code(root / "code")).run()
    return root / "study", files(local)


def test_groups_leave_no_images_where_none_are_kept(cluster, tiny, tmp_path):
    """A scan's volumes pass from stage to stage inside its job, and are gone at the end; results are as ever."""
    code = hurry(copy_code(tmp_path / "code"))
    source, kept = tiny
    study = shutil.copytree(source, tmp_path / "study")
    (study / "config" / "config.yaml").write_text("keep_images: false\n")
    run = Run(cluster, code, study)
    assert run.end(900) == 0, run.text()
    jobs = mine(cluster, run)
    asked = list(jobs.values())
    told = "\n".join(cluster.log(number) for number, (state, _, _) in jobs.items() if state != "COMPLETED")
    assert len(asked) == 1 + SCANS + STUDY_JOBS, f"index of all, a job each, and the study's, as forecast says\n{told}"
    assert {state for state, _, _ in asked} == {"COMPLETED"}, told
    assert f"{index_memory_mb()}M" in [memory for _, memory, _ in asked], "those that share a job are read in turn"
    bare = files(study)
    volumes = {name for name in kept if name.endswith(tuple(f"ses-01_{image}" for image in IMAGES))}
    assert len(volumes) == 3 * SCANS
    assert bare.keys() == kept.keys() - volumes
    assert [name for name in bare if bare[name] != kept[name]] == ["results/report.html"], "which tells every setting"
    again = Run(cluster, code, study)
    assert again.end(300) == 0
    assert again.text().count("Nothing to be done") == 1, "nothing is missed"


def test_scans_through_kills_equal_a_local_run(cluster, tiny, tmp_path):
    code = hurry(copy_code(tmp_path / "code"))
    source, one = tiny
    study = shutil.copytree(source, tmp_path / "study")

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
    other = files(study)
    assert sorted(one) == sorted(other)
    assert [name for name in one if one[name] != other[name]] == []
