"""Where a scan's foreign maps are: patterns of the config, filled in from the scan's row."""

import glob
import string
from collections.abc import Mapping

from calciflow.errors import StudyError
from calciflow.sheets import Scan


def fields_of(scan: Scan) -> dict[str, str | None]:
    """Words that a pattern may use, with their values for a scan."""
    return {
        "participant_id": scan.participant_id,
        "session_id": scan.session_id,
        "acquisition": scan.acquisition,
        "scan": scan.prefix,
        "labelmap": scan.labelmap,
    }


def check_patterns(engine: str, patterns: Mapping[str, str]) -> None:
    """Check the patterns before anything runs.

    Raises
    ------
    StudyError
        For an unknown word in braces, or an engine without maps.
    """
    if engine == "labelmap" and not patterns:
        raise StudyError(
            "config/config.yaml: `tissues.engine` is labelmap, but `tissues.labelmaps` names no map. Write, for "
            "example, labelmaps: {totalsegmentator_total: 'maps/{scan}_total.nii.gz'}."
        )
    known = fields_of(Scan("", "", None, {}))
    for kind, pattern in patterns.items():
        try:
            words = [name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None]
        except ValueError as error:
            raise StudyError(f"config/config.yaml: `tissues.labelmaps.{kind}`: {pattern!r}: {error}.") from None
        for word in words:
            if word not in known:
                raise StudyError(
                    f"config/config.yaml: `tissues.labelmaps.{kind}`: unknown word {{{word}}} in {pattern!r}. "
                    f"Known: {', '.join(f'{{{name}}}' for name in known)}."
                )


def find_map(pattern: str, scan: Scan) -> str:
    """Fill in a pattern; ``*`` and ``?`` stand for what is not known of a file's name.

    Returns
    -------
    str
        The path that is there; else, or if several fit, the filled-in pattern, which the job then cannot open.
    """
    values = fields_of(scan)
    words = {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}
    if any(values[word] is None for word in words):
        return ""
    escaped = {word: glob.escape(str(values[word])) for word in words}
    found = sorted(glob.glob(pattern.format(**escaped)))  # noqa: PTH207, the pattern may be absolute
    return found[0] if len(found) == 1 else pattern.format(**{word: values[word] for word in words})
