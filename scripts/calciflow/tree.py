"""What lies in a source: every folder is listed once, every file's status asked for once, whoever needs them.

A folder on a server that holds 100,000 files takes minutes to list; reading the headers, telling a changed source and
looking for NIfTI all go by the same listing.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class Status(NamedTuple):
    """What is known of a file without opening it: bytes, time of its last change in ns, whether it is a regular one."""

    size: int
    time_ns: int
    regular: bool


class File(NamedTuple):
    """What stands in a folder and is none itself.

    Attributes
    ----------
    name
        Its own name.
    link
        Whether it is a symbolic link.
    status
        Of what a link leads to; None if that is away or may not be seen.
    """

    name: str
    link: bool
    status: Status | None

    @property
    def may_open(self) -> bool:
        """Whether it is no socket or device. A link to nothing counts: it may stand for a slice that is lost."""
        return self.link if self.status is None else self.status.regular


class Folder(NamedTuple):
    """A folder's own entries, each sorted by name; ``links`` are those of the folders that are symbolic links."""

    folders: tuple[str, ...]
    links: frozenset[str]
    files: tuple[File, ...]


class Tree:
    """The folders below a source, listed when first asked for and then remembered.

    Parameters
    ----------
    root
        The source: a folder, an archive or a file; it need not exist.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._known: dict[str, Folder | OSError] = {}

    def folder(self, path: Path) -> tuple[str, Folder]:
        """The real path of a folder and what is in it; a folder with several paths is listed once.

        Raises
        ------
        OSError
            If it cannot be listed.
        """
        real = os.path.realpath(path)
        if real not in self._known:
            try:
                self._known[real] = _listed(path)
            except OSError as error:
                self._known[real] = error
        found = self._known[real]
        if isinstance(found, OSError):
            raise found
        return real, found

    def own_files(self) -> Iterator[tuple[str, File]]:
        """Path, relative to the root and with ``/``, of every file, without following links to folders.

        In the order of :func:`os.walk` with sorted names: a folder's files, then its folders. A folder that cannot be
        listed is left out. Nothing for a root that is no folder.
        """
        waiting = [""] if self.root.is_dir() else []
        while waiting:
            place = waiting.pop()
            try:
                _, found = self.folder(self.root / place)
            except OSError:
                continue
            yield from ((place + file.name, file) for file in found.files)
            waiting += [f"{place}{name}/" for name in reversed(found.folders) if name not in found.links]

    def all_files(self) -> Iterator[tuple[str, File]]:
        """The same, following links to folders, but never into a folder that was seen already.

        Raises
        ------
        OSError
            If the root is no folder, or a folder cannot be listed.
        """
        waiting = [""]
        seen: set[str] = set()
        while waiting:
            place = waiting.pop()
            real, found = self.folder(self.root / place)
            if real in seen:
                continue
            seen.add(real)
            yield from ((place + file.name, file) for file in found.files)
            waiting += [f"{place}{name}/" for name in reversed(found.folders)]


def _listed(path: Path) -> Folder:
    folders, links, files = [], [], []
    with os.scandir(path) as entries:
        for entry in entries:
            if _is_folder(entry):
                folders.append(entry.name)
                if entry.is_symlink():
                    links.append(entry.name)
            else:
                files.append(File(entry.name, entry.is_symlink(), _status(entry)))
    files.sort(key=lambda file: file.name)
    return Folder(tuple(sorted(folders)), frozenset(links), tuple(files))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _status(entry: "os.DirEntry[str] | Path") -> Status | None:
    try:
        found = entry.stat()
    except OSError:
        return None
    return Status(found.st_size, found.st_mtime_ns, stat.S_ISREG(found.st_mode))


def source_digest(trees: Iterable[Tree]) -> str:
    """Digest of what lies in a scan's sources: relative path, size and time of every file, none of them opened.

    A source that is missing gives another digest than one that is empty.
    """
    digest = hashlib.sha256()
    for tree in trees:
        root = tree.root
        digest.update(f"\nsource {root.is_dir()} {root.exists()}".encode())
        for name, status in _statuses(tree):
            digest.update(f"\n{name}\t{status.size}\t{status.time_ns}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _statuses(tree: Tree) -> Iterator[tuple[str, Status]]:
    """Files that are there; their names begin with that of the source itself."""
    name = tree.root.name
    if not tree.root.is_dir():
        found = [(name, _status(tree.root))]
    else:
        found = [(f"{name}/{place}" if name else place, file.status) for place, file in tree.own_files()]
    yield from ((place, status) for place, status in found if status is not None)
