"""The one-time step on a new machine: numba compiles the kernels (ten to twenty seconds), then keeps them on disk.

Called ahead by ``grammar-engine warmup``, or by the first compile, which says on stderr what takes so long.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Sequence
from types import ModuleType

KERNEL_MODULES = (
    "arena", "trie", "seen", "lexer", "lexer_steps", "lexer_starts", "lexer_views", "runs", "terminals", "parser",
    "table_lookaheads", "starts", "rows", "walks", "counted_walks", "loosened_walks", "root_walks", "start_walks",
    "expansions", "closed_expansions", "masks", "positions", "steps", "engine", "export.token_walks",
)  # fmt: skip


CANVAS_MODULES = ("export.class_walks", "canvas.stacks", "canvas.open_shifts", "canvas.table_shifts", "canvas.steps")
"""What canvases need beside; compiled when the first one is made."""


def warm_up(progress: Callable[[str], None] | None = None, modules: Sequence[str] = KERNEL_MODULES) -> float:
    """Load kernels, compiling those that are not in numba's cache; the seconds that it took.

    progress: called with a line after each step (default: silent).
    """
    started = time.perf_counter()
    for number, name in enumerate(modules, 1):
        path = f"grammar_engine.kernels.{name}"
        is_new = path not in sys.modules  # (else it was compiled, and told, before)
        module = importlib.import_module(path)
        if progress is not None:
            how = "compiled" if is_new and _was_compiled(module) else "loaded"
            progress(f"kernels {number}/{len(modules)}: {name} {how}")
    return time.perf_counter() - started


def load_kernels(modules: Sequence[str] = KERNEL_MODULES) -> None:
    """``warm_up`` that speaks up, on stderr, only if something had to be compiled."""
    spoken = False

    def progress(line: str) -> None:
        nonlocal spoken
        if not spoken and line.endswith("compiled"):
            how_long = "about a minute" if modules is KERNEL_MODULES else "about half a minute"
            sys.stderr.write(f"grammar-engine: compiling its kernels once for this machine ({how_long})\n")
            spoken = True
        if spoken:
            sys.stderr.write(f"grammar-engine: {line}\n")

    seconds = warm_up(progress, modules)
    if spoken:
        sys.stderr.write(f"grammar-engine: ready after {seconds:.0f} s; the next start takes well under a second\n")


def _was_compiled(module: ModuleType) -> bool:
    """Whether a kernel of the module was missing in numba's cache (never so where numba's compiler is switched off)."""
    kernels = (value for value in vars(module).values() if hasattr(value, "stats"))
    return any(sum(value.stats.cache_misses.values()) for value in kernels)
