"""The fingerprint changes with what a rule does, and with nothing else."""

import os
from pathlib import Path

import pytest

from calciflow import fingerprint as module
from calciflow.fingerprint import closure, fingerprint

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path):
    """A small repository: shim -> stage -> helper, and a module that nothing imports."""
    scripts = tmp_path / "scripts"
    package = scripts / "calciflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("VERSION = 1\n")
    (scripts / "stage.py").write_text("from calciflow.stage import run\nrun()\n")
    (package / "stage.py").write_text(
        '"""Doc."""\nimport numpy as np\nfrom calciflow.deep import helper\nDATA_FILES = ("data/form.yaml",)\n\n\n'
        'def run():\n    """Doc."""\n    return helper.f(np.ones(1))\n'
    )
    (package / "deep").mkdir()
    (package / "deep" / "__init__.py").write_text("")
    (package / "deep" / "helper.py").write_text("LIMIT = 130\n\n\ndef f(x):\n    return x * LIMIT\n")
    (package / "unused.py").write_text("x = 1\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "form.yaml").write_text("a: 1\n")
    return scripts


def taken(scripts):
    for cached in (module._read, module.fingerprint, module._distributions, module._version):
        cached.cache_clear()
    return fingerprint(scripts / "stage.py", scripts)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("calciflow/deep/helper.py", "LIMIT = 130", "LIMIT = 131"),
        ("calciflow/stage.py", "np.ones", "np.zeros"),
        ("stage.py", "run()\n", "run()\nrun()\n"),
        ("calciflow/__init__.py", "VERSION = 1", "VERSION = 2"),
        ("calciflow/deep/__init__.py", "", "SWITCH = True\n"),
        ("../data/form.yaml", "a: 1", "a: 2"),
    ],
)
def test_what_changes_the_result_changes_it(tree, name, old, new):
    before = taken(tree)
    edit(tree / name, old, new) if old else (tree / name).write_text(new)
    assert taken(tree) != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("calciflow/deep/helper.py", "LIMIT = 130", "# the usual threshold\nLIMIT = 130  # HU"),
        ("calciflow/stage.py", '    """Doc."""', '    """Another text."""'),
        ("calciflow/stage.py", '"""Doc."""\n', ""),
        ("calciflow/deep/helper.py", "LIMIT = 130\n", 'LIMIT = 130\n"""HU; documents the attribute."""\n'),
        ("calciflow/stage.py", "helper.f(np.ones(1))", "(\n        helper.f(np.ones(1))\n    )"),
        ("calciflow/unused.py", "x = 1", "x = 2"),
    ],
)
def test_what_does_not_change_the_result_leaves_it(tree, name, old, new):
    before = taken(tree)
    edit(tree / name, old, new)
    assert taken(tree) == before


def test_a_touch_leaves_it(tree):
    before = taken(tree)
    for path in tree.rglob("*"):
        os.utime(path)
    assert taken(tree) == before


def test_another_place_on_disk_leaves_it(tree, tmp_path):
    before = taken(tree)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("scripts", "data"):
        (tmp_path / name).rename(moved / name)
    assert taken(moved / "scripts") == before


def test_a_library_version_changes_it(tree, monkeypatch):
    before = taken(tree)
    real = module.importlib.metadata.version
    monkeypatch.setattr(module.importlib.metadata, "version", lambda name: "0" if name == "numpy" else real(name))
    assert taken(tree) != before


def test_another_python_changes_it(tree, monkeypatch):
    before = taken(tree)
    monkeypatch.setattr(module.platform, "python_version", lambda: "3.99.0")
    assert taken(tree) != before


def test_relative_imports_are_refused(tree):
    edit(tree / "calciflow" / "stage.py", "from calciflow.deep import helper", "from .deep import helper")
    with pytest.raises(ImportError, match="relative"):
        taken(tree)


def test_a_declared_file_must_exist(tree):
    (tree.parent / "data" / "form.yaml").unlink()
    with pytest.raises(FileNotFoundError, match=r"data/form\.yaml"):
        taken(tree)


@pytest.mark.parametrize("shim", sorted(REPOSITORY.glob("scripts/*.py")), ids=lambda path: path.name)
def test_stages_do_not_reach_the_settings_or_each_other(shim):
    """A default that changes reruns the rules that use it, through their params, and no other rule."""
    files, libraries = closure(shim, REPOSITORY / "scripts")
    names = {path.relative_to(REPOSITORY / "scripts").as_posix() for path in files if path.suffix == ".py"}
    assert not names & {"calciflow/settings.py", "calciflow/config_file.py", "calciflow/sheets.py"}
    assert "snakemake" not in libraries


@pytest.mark.parametrize(
    ("shim", "module_name"),
    [("suv.py", "calciflow/suv.py"), ("lesions.py", "calciflow/lesions.py"), ("index.py", "calciflow/index.py")],
)
def test_the_closure_of_real_shims_holds_their_module(shim, module_name):
    files, libraries = closure(REPOSITORY / "scripts" / shim, REPOSITORY / "scripts")
    assert REPOSITORY / "scripts" / module_name in files
    assert "numpy" in libraries


def forget():
    for known in (module._known, module._fresh, module._used):
        known.clear()


def test_what_is_remembered_gives_the_same_and_is_not_parsed_again(tree, tmp_path, monkeypatch):
    forget()
    before = taken(tree)
    memory = tmp_path / "study" / "memory.json"
    module.save_memory(memory)
    forget()
    module.load_memory(memory)
    monkeypatch.setattr(module.ast, "parse", lambda *_, **__: pytest.fail("parsed again"))
    assert taken(tree) == before
    monkeypatch.undo()
    # By content: an edit shows also where size and time stay as they were.
    path = tree / "calciflow" / "deep" / "helper.py"
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    edit(path, "130", "131")
    os.utime(path, ns=times)
    assert taken(tree) != before


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "3"])
def test_a_broken_memory_is_no_harm(tree, tmp_path, content):
    forget()
    before = taken(tree)
    (tmp_path / "memory.json").write_text(content)
    forget()
    module.load_memory(tmp_path / "memory.json")
    assert taken(tree) == before


NO_STAGE = ("benchmark", "phantom", "implant", "cluster")
"""Packages that no rule of a study runs."""
OUTSIDE = set(
    "settings sheets sheet_rows config_file launcher draft study fingerprint reruns resources forecast sweeps paths "
    "codes columns selftest selftest_cases summary __init__".split()
)
"""Modules of the launcher, of the manual, and of the rules' files: what they decide reaches a rule by its params."""


def test_every_module_belongs_to_a_rule():
    """A module that no shim reaches could change a result without a rerun, or is of no use."""
    library = REPOSITORY / "scripts" / "calciflow"
    shims = sorted(REPOSITORY.glob("scripts/*.py"))
    reached = {path for shim in shims for path in closure(shim, REPOSITORY / "scripts")[0]}
    left = [path.relative_to(library) for path in sorted(library.rglob("*.py")) if path not in reached]
    left = [path for path in left if path.parts[0] not in NO_STAGE and path.stem not in OUTSIDE]
    assert left == []


@pytest.mark.parametrize(("library", "rules"), [("edt", {"tissues", "review"}), ("matplotlib", {"cohort"})])
def test_another_version_of_a_library_changes_the_rules_that_import_it(library, rules, monkeypatch):
    shims = sorted(REPOSITORY.glob("scripts/*.py"))
    before = {shim.stem: module.fingerprint(shim, REPOSITORY / "scripts") for shim in shims}
    real = module._version
    monkeypatch.setattr(module, "_version", lambda name: "99.0" if name == library else real(name))
    module.fingerprint.cache_clear()
    after = {shim.stem: module.fingerprint(shim, REPOSITORY / "scripts") for shim in shims}
    module.fingerprint.cache_clear()
    changed = {name for name in before if before[name] != after[name]}
    users = {shim.stem for shim in shims if library in closure(shim, REPOSITORY / "scripts")[1]}
    assert changed == users
    assert rules <= changed
