"""Which claims there are: the modules of this package that hold one, and those of a folder of the user's.

To add a claim, write its module, into this package or into the folder that the config names as `claims.folder`, and add
its id to `claims.tests`.
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
    """Id to module name, of the claims in this package, from the names of their files: nothing is imported."""
    stems = sorted(path.stem for path in HERE.glob(PATTERN))
    return {f"C{int(stem[1:3])}": f"plateaus.claims.{stem}" for stem in stems}


def files_in(folder: str) -> list[Path]:
    """The Python files of the user's folder, none where it is not named.

    Raises:
        InputError: there is no such folder.
    """
    if not folder:
        return []
    if not Path(folder).is_dir():
        raise InputError(f"config: claims.folder is '{folder}', which is not a folder: make it or leave the key empty")
    return sorted(path for path in Path(folder).glob("*.py") if path.name[0] not in "._")


def chosen(tests: Sequence[str], folder: str = "") -> list[ClaimModule]:
    """The modules of the claims that a config asks for, in its order.

    Raises:
        InputError: as `check`.
    """
    of_user, here = check(tests, folder), own()
    return [of_user[name] if name in of_user else _import(here[name]) for name in tests]


def check(tests: Sequence[str], folder: str = "") -> dict[str, ClaimModule]:
    """Check what a config asks for without importing this package's claims, whose statistics take seconds to load.

    Returns:
        Id to module, of the claims in the user's folder.

    Raises:
        InputError: an id that no module has, or that two have; a module that cannot be imported or declares no claim.
    """
    here: dict[str, ClaimModule] = {}
    for path in files_in(folder):
        module = _load(path)
        if module.CLAIM.id in here or module.CLAIM.id in own():
            raise InputError(f"{path}: the claim {module.CLAIM.id} is there already: give it an id of its own")
        here[module.CLAIM.id] = module
    known = [*own(), *here]
    for name in tests:
        if name not in known:
            raise InputError(
                f"config: claims.tests names '{name}', which no module declares; there are {', '.join(known)}"
            )
    return here


def _import(name: str) -> ClaimModule:
    return cast("ClaimModule", importlib.import_module(name))


def _load(path: Path) -> ClaimModule:
    name = f"plateaus_user_claims_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be imported: give it the name of a Python module")
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a file of the user's raises
        raise InputError(f"{path} cannot be imported ({type(error).__name__}: {error}): mend it") from error
    if not isinstance(getattr(module, "CLAIM", None), Claim) or not callable(getattr(module, "test", None)):
        raise InputError(f"{path} declares no claim: it needs CLAIM = Claim(...) and a function test(evidence)")
    return cast("ClaimModule", module)
