"""A private, throw-away Slurm on this machine for tests: one directory, loopback only, several slurmd on one host.

Needs Debian's ``slurm-wlm`` and ``munge`` (its slurmd may stand several times on a host). The nodes' sizes are made up
(``config_overrides``). Memory is limited by polling (``OverMemoryKill``), so no cgroup has to be writable.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"

CONF = """\
ClusterName=calciflowtest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={root}/munge.sock
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd-%n.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd-%n.log
MailProg=/bin/true
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill,UsePss
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
PriorityType=priority/basic
DefMemPerCPU=100
SlurmdTimeout=10
SlurmctldTimeout=60
MessageTimeout=20
BatchStartTimeout=60
KillWait=2
InactiveLimit=0
MinJobAge={min_job_age}
ReturnToService=2
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
"""


def missing() -> list[str]:
    """Programs that this needs and that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=SBIN) is None]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Look ten times a second; returns what the condition gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.1)
    return found


class Cluster:
    """Slurm's daemons; stopped by their process ids."""

    def __init__(self, root: Path, nodes: int = 2, cpus: int = 2, mem_mb: int = 8000, min_job_age: int = 300) -> None:
        self.root = root
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        for name in ("run", "log", "bin"):
            (root / name).mkdir(parents=True)
        for name in ("state", "munge"):
            (root / name).mkdir(mode=0o700)
        control, *ports = _free_ports(nodes + 1)
        host = socket.gethostname().split(".")[0]
        text = CONF.format(host=host, port=control, user=getpass.getuser(), root=root, min_job_age=min_job_age)
        for name, port in zip(self.nodes, ports, strict=True):
            text += (
                f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} "
                f"RealMemory={mem_mb} State=UNKNOWN\n"
            )
        text += (
            f"PartitionName=main Nodes={','.join(self.nodes)} Default=YES MaxTime=INFINITE State=UP PriorityTier=1\n"
        )
        # Jobs of this one push those of the other off their nodes.
        text += f"PartitionName=urgent Nodes={','.join(self.nodes)} MaxTime=INFINITE State=UP PriorityTier=9\n"
        (root / "slurm.conf").write_text(text)
        # The executor takes every SLURM_* variable out of a job's environment, SLURM_CONF with them: srun gets it back.
        srun = root / "bin" / "srun"
        real = shutil.which("srun", path=SBIN)
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={root}/slurm.conf exec {real} "$@"\n')
        srun.chmod(0o755)
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("SLURM_")},
            "SLURM_CONF": str(root / "slurm.conf"),
            "PATH": f"{root}/bin:{SBIN}",
        }

    def start(self) -> None:
        """Bring everything up (about 2 s)."""
        key = self.root / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        options = {"key-file": key, "socket": self.root / "munge.sock", "pid-file": self.root / "run" / "munged.pid"}
        options |= {"log-file": self.root / "log" / "munged.log", "seed-file": self.root / "munge" / "seed"}
        self.call("munged", *(f"--{name}={value}" for name, value in options.items()))
        wait_until((self.root / "munge.sock").exists, 10, "munged's socket")
        self.start_controller()
        for name in self.nodes:
            (self.root / f"spool-{name}").mkdir()
            self.start_node(name)
        wait_until(lambda: self.states().count("idle") == len(self.nodes), 30, f"idle nodes: {self.states()}")

    def call(self, *command: str) -> str:
        """Run one of Slurm's programs."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stderr}")
        return done.stdout

    def states(self) -> list[str]:
        """States of the nodes."""
        with suppress(RuntimeError):
            return self.call("sinfo", "-h", "-N", "-p", "main", "-o", "%t").split()
        return []

    def jobs(self, form: str = "%i|%T|%j|%N", states: str | None = None) -> list[list[str]]:
        """Jobs in the queue."""
        more = [f"--states={states}"] if states else []
        return [line.strip().split("|") for line in self.call("squeue", "-h", "-o", form, *more).splitlines()]

    def start_controller(self) -> None:
        """Start slurmctld; it goes on with the state it left."""
        self.call("slurmctld")

    def start_node(self, name: str) -> None:
        """Start a slurmd."""
        self.call("slurmd", "-N", name)

    def stop_controller(self) -> None:
        """End slurmctld."""
        self._end("slurmctld", "slurmctld", signal.SIGTERM)

    def kill_node(self, name: str) -> None:
        """Kill a node as if its power failed: slurmd and all processes of its jobs."""
        running = [row[0] for row in self.jobs() if row[3] == name]
        self._end(f"slurmd-{name}", "slurmd", signal.SIGKILL)
        for number in running:
            for pid in self.processes(number):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def preempt(self, node: str) -> None:
        """Submit a short job that takes a whole node from whoever is there."""
        options = ("--partition=urgent", f"--nodelist={node}", "--exclusive", "--mem=0", "--output=/dev/null")
        self.call("sbatch", *options, "--wrap=sleep 3")

    def log(self, number: str) -> str:
        """What the controller wrote about a job."""
        lines = (self.root / "log" / "slurmctld.log").read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if f"JobId={number}" in line)

    def processes(self, number: str) -> list[int]:
        """Processes of a job on this machine, slurmstepd among them."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (entry / "environ").read_bytes().split(b"\0")
                mine = f"SLURM_CONF={self.root}/slurm.conf".encode() in words
                stepd = (entry / "comm").read_text().startswith("slurmstepd")
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if f"SLURM_JOB_ID={number}".encode() in words or (mine and stepd and f"[{number}." in title):
                    found.append(int(entry.name))
        return found

    def stop(self) -> None:
        """Cancel what is in the queue and end the daemons."""
        with suppress(RuntimeError, TimeoutError, subprocess.TimeoutExpired):
            numbers = [row[0] for row in self.jobs()]
            if numbers:
                self.call("scancel", *numbers)
                wait_until(lambda: not self.jobs(), 15, "an empty queue")
        self._end("slurmctld", "slurmctld", signal.SIGTERM)
        for name in self.nodes:
            self._end(f"slurmd-{name}", "slurmd", signal.SIGTERM)
        self._end("munged", "munged", signal.SIGTERM)

    def _end(self, file: str, program: str, number: int) -> None:
        """Signal a daemon, if the process behind its pid file still is that daemon."""
        path = self.root / "run" / f"{file}.pid"
        with suppress(OSError, ValueError):
            pid = int(path.read_text())
            comm = Path(f"/proc/{pid}/comm")
            if comm.read_text().strip() == program:
                os.kill(pid, number)
                with suppress(TimeoutError, FileNotFoundError):
                    wait_until(lambda: not comm.exists() or comm.read_text().strip() != program, 10, f"{program}'s end")


def cluster(**options: int) -> Iterator[Cluster]:
    """Give a running cluster, for a fixture; munged wants all the world to be able to reach its socket."""
    with tempfile.TemporaryDirectory(prefix="slurm-test-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        one = Cluster(root, **options)
        try:
            one.start()
            yield one
        finally:
            one.stop()
