"""Sources: folders and archives of every kind, and those that mean harm."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from calciflow.dicom import archive
from calciflow.dicom.archive import walk
from calciflow.errors import Refusal

FILES = {"a/1.dcm": b"one" * 100, "a/b/2.dcm": b"two" * 2000, "c.txt": b""}


def content(source: Path, wanted: list[tuple[str, str]] | None = None) -> dict[str, bytes]:
    return {entry.member or entry.path: stream.read() for entry, stream in walk(source, wanted)}


def folder(root: Path) -> Path:
    for name, data in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def packed(path: Path, kind: str, files: dict[str, bytes] = FILES) -> Path:
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for name, data in files.items():
                target.writestr(name, data)
    else:
        mode = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}[kind]
        with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def test_folder(tmp_path: Path) -> None:
    assert content(folder(tmp_path / "in")) == FILES


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_archives(kind: str, tmp_path: Path) -> None:
    source = packed(tmp_path / f"x.{kind}", kind)
    assert content(source) == FILES
    assert content(source, [("", "a/b/2.dcm")]) == {"a/b/2.dcm": FILES["a/b/2.dcm"]}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archives_inside_a_folder(kind: str, tmp_path: Path) -> None:
    root = folder(tmp_path / "in")
    packed(root / f"more.{kind}", kind, {"d/3.dcm": b"three"})
    assert content(root) == FILES | {"d/3.dcm": b"three"}
    assert content(root, [(f"more.{kind}", "d/3.dcm"), ("a/1.dcm", "")]) == {
        "d/3.dcm": b"three",
        "a/1.dcm": FILES["a/1.dcm"],
    }


def test_order_is_the_same_everywhere(tmp_path: Path) -> None:
    root = folder(tmp_path / "in")
    assert [entry.path for entry, _ in walk(root)] == ["c.txt", "a/1.dcm", "a/b/2.dcm"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_point_outside_write_nothing(kind: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside.dcm"
    work = tmp_path / "work"
    work.mkdir()
    evil = {"../outside.dcm": b"evil", str(outside): b"evil", "good.dcm": b"good"}
    source = packed(work / "x", kind, evil)
    before = sorted(tmp_path.rglob("*"))
    assert content(source)["good.dcm"] == b"good"
    assert sorted(tmp_path.rglob("*")) == before


def test_links_and_devices_in_a_tar_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            info = tarfile.TarInfo(f"link{kind!r}.dcm")
            info.type, info.linkname = kind, str(secret)
            tar.addfile(info)
    assert content(path) == {}


def test_circular_links_end(tmp_path: Path) -> None:
    root = folder(tmp_path / "in")
    (root / "a" / "round").symlink_to(root)
    names = [entry.path for entry, _ in walk(root)]
    assert sorted(names) == sorted(FILES)


def test_a_link_to_nowhere_is_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """It may stand for a slice, whose loss at an end nothing else would show."""
    root = folder(tmp_path / "in")
    (root / "dangling.dcm").symlink_to(root / "nowhere")
    (root / "circle.dcm").symlink_to("circle.dcm")
    streams = {entry.path: stream for entry, stream in walk(root) if entry.path not in FILES}
    assert sorted(streams) == ["circle.dcm", "dangling.dcm"]
    for stream in streams.values():
        with pytest.raises(PermissionError):
            stream.read(1)


def test_linked_folder_is_followed(tmp_path: Path) -> None:
    target = folder(tmp_path / "far")
    root = tmp_path / "in"
    root.mkdir()
    (root / "link").symlink_to(target)
    assert {f"link/{name}" for name in FILES} == {entry.path for entry, _ in walk(root)}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_bomb_is_refused_before_it_is_unpacked(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "BOMB_SIZE", 1 << 20)
    source = packed(tmp_path / f"x.{kind}", kind, {"zero.dcm": bytes(8 << 20)})
    assert source.stat().st_size < 20_000
    with pytest.raises(Refusal) as caught:
        content(source)
    assert caught.value.code == "archive"


def test_real_images_in_a_zip_are_no_bomb(tmp_path: Path) -> None:
    # 40 MiB of slices that are mostly air shrink about tenfold: far from the limit.
    import numpy as np

    image = np.zeros((512, 512), np.int16)
    image[100:300, 100:300] = np.random.default_rng(0).integers(0, 100, (200, 200))
    source = packed(tmp_path / "x.zip", "zip", {f"{k}.dcm": image.tobytes() for k in range(80)})
    assert 80 * image.nbytes < archive.BOMB_RATIO * source.stat().st_size
    assert len(content(source)) == 80


def test_encrypted_zip_is_refused(tmp_path: Path) -> None:
    source = packed(tmp_path / "x.zip", "zip")
    data = bytearray(source.read_bytes())
    at = data.find(b"PK\x01\x02")
    struct.pack_into("<H", data, at + 8, struct.unpack_from("<H", data, at + 8)[0] | 1)
    source.write_bytes(data)
    with pytest.raises(Refusal, match="encrypted") as caught:
        content(source)
    assert caught.value.code == "archive"


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz"])
def test_truncated_archive_is_refused(kind: str, tmp_path: Path) -> None:
    files = {f"{k}.dcm": os.urandom(3000) for k in range(5)}
    source = packed(tmp_path / f"x.{kind}", kind, files)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 6 // 10] if kind != "tar" else data[:7000])
    with pytest.raises((Refusal, tarfile.ReadError)) as caught:
        content(source)
    assert getattr(caught.value, "code", "archive") == "archive"


@pytest.mark.parametrize("kind", ["damaged", "deep", "bomb"])
def test_archive_inside_an_archive_that_cannot_be_read_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"a.dcm": b"x" * 200000}
    for level in range({"damaged": 1, "deep": 4, "bomb": 1}[kind]):
        path = tmp_path / f"{level}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        data = path.read_bytes()
        content = {f"{level}.zip": data[:-40] if kind == "damaged" else data}
    outer = tmp_path / "outer.zip"
    with zipfile.ZipFile(outer, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
        archive.writestr("other.bin", bytes(range(256)) * 8)
    if kind == "bomb":
        monkeypatch.setattr("calciflow.dicom.archive.BOMB_SIZE", 1000)
    with pytest.raises(Refusal) as caught:
        list(walk(outer))
    assert caught.value.code == "archive"


def test_gzip_that_is_no_tar_is_an_ordinary_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.gz"
    path.write_bytes(gzip.compress(b"hello"))
    assert len(content(path)) == 1


def test_missing_source(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        list(walk(tmp_path / "nowhere"))
    assert caught.value.code == "unreadable"
