"""What finding lesions may cost on a whole-body scan: the bars of 20 s and 3 GB."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "benchmark" / "lesions_cost.py"


@pytest.mark.slow
def test_200_deposits_on_a_whole_body_ct_within_20_seconds_and_3_gigabytes():
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--pet-mm", "4"], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"([\d.]+) s of CPU, ([\d.]+) GB at most; ([\d.]+) % found", done.stdout)
    seconds, gigabytes, share = map(float, found.groups())
    assert seconds <= 20.0
    assert gigabytes <= 3.0
    assert share >= 95.0
