"""A fingerprint of the code behind a rule, so that Snakemake reruns exactly what a change in the code touches.

Snakemake sees a changed shim by its time stamp only, and a changed module that a shim imports not at all. The
fingerprint goes into each rule's ``params``: it covers the shim, the project modules that it imports (followed through
the syntax tree, docstrings and comments dropped), the data files they declare in ``DATA_FILES``, the Python version,
and name and version of every third-party library that they import. It does not follow dynamic imports; the project
has none.
"""

import ast
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "calciflow"
DECLARATION = "DATA_FILES"
VERSION = 1
"""Of what is remembered of a source file."""


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """Drop every string that stands alone as a statement: docstrings, and what documents an attribute."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [
                item
                for item in body
                if not (
                    isinstance(item, ast.Expr)
                    and isinstance(item.value, ast.Constant)
                    and isinstance(item.value.value, str)
                )
            ]
            node.body = kept  # type: ignore[attr-defined]
    return tree


def _imports(tree: ast.Module) -> set[str]:
    """Dotted names that the module may import, deepest first reading: ``from a import b`` gives a and a.b."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ImportError("relative imports are banned in the library: the fingerprint follows absolute ones")
            module = node.module or ""
            names.add(module)
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def _declared(tree: ast.Module) -> tuple[str, ...]:
    for node in tree.body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if any(isinstance(target, ast.Name) and target.id == DECLARATION for target in targets):
            value = ast.literal_eval(node.value) if node.value is not None else ()  # type: ignore[attr-defined]
            return tuple(value)
    return ()


def module_files(name: str, scripts: Path) -> list[Path]:
    """Files of a project module by dotted name: the module and the ``__init__`` of each package above it."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return []
    found = []
    for depth in range(1, len(parts) + 1):
        stem = scripts.joinpath(*parts[:depth])
        if (stem / "__init__.py").is_file():
            found.append(stem / "__init__.py")
        elif stem.with_suffix(".py").is_file():
            found.append(stem.with_suffix(".py"))
    return found


@cache
def _read(path: Path) -> tuple[str, frozenset[str], tuple[str, ...]]:
    """Digest of the normalised code, imported names and declared data files of one source file."""
    content = path.read_bytes()
    # By content, not by time: a file that is put back with an older time is another one all the same.
    key = hashlib.sha256(f"{VERSION} {sys.version}\n".encode() + content).hexdigest()
    if key not in _known:
        tree = ast.parse(content, filename=str(path))
        names, data = sorted(_imports(tree)), list(_declared(tree))
        code = ast.dump(_without_docstrings(tree))
        _known[key] = [hashlib.sha256(code.encode()).hexdigest(), names, data]
        _fresh.add(key)
    _used.add(key)
    digest, names, data = _known[key]
    return digest, frozenset(names), tuple(data)


_known: dict[str, list[Any]] = {}
_fresh: set[str] = set()
_used: set[str] = set()


def load_memory(path: Path) -> None:
    """Read what earlier processes found out about source files, by their content.

    Each job starts Snakemake anew, and parsing the library would take half of that start.
    """
    with suppress(OSError, ValueError, TypeError):
        _known.update(json.loads(path.read_text(encoding="utf-8")))


def save_memory(path: Path) -> None:
    """Leave what was found out to later processes; a folder that cannot be written is no harm."""
    if _fresh:
        with suppress(OSError):
            partial = path.with_name(f".{path.name}-{os.getpid()}")
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps({key: _known[key] for key in sorted(_used)}), encoding="utf-8")
            partial.replace(path)
            _fresh.clear()


@cache
def _distributions() -> dict[str, list[str]]:
    return {name: sorted(set(found)) for name, found in importlib.metadata.packages_distributions().items()}


@cache
def _version(distribution: str) -> str:
    return importlib.metadata.version(distribution)


def closure(shim: Path, scripts: Path) -> tuple[list[Path], list[str]]:
    """Project files and third-party top-level modules that a shim reaches through its imports.

    Returns
    -------
    files
        The shim, every project module, every declared data file; sorted.
    libraries
        Top-level names of the third-party modules; sorted.
    """
    repository = scripts.parent
    waiting, files, libraries = [shim], {shim}, set()
    while waiting:
        path = waiting.pop()
        _, names, data = _read(path)
        for name in names:
            own = module_files(name, scripts)
            if not own:
                libraries.add(name.split(".")[0])
            for found in own:
                if found not in files:
                    files.add(found)
                    waiting.append(found)
        for relative in data:
            declared = repository / relative
            if not declared.is_file():
                raise FileNotFoundError(f"{path.name} declares {relative} in {DECLARATION}; there is no such file")
            files.add(declared)
    outside = {name for name in libraries if name and name not in sys.stdlib_module_names and name != PACKAGE}
    return sorted(files), sorted(outside)


@cache
def fingerprint(shim: Path, scripts: Path) -> str:
    """Fingerprint of a shim, 16 hexadecimal digits.

    Parameters
    ----------
    shim
        The script that a rule runs.
    scripts
        The folder that holds the shims and the package.
    """
    files, libraries = closure(shim, scripts)
    digest = hashlib.sha256(platform.python_version().encode())
    for path in files:
        digest.update(f"\n{path.relative_to(scripts.parent).as_posix()}\n".encode())
        digest.update(_read(path)[0].encode() if path.suffix == ".py" else path.read_bytes())
    for library in libraries:
        for distribution in _distributions().get(library, [library]):
            try:
                digest.update(f"\n{distribution}=={_version(distribution)}".encode())
            except importlib.metadata.PackageNotFoundError:
                digest.update(f"\n{distribution} is not installed".encode())
    return digest.hexdigest()[:16]
