"""The workflow's own files, seen from the folder in which it runs.

Usually that is the repository itself. With `--directory`, or as a module of another workflow, results and models go
into another folder, and the repository's files are found by their absolute paths.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import NamedTuple

from plateaus.config.reading import Config

PATHS = (("prompts", "table"), ("prompts", "suite"), ("claims", "folder"))
"""Keys of the config that name files, which may be the repository's own."""


class Repository(NamedTuple):
    """The repository.

    Attributes:
        root: Its folder.
        here: Whether it is the working directory.
    """

    root: Path
    here: bool

    @classmethod
    def at(cls, root: Path) -> Repository:
        """Return the repository of a folder, as it is seen from the working directory."""
        return cls(root.resolve(), root.resolve() == Path.cwd().resolve())

    def path(self, name: str) -> Path:
        """Return the path of one of the repository's files or folders, which is relative where the repository is here.

        Relative paths stay the same if the repository is moved, so that nothing runs again.
        """
        return Path(name) if self.here else self.root / name

    def find(self, name: str) -> str:
        """Return a path of the config as it is if there is such a file here, else that of the repository's file."""
        own = self.root / name
        return str(own) if name and not self.here and not Path(name).exists() and own.exists() else name

    def anchored(self, config: Config) -> Config:
        """Return the config with the paths of the repository's own files as they are seen from here."""
        found: Config = copy.deepcopy(config)
        for section, key in PATHS:
            if found.get(section, {}).get(key):
                found[section][key] = self.find(found[section][key])
        return found
