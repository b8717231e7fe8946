"""What a file runs: the code of this project that it imports, and hashes that comments do not change."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = "stages"
# Data that a module reads from beside itself. What `params.yaml` chooses is a dependency of its own.
DATA_OF_MODULE = {
    "stages/reports/lexicon.py": "lexicon/languages/*",
    "stages/simulation/phrases.py": "*.yaml",
}
_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def direct_imports(file: Path, root: Path) -> set[Path]:
    """Files below ``root`` that a file imports, at any depth of its syntax tree.

    Args:
        file: a Python file.
        root: folder that holds the package ``stages``.

    Raises:
        ValueError: if an import is relative to the file.
    """
    names: set[str] = set()
    for node in ast.walk(_parse(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise ValueError(
                f"{file}: relative import in line {node.lineno}, expected `from {PACKAGE}. …`; write it out"
            )
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    found = {root / f"{name.replace('.', '/')}.py" for name in names if name.split(".")[0] == PACKAGE}
    return {path for path in found if path.is_file()}


def closure(file: Path, root: Path) -> list[Path]:
    """Files below ``root`` that run, or are read as part of the code, when a file is run; sorted."""
    seen: set[Path] = set()
    queue = [file]
    while queue:
        current = queue.pop()
        if current not in seen:
            seen.add(current)
            queue += direct_imports(current, root)
    data = {
        path
        for module, pattern in DATA_OF_MODULE.items()
        if root / module in seen
        for path in (root / module).parent.glob(pattern)
    }
    return sorted(seen | data)


@cache
def code_digest(path: Path) -> str:
    """SHA-256 of what a file does, in hex: of Python the syntax tree without docstrings, of other files the bytes.

    Comments, docstrings and layout do not enter, so that saying something better reruns nothing.
    """
    if path.suffix != ".py":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    tree = _parse(path)
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def manifest(files: Iterable[Path], root: Path) -> str:
    """One line a file: its digest and its path below ``root``, as ``sha256sum`` writes them."""
    return "".join(f"{code_digest(path)}  {path.relative_to(root).as_posix()}\n" for path in files)


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
