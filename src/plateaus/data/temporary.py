"""Names for files that are being written, and the removal of those whose process was killed.

A file or folder is written under such a name and then renamed, so what has its final name is complete. What a killed
process leaves behind can be recognised, and be as large as a model's weights, so the next run removes it.
"""

from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
from pathlib import Path


def _host() -> str:
    """Return this machine's name as it is used in names of files; other machines may share the folder."""
    return re.sub(r"[^A-Za-z0-9]", "", platform.node())[:32] or "host"


def name_beside(path: Path) -> Path:
    """Return a path beside `path` that nothing else uses, and that tells which process writes it."""
    return path.with_name(f".{path.name}.{_host()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")


def remove_left(folder: Path, pattern: str = "**/.*.tmp") -> list[Path]:
    """Remove what processes of this machine have left in a folder when they were killed.

    Args:
        folder: The folder; nothing happens if it does not exist.
        pattern: Where to look in it.

    Returns:
        What was removed.
    """
    removed = []
    for path in sorted(folder.glob(pattern)):
        found = re.search(rf"\.{_host()}-(\d+)-[0-9a-f]{{8}}\.tmp$", path.name)
        if found is None or _is_running(int(found[1])):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed.append(path)
    return removed


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to another user
        return True
    return True
