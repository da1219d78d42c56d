"""Files of a foreign map: one, or a folder of masks."""

from pathlib import Path

ENDINGS = (".nii", ".nii.gz")


def files_of(path: str) -> list[str]:
    """Files of a map: itself, or the masks in its folder; none if it is not there."""
    place = Path(path)
    if path and place.is_dir():
        return sorted(str(item) for item in place.iterdir() if item.name.endswith(ENDINGS))
    return [path] if path and place.is_file() else []
