"""Write calciflow.yaml, a conda environment with the versions that requirements.txt pins."""

import re
from pathlib import Path

HERE = Path(__file__).resolve().parent


def render() -> str:
    """Give the yaml: Python from conda-forge, what requirements.in names from pip, at the pinned versions."""
    pins = {}
    for line in (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines():
        found = re.match(r"([A-Za-z0-9_.-]+)==(\S+)(?: ; python_full_version < '3.12')? *\\?$", line)
        if found:
            pins[found[1].lower()] = found[2]
    lines = (HERE / "requirements.in").read_text(encoding="utf-8").splitlines()
    names = [
        re.sub(r"[-_.]+", "-", re.split(r"[=<>\s]", line)[0].lower())
        for line in lines
        if line and not line.startswith("#")
    ]
    head = "# Written by envs/conda_from_pins.py from requirements.txt (`make lock`).\nname: calciflow\nchannels:\n"
    head += "  - conda-forge\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n"
    return head + "".join(f"      - {name}=={pins[name]}\n" for name in sorted(names))


if __name__ == "__main__":
    (HERE / "calciflow.yaml").write_text(render(), encoding="utf-8")
