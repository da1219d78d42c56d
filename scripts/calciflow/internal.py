"""What is done about a scan whose ``index`` ended in a bug."""

from pathlib import Path

from calciflow.study import ask_refresh, refresh_tokens


def fail_and_retry(*, prefix: str, index_log: str) -> None:
    """Have the scan indexed anew by the next run, and fail.

    Raises
    ------
    RuntimeError
        Always: a run in which a stage hit a bug must not end well.
    """
    study = Path.cwd()
    before = refresh_tokens(study).get(prefix, "")
    attempt = int(before.removeprefix("attempt ")) if before.startswith("attempt ") else 1
    ask_refresh(study, prefix, f"attempt {attempt + 1}")
    raise RuntimeError(
        f"index hit a bug in calciflow at this scan; the traceback is in {index_log}. The scan was left out, and will "
        "be tried again by the next run. Please report it."
    )
