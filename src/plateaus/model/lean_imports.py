"""transformers and TransformerLens imported without what they import but no stage uses, in half of the time.

Both import, at their top, code for training, compiling, distributing and data sets: two thirds of what a job of a few
seconds spends before its model is loaded. Inside `unused_left_out` optional packages look as if they were not
installed, required ones that are never called are empty stand-ins, and torch's compiler and its distributed part look
absent. What is already imported is left alone, and outside of the block nothing of it remains: whoever imports one of
these packages later gets the real one, and so does a model that calls a stand-in. Should the libraries come to need at
import what is left out here, they are imported as usual: that costs time and nothing else.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar

from plateaus.errors import InputError

ABSENT = ("scipy", "sklearn", "pytest", "jinja2")
"""Used where they are installed: for losses, tests and chat templates."""
STAND_INS = ("datasets", "pandas", "torch._dynamo")
"""Imported in any case: for data sets, plots of patching, and compiling."""


class _StandIn(type):
    """What a stand-in module has under any name: a class that may serve as a base class, a decorator or a namespace.

    Called while imports are left out it is a decorator that leaves its function alone; called later, by a model that
    needs it after all, it is the real thing.
    """

    origin: tuple[_StandIns, str, str]
    """Who made it, and the module and the name in it that it stands for."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        finder, module, name = cls.origin
        if not finder.active:
            real: Any = importlib.import_module(module)
            for part in name.split("."):
                real = getattr(real, part)
            return real(*args, **kwargs)
        return args[0] if args and callable(args[0]) else cls

    def __bool__(cls) -> bool:
        return False

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        finder, module, own = cls.origin
        return _stand_in(finder, module, f"{own}.{name}")


def _stand_in(finder: _StandIns, module: str, name: str) -> _StandIn:
    return _StandIn(name.rpartition(".")[2], (), {"origin": (finder, module, name)})


class _StandIns(MetaPathFinder, Loader):
    """Finds stand-ins for the modules of some names and for all below them."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.active = True

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        """An empty package, for a name that is one of these or below one."""
        ours = any(fullname == name or fullname.startswith(f"{name}.") for name in self._names)
        return ModuleSpec(fullname, self, is_package=True) if ours else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As usual."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Nothing in it but what is asked for."""
        name = module.__name__

        def anything(attribute: str) -> _StandIn:
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            return _stand_in(self, name, attribute)

        module.__getattr__ = anything  # type: ignore[method-assign]


@contextmanager
def unused_left_out() -> Iterator[None]:
    """Inside the block, imports leave out what no stage uses."""
    import torch
    import torch.compiler
    import torch.distributed

    absent = [name for name in ABSENT if name not in sys.modules]
    finder = _StandIns([name for name in STAND_INS if name not in sys.modules])
    kept = torch.distributed.is_available, torch.compiler.disable
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: not to be imported
    sys.meta_path.insert(0, finder)
    torch.distributed.is_available = lambda: False
    torch.compiler.disable = _undecorated  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.distributed.is_available, torch.compiler.disable = kept
        sys.meta_path.remove(finder)
        finder.active = False
        for name in absent:
            sys.modules.pop(name, None)
        for name in [name for name, module in sys.modules.items() if getattr(module, "__loader__", None) is finder]:
            del sys.modules[name]
            parent, _, child = name.rpartition(".")
            if parent in sys.modules and child in vars(sys.modules[parent]):
                delattr(sys.modules[parent], child)


def _undecorated(function: Callable[..., Any] | None = None, **_: Any) -> Callable[..., Any]:
    return function if function is not None else lambda decorated: decorated


T = TypeVar("T")


def lean(load: Callable[[], T]) -> T:
    """Call what imports transformers or TransformerLens, with what no stage uses left out if that is possible.

    Args:
        load: It may be called twice: the second time with nothing left out, should it fail the first time.

    Raises:
        InputError: as `load` does.
    """
    before = set(sys.modules)
    try:
        with unused_left_out():
            return load()
    except InputError:
        raise
    except Exception:  # whatever it was that it missed, it will not the second time
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in {"transformers", "transformer_lens"}:
                del sys.modules[name]
    return load()
