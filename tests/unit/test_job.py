"""A rule's log holds everything, and a shim uses the library beside it."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

SHIM = """
import sys; sys.path.insert(0, {scripts!r})
from calciflow.job import logged
with logged("logs/x.log", {shim!r}):
    print("from python")
    import ctypes, SimpleITK
    ctypes.CDLL(None).puts(b"from C")
    ctypes.CDLL(None).fflush(None)
    SimpleITK.ProcessObject.GlobalWarningDisplayOn()
    print("to stderr", file=sys.stderr)
    {last}
print("after")
"""


def run(tmp_path, last="", shim=str(SCRIPTS / "suv.py")):
    code = SHIM.format(scripts=str(SCRIPTS), shim=shim, last=last)
    return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)


def test_everything_printed_is_in_the_log(tmp_path):
    done = run(tmp_path)
    log = (tmp_path / "logs" / "x.log").read_text()
    assert done.returncode == 0
    assert all(text in log for text in ("from python", "from C", "to stderr"))
    assert done.stdout == "after\n"
    assert "from" not in done.stderr


def test_the_traceback_is_in_the_log_and_its_last_line_on_the_terminal(tmp_path):
    done = run(tmp_path, "raise ValueError('slice 7')")
    log = (tmp_path / "logs" / "x.log").read_text()
    assert done.returncode == 1
    assert "Traceback" in log
    assert "ValueError: slice 7" in log
    assert "ValueError: slice 7" in done.stderr


def test_threads_are_fixed_before_the_libraries_load(tmp_path):
    done = run(
        tmp_path,
        "import os; print(os.environ['OMP_NUM_THREADS'], SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads())",
    )
    assert done.returncode == 0
    assert "1 2\n" in (tmp_path / "logs" / "x.log").read_text()


def test_an_abort_in_compiled_code_leaves_its_words_in_the_log(tmp_path):
    done = run(tmp_path, "import os; os.write(2, b'terminate called\\n'); os.abort()")
    assert done.returncode != 0
    assert "terminate called" in (tmp_path / "logs" / "x.log").read_text()


def test_another_copy_of_the_library_is_refused(tmp_path):
    done = run(tmp_path, shim=str(tmp_path / "scripts" / "suv.py"))
    assert done.returncode == 1
    assert "another copy is installed or on PYTHONPATH" in done.stderr


@pytest.mark.parametrize("shim", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.name)
def test_shims_are_thin(shim):
    lines = shim.read_text().splitlines()
    # The call itself may be spread over lines by the formatter; what counts is that nothing else happens.
    assert len(lines) <= 20
    assert sum(" import " in line for line in lines) <= 3
    assert "snakemake.config" not in shim.read_text()


def test_a_job_that_reads_the_source_quotes_no_error(tmp_path):
    code = SHIM.format(scripts=str(SCRIPTS), shim=str(SCRIPTS / "suv.py"), last="raise KeyError('Doe^Jane')")
    code = code.replace('.log", ', '.log", private=True, shim=')
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    log = (tmp_path / "logs" / "x.log").read_text()
    assert done.returncode == 1
    assert "KeyError" in log
    assert "KeyError" in done.stderr
    assert "Doe" not in log.replace(code, "") + done.stderr
    whole = tmp_path / "private" / "logs" / "x.log"
    assert "Doe^Jane" in whole.read_text()
    assert whole.stat().st_mode & 0o077 == 0


def test_a_full_disk_is_named_where_no_message_may_be_quoted(tmp_path):
    last = "raise OSError(28, 'No space left on device', 'Doe^Jane.dcm')"
    code = SHIM.format(scripts=str(SCRIPTS), shim=str(SCRIPTS / "suv.py"), last=last)
    code = code.replace('.log", ', '.log", private=True, shim=')
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "OSError: No space left on device" in done.stderr
    assert "Doe" not in (tmp_path / "logs" / "x.log").read_text().replace(code, "") + done.stderr
