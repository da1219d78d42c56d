"""Images of a chosen series that fell out of its volume, since a tag of theirs differs (units, matrix, correction ...).

In the middle of a volume such an image leaves a gap, which is refused anyhow. At an end nothing would show.
"""

from collections.abc import Sequence

from calciflow.dicom.headers import Header
from calciflow.dicom.series import ORIENTATION_TOLERANCE, Group
from calciflow.errors import Refusal


def check_leftovers(warnings: list[tuple[str, str]], groups: Sequence[Group], chosen: Group, was_forced: bool) -> None:
    """Refuse a volume that stray images of its own series continue; only warn if the sheet names the series.

    Raises
    ------
    Refusal
        ``missing_slice``, naming the rows.
    """
    for piece in chosen.pieces or (chosen,):
        stray = [
            item
            for item in groups
            if item.number != piece.number
            and item.grid is None  # what is a volume of its own is judged as such
            and item.source == piece.source
            and bool(piece.first.series_uid)
            and item.first.series_uid == piece.first.series_uid
            and item.first.sop_class in ("", piece.first.sop_class)
        ]
        lost = [item for item in stray if any(_continues(piece, header, len(item.headers)) for header in item.headers)]
        if not lost:
            continue
        kind = "PET" if chosen.is_pet else "CT"
        count = sum(len(item.headers) for item in lost)
        text = (
            f"The {kind}, row {piece.number}, is continued by {count} image(s) of the "
            f"same series that differ in a tag (row {', '.join(str(item.number) for item in lost)}; position, matrix, "
            "pixel size, units, correction or kind): send the series again"
        )
        if not was_forced:
            raise Refusal("missing_slice", f"{text}, or force it with `{kind.lower()}_series` to leave them out.")
        warnings.append(("missing_slice", f"{text}."))


def _continues(piece: Group, header: Header, count: int) -> bool:
    """Whether an image lies within ``count`` slices beyond the volume, or cannot say where it lies."""
    assert piece.grid is not None
    first = piece.first
    if header.orientation is not None and first.orientation is not None:
        pairs = zip(header.orientation, first.orientation, strict=True)
        if max(abs(one - two) for one, two in pairs) > ORIENTATION_TOLERANCE:
            return False  # a topogram or a projection
    if header.position is None:
        return header.image_type == first.image_type
    step = piece.grid.increment
    heights = [other.position[2] for other in piece.headers if other.position is not None]
    height = header.position[2]
    if min(abs(height - other) for other in heights) < step / 2:
        return False
    return min(heights) - (count + 0.5) * step < height < max(heights) + (count + 0.5) * step
