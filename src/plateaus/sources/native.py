"""Which kinds of models the installed transformers has, read from its source, because importing it takes seconds."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

WELL_KNOWN = "gpt2"
"""A model type that every version of transformers has; a table without it has not been understood."""


def model_types() -> frozenset[str]:
    """Return the model types that transformers can load without foreign code; empty if they cannot be found."""
    tables = [_table(name, "CONFIG_MAPPING_NAMES") for name in ("auto_mappings", "configuration_auto")]
    names = frozenset[str]().union(*tables)
    return names if WELL_KNOWN in names else frozenset()


def causal_language_models() -> dict[str, str]:
    """Return the class of the causal language model of every model type that has one; empty if not found."""
    names = _table("modeling_auto", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES")
    return names if WELL_KNOWN in names else {}


@cache
def _table(module: str, variable: str) -> dict[str, str]:
    """Return the pairs of names with which a module of transformers.models.auto fills a dictionary.

    They stand in its source as pairs in a list, or as a dictionary, where the variable is assigned or updated. What
    cannot be read or is written in another way is left out.
    """
    found: dict[str, str] = {}
    try:
        spec = find_spec("transformers")
        folder = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else Path()
        tree = ast.parse((folder / "models" / "auto" / f"{module}.py").read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError, ImportError):
        return found
    for statement in tree.body:
        if _fills(statement, variable):
            for node in ast.walk(statement):
                pairs = zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else [_pair(node)]
                for key, value in pairs:
                    if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                        found[str(key.value)] = str(value.value)
    return found


def _fills(statement: ast.stmt, variable: str) -> bool:
    """Whether a statement assigns the variable, or calls its method `update`."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name == variable
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="update"))):
            return name == variable
    return False


def _pair(node: ast.AST) -> tuple[ast.expr | None, ast.expr | None]:
    match node:
        case ast.Tuple(elts=[key, value]):
            return key, value
    return None, None
