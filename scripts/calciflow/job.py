"""What every shim needs: the rule's log around everything, and the right library behind it."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import calciflow
from calciflow.errors import Refusal, ScanError, StudyError

# One thread for the linear algebra: the work is in many small products, where threads only wait for each other, and
# the order of sums, so the last bit of a result, would depend on the number of cores. A fixed number for ITK, for the
# same reason. Both are read when the libraries are imported, which shims do after this module.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"
os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "2"


@contextmanager
def logged(log: str | Path, shim: str, *, private: bool = False) -> Iterator[None]:
    """Send everything the block prints to ``log``, what C and C++ code prints included.

    File descriptors 1 and 2 are redirected, not ``sys.stdout``: SimpleITK and GDCM write past Python.
    A traceback goes to the log and, as a last line, to the terminal.

    Parameters
    ----------
    log
        The rule's log file; it is started anew.
    shim
        The shim's ``__file__``, to check that ``calciflow`` is the library beside it.
    private
        The block reads the source: an error's own message may quote a header or a path. Log and terminal then get
        the places in the code and the kind of error, and ``private/`` beside ``logs/`` the whole traceback, readable
        by its owner only.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    terminal = os.dup(2)
    saved = os.dup(1)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.dup2(target, 1)
        os.dup2(target, 2)
        check_library(shim)
        yield
    except BaseException as error:
        whole = _keep(log, error) if private else log
        last = _kind(error) if private else traceback.format_exception_only(error)[-1].strip()
        if private:
            print("".join(traceback.format_tb(error.__traceback__)) + last, file=sys.stderr)
        else:
            traceback.print_exc()
        sys.stderr.flush()
        os.write(terminal, f"{last}\n  (whole traceback: {whole})\n".encode())
        if private and isinstance(error, Exception):
            # What Snakemake prints of it must not quote anything either.
            raise RuntimeError(last) from None
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(saved, 1)
        os.dup2(terminal, 2)
        for descriptor in (target, saved, terminal):
            os.close(descriptor)


def _kind(error: BaseException) -> str:
    """Name of an error; its message too where this library wrote it, without identity."""
    if isinstance(error, Refusal | StudyError | ScanError | ImportError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, OSError) and error.errno:
        # The system's own words, such as "No space left on device"; never the path.
        return f"{type(error).__name__}: {os.strerror(error.errno)}"
    return type(error).__name__


def _keep(log: str | Path, error: BaseException) -> Path:
    """Write the whole traceback of an error where only its owner reads it."""
    target = Path("private") / (Path(log).name if Path(log).is_absolute() else Path(log))
    before = os.umask(0o077)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError:  # a full disk must not hide the error itself
        return Path(log)
    finally:
        os.umask(before)
    return target


def check_library(shim: str) -> None:
    """Refuse to run with another copy of the library than the one beside the shim."""
    wanted = Path(shim).resolve().parent / "calciflow"
    got = Path(calciflow.__file__).resolve().parent
    if got != wanted:
        raise ImportError(
            f"calciflow was imported from {got}, not from {wanted}: another copy is installed or on PYTHONPATH. "
            "Uninstall it, or unset PYTHONPATH."
        )
