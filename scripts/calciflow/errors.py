"""Errors that are meant for the user, not for the programmer."""


class Refusal(Exception):
    """A scan that cannot be measured.

    Parameters
    ----------
    code
        Stable verdict code, one of those in ``config/README.md`` (``no_weight``, ``units``, ...).
    reason
        One sentence that names the file (by its place in the source) or the tag, and the remedy.
        It must hold nothing that identifies a person.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class StudyError(Exception):
    """A mistake in a study's config or sheets: names file, row, column or key, and the fix."""


class ScanError(RuntimeError):
    """A fault of one scan after it was screened, in words without identity: they may stand in a log."""
