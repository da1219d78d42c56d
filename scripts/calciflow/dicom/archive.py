"""The files of a source: a folder, a .zip, a .tar (also .gz, .bz2, .xz), or a folder that holds such archives.

Nothing is ever unpacked to disk: members are read as streams, so no name in an archive can write anywhere, and only
what is asked for takes memory. An archive inside an archive is held in memory while it is read.
"""

import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

from calciflow.errors import Refusal
from calciflow.tree import Tree

MEMBER_LIMIT = 4 << 30
"""Bytes; a member that says it is larger is not read. The largest image object seen in practice, an enhanced
whole-body CT of 2000 slices, is 1 GiB."""
BOMB_SIZE = 1 << 30
BOMB_RATIO = 150
"""An archive that is larger than BOMB_SIZE after unpacking and more than BOMB_RATIO times its own size is no medical
archive: images shrink 2 to 20 times, even empty ones mixed with others hardly 100 times (deflate's limit is 1032)."""
NESTED_LIMIT = 1 << 30
"""Bytes of an archive inside another: it is held in memory, since it can be read from end to start only."""
NESTED_DEPTH = 3
"""Archives inside each other; deeper ones are no hospital's doing."""
INSIDE = "!/"
"""Stands between the name of an archive inside another and the name of its member."""
FILE_LIMIT = 1_000_000
"""Files in a source; a link that leads in circles, or a wrong folder (a whole disk), ends here."""


@dataclass(frozen=True, order=True)
class Entry:
    """The place of a file in its source.

    Attributes
    ----------
    path
        Relative to the source, with ``/``; empty if the source itself is the file or archive.
    member
        Name inside the archive at ``path``; empty if ``path`` is the file.
    size
        Bytes.
    """

    path: str
    member: str = ""
    size: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """What tells this file from the others."""
        return self.path, self.member

    @property
    def name(self) -> str:
        """The file's own name."""
        return (self.member or self.path).rsplit("/", 1)[-1]


class Blocked(io.RawIOBase):
    """Stands for a file that may not be opened; every attempt to read it fails."""

    def readable(self) -> bool:
        """Say yes, so that the reader finds out."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fail."""
        raise PermissionError("this file cannot be opened")


def _files(tree: Tree) -> Iterator[tuple[str, Path]]:
    """Relative and whole path of every file, sorted, following links but never in circles."""
    if tree.root.is_file():
        yield "", tree.root
        return
    count = 0
    try:
        for place, file in tree.all_files():
            if not file.may_open:
                continue
            count += 1
            if count > FILE_LIMIT:
                raise Refusal("unreadable", f"The source holds more than {FILE_LIMIT} files: is the path right?")
            yield place, tree.root / place
    except OSError:
        raise Refusal("unreadable", "A folder of the source cannot be opened (permission?).") from None


def _kind(head: bytes, name: str) -> str:
    """``zip``, ``tar`` or ``file``, by content (a DICOM file has its mark at byte 128, a tar at 257)."""
    if head[128:132] == b"DICM":
        return "file"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if head[257:262] == b"ustar":
        return "tar"
    packed = head[:2] == b"\x1f\x8b" or head[:3] == b"BZh" or head[:6] == b"\xfd7zXZ\x00"
    name = name.lower()
    if packed and (name.endswith((".tgz", ".tbz2", ".txz")) or ".tar." in name):
        return "tar"
    return "file"


def _bomb(packed: int, unpacked: int) -> None:
    if unpacked > BOMB_SIZE and unpacked > BOMB_RATIO * max(packed, 1):
        raise Refusal(
            "archive",
            f"An archive of {packed >> 20} MiB would unpack to over {unpacked >> 20} MiB: no set of images does.",
        )


class _Counted(io.RawIOBase):
    """A packed stream's unpacked side, which stops when it grows absurd."""

    def __init__(self, stream: IO[bytes], packed: int) -> None:
        self._stream = stream
        self._packed = packed
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._read += len(data)
        _bomb(self._packed, self._read)
        return len(data)


def _unpacked(path: Path) -> IO[bytes]:
    import bz2

    from isal import igzip

    with open(path, "rb") as handle:
        head = handle.read(6)
    stream: IO[bytes]
    if head[:2] == b"\x1f\x8b":
        stream = igzip.open(path, "rb")
    elif head[:3] == b"BZh":
        stream = bz2.open(path, "rb")  # noqa: SIM115 (the caller closes it)
    elif head == b"\xfd7zXZ\x00":
        stream = lzma.open(path, "rb")  # noqa: SIM115
    else:
        return open(path, "rb")
    return io.BufferedReader(_Counted(stream, path.stat().st_size), 1 << 20)


def _zip_members(
    place: str, path: Path, wanted: Collection[tuple[str, str]] | None
) -> Iterator[tuple[Entry, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        yield from _zip_content(archive, path.stat().st_size, place, wanted)


def _zip_content(
    archive: zipfile.ZipFile,
    packed: int,
    place: str,
    wanted: Collection[tuple[str, str]] | None,
    outer: str = "",
    depth: int = 1,
) -> Iterator[tuple[Entry, IO[bytes]]]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    _bomb(packed, sum(info.file_size for info in infos))
    for info in sorted(infos, key=lambda item: item.filename):
        entry = Entry(place, outer + info.filename, info.file_size)
        if not _asked_for(entry, wanted):
            continue
        if info.flag_bits & 1:
            raise Refusal("archive", "An archive of the source is encrypted.")
        if info.file_size > MEMBER_LIMIT:
            continue
        with archive.open(info) as stream:
            yield from _member(entry, stream, wanted, depth)


def _tar_members(
    place: str, path: Path, wanted: Collection[tuple[str, str]] | None
) -> Iterator[tuple[Entry, IO[bytes]]]:
    with _unpacked(path) as raw, tarfile.open(fileobj=raw, mode="r|") as archive:
        yield from _tar_content(archive, None, place, wanted)


def _tar_content(
    archive: tarfile.TarFile,
    packed: int | None,
    place: str,
    wanted: Collection[tuple[str, str]] | None,
    outer: str = "",
    depth: int = 1,
) -> Iterator[tuple[Entry, IO[bytes]]]:
    unpacked = 0
    for info in archive:
        entry = Entry(place, outer + info.name, info.size)
        unpacked += info.size
        if packed is not None:
            _bomb(packed, unpacked)
        if not info.isreg() or info.size > MEMBER_LIMIT:
            continue
        if not _asked_for(entry, wanted):
            continue
        stream = archive.extractfile(info)
        if stream is not None:
            yield from _member(entry, stream, wanted, depth)


def _asked_for(entry: Entry, wanted: Collection[tuple[str, str]] | None) -> bool:
    """Whether a member is wanted, or may be an archive that holds what is."""
    if wanted is None or entry.key in wanted:
        return True
    return entry.key in _outer(frozenset(wanted))


@lru_cache(maxsize=4)
def _outer(wanted: frozenset[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """The archives inside archives that hold what is wanted."""
    found = set()
    for place, name in wanted:
        parts = name.split(INSIDE)
        found |= {(place, INSIDE.join(parts[:n])) for n in range(1, len(parts))}
    return frozenset(found)


def _member(
    entry: Entry, stream: IO[bytes], wanted: Collection[tuple[str, str]] | None, depth: int
) -> Iterator[tuple[Entry, IO[bytes]]]:
    """Give a member, or, if it is an archive itself, its members."""
    head: bytes = b"" if wanted is not None and entry.key in wanted else stream.peek(512)[:512]  # type: ignore[attr-defined]
    kind = _kind(head, entry.name)
    if kind == "file":
        yield entry, stream
        return
    if depth >= NESTED_DEPTH or entry.size > NESTED_LIMIT:
        text = "lies too deep in others" if depth >= NESTED_DEPTH else f"is larger than {NESTED_LIMIT >> 20} MiB"
        raise Refusal("archive", f"An archive inside an archive of the source {text}: unpack the outer one.")
    data = stream.read()
    outer = entry.member + INSIDE
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as inner:
            yield from _zip_content(inner, len(data), entry.path, wanted, outer, depth + 1)
    else:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as packed:
            yield from _tar_content(packed, len(data), entry.path, wanted, outer, depth + 1)


def walk(
    source: str | Path | Tree, wanted: Collection[tuple[str, str]] | None = None
) -> Iterator[tuple[Entry, IO[bytes]]]:
    """Give every file of a source with a stream of its content, each valid until the next is asked for.

    Parameters
    ----------
    source
        A folder, an archive or a file; or what is known of it already, so that its folders are not listed again.
    wanted
        Keys (:attr:`Entry.key`) of the only files to give; all by default. Folders are not listed then.

    Raises
    ------
    Refusal
        ``unreadable`` if there is no such source; ``archive`` for an archive that cannot or should not be read.
    """
    tree = source if isinstance(source, Tree) else Tree(source)
    root = tree.root
    try:
        exists = root.exists()
    except OSError:
        exists = False
    if not exists:
        raise Refusal("unreadable", "The source named in scans.tsv does not exist.")
    files: Iterator[tuple[str, Path]]
    if wanted is None:
        files = _files(tree)
    else:
        places = dict.fromkeys(path for path, _ in wanted)
        files = ((place, root / place if place else root) for place in places)
        wanted = frozenset(wanted)  # the caller may strike off what it got
    for place, path in files:
        try:
            handle: IO[bytes] = open(path, "rb", buffering=0)  # noqa: SIM115 (closed below, after its use)
        except OSError:
            yield Entry(place), Blocked()  # type: ignore[misc]
            continue
        with handle:
            kind = _kind(os.pread(handle.fileno(), 512, 0), path.name)
            if kind == "file":
                yield Entry(place, "", os.fstat(handle.fileno()).st_size), handle
                continue
        members = _zip_members if kind == "zip" else _tar_members
        try:
            yield from members(place, path, wanted)
        except (
            zipfile.BadZipFile,
            tarfile.TarError,
            zlib.error,
            lzma.LZMAError,
            EOFError,
            OSError,
            NotImplementedError,
        ) as error:
            text = f"An archive of the source is damaged ({type(error).__name__})."
            raise Refusal("archive", text) from None
