"""Find the modules of this package that a stage imports, from their source, so that code is an input like any other."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from plateaus.data.canonical import digest, file_digest

ROOT = "plateaus"
PACKAGE = Path(__file__).parents[1]
NOT_RESULTS = {"plateaus.stages.job", "plateaus.stages.runner", "plateaus.stages.selfcheck"}
"""Modules that run or check a stage but do not affect the results that it writes, so editing them reruns nothing."""
DATA_SUFFIXES = {".lua", ".html", ".css", ".js", ".svg"}
"""Suffixes of data files that count as code: templates and filters beside the modules of a package."""


@cache
def _imports(module: str) -> frozenset[str]:
    """Return the modules and subpackages of this package that a module imports, anywhere in its source.

    For `from package import name`, the result is the module `package.name` if it exists, otherwise the package.
    """
    source = _source(module)
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"), filename=str(source))):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            inside = [f"{node.module}.{name.name}" for name in node.names]
            found.update(name if _exists(name) else node.module for name in inside)
    return frozenset(name for name in found if name.split(".")[0] == ROOT and _exists(name))


def _exists(module: str) -> bool:
    stem = PACKAGE.joinpath(*module.split(".")[1:])
    return module.split(".")[0] == ROOT and (stem.with_suffix(".py").is_file() or (stem / "__init__.py").is_file())


def _source(module: str) -> Path:
    stem = PACKAGE.joinpath(*module.split(".")[1:])
    return stem / "__init__.py" if (stem / "__init__.py").is_file() else stem.with_suffix(".py")


def modules_of(stage: str) -> list[str]:
    """Return all modules of this package that a stage's module imports, directly or indirectly, including itself.

    Importing a subpackage by its own name counts as importing all of its modules, since it may load them by name. If
    only a module of a subpackage is imported, just the `__init__` of the subpackage is added.
    """
    seen: set[str] = set()
    todo = [f"{ROOT}.stages.{stage}"]
    left_out = (NOT_RESULTS | {ROOT}) - set(todo)  # the package's public functions are imported only on use
    while todo:
        module = todo.pop()
        if module in seen or module in left_out:
            continue
        seen.add(module)
        for imported in _imports(module):
            todo.append(imported)
            source = _source(imported)
            if source.name == "__init__.py" and source.parent != PACKAGE:
                todo.extend(f"{imported}.{path.stem}" for path in source.parent.glob("*.py") if path != source)
        todo.extend(filter(None, [module.rpartition(".")[0]]))
    return sorted(seen)


def files_of(stage: str) -> list[str]:
    """Return the files of `modules_of` and the data files beside them, relative to the package's parent folder."""
    sources = {_source(module) for module in modules_of(stage)}
    packages = {source.parent for source in sources if source.name == "__init__.py"}
    data = {path for folder in packages for path in folder.iterdir() if path.suffix in DATA_SUFFIXES}
    return sorted(path.relative_to(PACKAGE.parent).as_posix() for path in sources | data)


def code_digest(stage: str) -> str:
    """Return one hash over the names and contents of `files_of`."""
    return digest({name: file_digest(PACKAGE.parent / name) for name in files_of(stage)})
