"""The registry of claims: the modules of this package that declare one, and those in the user's folder.

To add a claim, write its module, in this package or in the folder that `claims.folder` in the config names, and add its
id to `claims.tests`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from plateaus import claims
from plateaus.errors import InputError
from plateaus.judging.interface import Claim

if TYPE_CHECKING:
    from plateaus.judging.module import ClaimModule  # which loads the statistics, and those take seconds

HERE = Path(claims.__file__).parent
PATTERN = "c[0-9][0-9]_*.py"


def own() -> dict[str, str]:
    """Return claim id to module name for the claims of this package, from their file names, without imports."""
    stems = sorted(path.stem for path in HERE.glob(PATTERN))
    return {f"C{int(stem[1:3])}": f"plateaus.claims.{stem}" for stem in stems}


def files_in(folder: str) -> list[Path]:
    """Return the Python files in the user's folder; none if `folder` is empty.

    Raises:
        InputError: the folder does not exist.
    """
    if not folder:
        return []
    if not Path(folder).is_dir():
        raise InputError(f"config: claims.folder is '{folder}', not a folder: create it or leave the key empty")
    return sorted(path for path in Path(folder).glob("*.py") if path.name[0] not in "._")


def chosen(tests: Sequence[str], folder: str = "") -> list[ClaimModule]:
    """Return the modules of the claims that the config names in `claims.tests`, in that order.

    Args:
        tests: Ids of the claims.
        folder: The user's folder of claims; "" for none.

    Raises:
        InputError: see `check`.
    """
    of_user, here = check(tests, folder), own()
    return [of_user[name] if name in of_user else _import(here[name]) for name in tests]


def check(tests: Sequence[str], folder: str = "") -> dict[str, ClaimModule]:
    """Check the claims that a config names without importing this package's claims, because that takes seconds.

    Args:
        tests: Ids of the claims.
        folder: The user's folder of claims; "" for none.

    Returns:
        Claim id to module, for the claims in the user's folder.

    Raises:
        InputError: no module or more than one declares an id; a module cannot be imported or declares no claim.
    """
    here: dict[str, ClaimModule] = {}
    for path in files_in(folder):
        module = _load(path)
        if module.CLAIM.id in here or module.CLAIM.id in own():
            raise InputError(f"{path}: another module already declares {module.CLAIM.id}: give this claim another id")
        here[module.CLAIM.id] = module
    known = [*own(), *here]
    for name in tests:
        if name not in known:
            raise InputError(
                f"config: claims.tests names '{name}', which no module declares; known claims are {', '.join(known)}"
            )
    return here


def _import(name: str) -> ClaimModule:
    return cast("ClaimModule", importlib.import_module(name))


def _load(path: Path) -> ClaimModule:
    name = f"plateaus_user_claims_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be imported: rename it so that Python can import it")
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's file may raise anything
        raise InputError(f"{path} cannot be imported ({type(error).__name__}: {error}): correct the file") from error
    if not isinstance(getattr(module, "CLAIM", None), Claim) or not callable(getattr(module, "test", None)):
        raise InputError(f"{path} declares no claim: it needs CLAIM = Claim(...) and a function test(evidence)")
    return cast("ClaimModule", module)
