"""The kernel that a page's cells and inline expressions run in."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plateaus.render.error import RenderError
from plateaus.render.source import Cell, Inline

CELL_SECONDS = 1200
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Kernel:
    """One running kernel; all cells and expressions that it runs share their variables."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def cell(self, cell: Cell, *, may_fail: bool = False) -> list[Any]:
        """Run a cell and return its outputs.

        Args:
            cell: The cell.
            may_fail: Whether an error of the cell becomes one of its outputs instead of being raised.

        Raises:
            RenderError: The cell failed, ran for too long, or ended the kernel.
        """
        return self._run(cell.code, cell.name, may_fail)

    def inline(self, inline: Inline) -> list[Any]:
        """Run an inline expression and return its outputs, one of which displays its value.

        Raises:
            RenderError: The expression failed, ran for too long, or ended the kernel.
        """
        where = f"{inline.where.file}: the expression `{inline.expression}` in line {inline.where.number}"
        # The line breaks let an expression end in a comment; the parentheses make it an expression.
        return self._run(f"(\n{inline.expression}\n)", where, False)

    def _run(self, code: str, where: str, may_fail: bool) -> list[Any]:
        import nbformat
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

        cell = nbformat.v4.new_code_cell(code, metadata={"tags": ["raises-exception"]} if may_fail else {})
        self.client.nb.cells.append(cell)
        try:
            self.client.execute_cell(cell, len(self.client.nb.cells) - 1)
        except CellExecutionError as error:
            raise RenderError(f"{where} failed: {error.ename}: {_last_line(error.evalue)}") from None
        except CellTimeoutError:
            raise RenderError(f"{where} ran for more than {CELL_SECONDS // 60} minutes") from None
        except DeadKernelError:
            raise RenderError(f"{where} ended its Python process (out of memory?)") from None
        return list(cell.outputs)


@contextmanager
def running(folder: Path, env: Mapping[str, str]) -> Iterator[Kernel]:
    """Start a kernel of this interpreter in `folder`, with `env` added to its environment, and stop it at the end."""
    import nbformat
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    class ThisInterpreter(KernelSpecManager):  # type: ignore[misc, unused-ignore]
        """Starts this interpreter, because an installed kernel named python3 may belong to another environment."""

        def get_kernel_spec(self, kernel_name: str) -> Any:
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            # Quarto draws figures for HTML with twice the pixels and shows them at half the size; so does this.
            command += ["--InlineBackend.figure_formats=retina", "--log-level=40"]
            return KernelSpec(argv=command, display_name="Python", language="python")

    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisInterpreter())
    client = NotebookClient(nbformat.v4.new_notebook(), km=manager, timeout=CELL_SECONDS, record_timing=False)
    environment = {**os.environ, **env, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    with client.setup_kernel(env=environment, cwd=str(folder), cleanup_kc=True):
        yield Kernel(client)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in ANSI.sub("", text).splitlines() if line.strip()]
    return lines[-1] if lines else ""
