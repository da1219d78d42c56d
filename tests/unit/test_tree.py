"""A source's folders: listed once a step, whoever asks; the digest that `refresh` goes by is what it always was."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import dicom_scans as make
from calciflow import launcher
from calciflow.dicom.archive import walk
from calciflow.index import index_scan
from calciflow.tree import Tree, source_digest

TIME = 1_700_000_000_123_456_789
PINNED = "6fb95ad5ffec786ff844a02299d066a8"
HEARD: list[str] = []


def _listen(event: str, arguments: tuple[object, ...]) -> None:
    """Python tells of every listing, whatever function makes it: os.walk, glob, pathlib."""
    if event in ("os.scandir", "os.listdir"):
        HEARD.append(os.path.realpath(str(arguments[0] or ".")))


sys.addaudithook(_listen)


@contextmanager
def listings(source: Path) -> Iterator[Counter[str]]:
    """How often each folder of the source is listed meanwhile, by its path in the source."""
    count: Counter[str] = Counter()
    start = len(HEARD)
    yield count
    inside = [Path(path) for path in HEARD[start:] if Path(path).is_relative_to(source)]
    count.update(str(path.relative_to(source)) for path in inside)


def _dicom(root: Path) -> dict[str, Path]:
    make.write(root / "ct", make.ct())
    make.write(root / "deep" / "pet", make.pet())
    return {"source": root}


def _apart(root: Path) -> dict[str, Path]:
    _dicom(root)
    return {"ct_source": root, "pet_source": root}


def _nifti(root: Path) -> dict[str, Path]:
    (root / "sub-x" / "pet").mkdir(parents=True)
    for name in ("pet", "ct"):
        nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), root / "sub-x" / "pet" / f"x_{name}.nii")
    (root / "sub-x" / "pet" / "x_pet.json").write_text("{}")
    return {"source": root}


def _no_image(root: Path) -> dict[str, Path]:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "text").write_text("not DICOM")
    return {"source": root}


@pytest.mark.parametrize("content", [_dicom, _apart, _nifti, _no_image])
def test_no_step_lists_a_folder_twice(content: Callable[[Path], dict[str, Path]], tmp_path: Path) -> None:
    root = tmp_path / "in"
    sources = {role: str(path) for role, path in content(root).items()}
    folders = {"."} | {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir()}
    out = {name: str(tmp_path / "out" / f"{name}.json") for name in ("series", "screening", "selection")}
    with listings(root) as count:
        index_scan(**out, scan={"participant_id": "sub-01", "session_id": "ses-01"}, sources=sources)
    assert count == Counter(folders)
    screening = json.loads(Path(out["screening"]).read_text())
    assert screening["verdict"] == ("accepted" if content in (_dicom, _apart) else "refused")
    assert screening["code"] != "internal"
    assert screening["source_digest"] == source_digest([Tree(path) for path in sources.values()])
    if screening["verdict"] == "accepted":
        volumes = {name: tmp_path / "out" / name for name in ("ct", "ct_json", "pet", "pet_json")}
        with listings(root) as count:
            make.convert_scan(selection=Path(out["selection"]), **volumes)
        assert count == Counter(), "what index chose is opened by its name"


def test_refresh_lists_each_folder_once(tmp_path: Path) -> None:
    sheets = {"participants": "participant_id\tgroup\nsub-01\tDM\n"}
    sheets["scans"] = "participant_id\tsession_id\tsource\nsub-01\tses-01\tscans/one\n"
    (tmp_path / "config").mkdir()
    for name, text in sheets.items():
        (tmp_path / "config" / f"{name}.tsv").write_text(text)
    (tmp_path / "config" / "config.yaml").write_text("{}\n")
    _dicom(tmp_path / "scans" / "one")
    screening = tmp_path / "results" / "sub-01" / "ses-01" / "sub-01_ses-01_screening.json"
    screening.parent.mkdir(parents=True)
    screening.write_text("{}")
    with listings(tmp_path / "scans" / "one") as count:
        assert launcher.main(["refresh", str(tmp_path)]) == 0
    assert count == Counter({".": 1, "ct": 1, "deep": 1, "deep/pet": 1})


def odd_tree(root: Path) -> list[Path]:
    """Everything that a source may hold besides plain files, at fixed times; gives the sources."""
    for name in ("b/two", "b/one", "B", "z", "a.d/deep/x", "ümlaut", b"\xff raw".decode("utf-8", "surrogateescape")):
        path = root / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))
    folder = root / "folder"
    (folder / "nothing here").mkdir()
    (root / "elsewhere").mkdir()
    (root / "elsewhere" / "slice").write_bytes(b"slice")
    (folder / "away").symlink_to(folder / "nowhere")
    (folder / "round").symlink_to("round")
    (folder / "a.d" / "up").symlink_to(folder)
    (folder / "0 before b").symlink_to(folder / "b")
    (folder / "linked").symlink_to(root / "elsewhere")
    (folder / "file link").symlink_to(root / "elsewhere" / "slice")
    (root / "archive.zip").write_bytes(b"PK")
    for path in (*folder.rglob("*"), root / "archive.zip", root / "elsewhere" / "slice"):
        if path.is_file():
            os.utime(path, ns=(TIME, TIME))
    return [folder, root / "archive.zip", root / "missing"]


def test_the_digest_is_what_it_was(tmp_path: Path) -> None:
    """By os.walk, as it was computed at first: with another one, `refresh` has every finished scan read again."""
    sources = odd_tree(tmp_path)
    assert source_digest(Tree(path) for path in sources) == PINNED
    trees = [Tree(path) for path in sources]
    for tree in trees[:2]:
        assert len(list(walk(tree))) > 0  # what reading left in memory gives the same
    assert source_digest(trees) == PINNED


def test_links_to_folders_are_read_and_not_in_the_digest(tmp_path: Path) -> None:
    tree = Tree(odd_tree(tmp_path)[0])
    followed = [place for place, file in tree.all_files() if file.may_open]
    assert "linked/slice" in followed
    assert "0 before b/one" in followed
    assert "b/one" not in followed, "the same folder, by its second path"
    own = [place for place, _ in tree.own_files()]
    assert "b/one" in own
    assert not any(place.startswith(("linked/", "0 before b/", "a.d/up/")) for place in own)


def test_what_is_read_is_what_the_digest_tells_of(tmp_path: Path) -> None:
    """A file that comes while the headers are read is news to `refresh`, not known already."""
    root = _dicom(tmp_path / "in")["source"]
    tree = Tree(root)
    for number, _ in enumerate(walk(tree)):
        if number == 0:
            (root / "ct" / "zz_late.dcm").write_bytes(b"late")
            (root / "zz_later").mkdir()
    assert source_digest([tree]) != source_digest([Tree(root)])
