"""The one-time step on a new machine: numba compiles the kernels (ten to twenty seconds), then keeps them on disk.

Called ahead by ``grammar-engine warmup``, or by the first compile, which says on stderr what takes so long.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable

KERNEL_MODULES = ("arena", "trie", "lexer", "parser", "walks", "masks", "positions", "steps", "engine")
QUIET_SECONDS = 1.0  # from cache each module loads in a few milliseconds; more means that numba is compiling


def warm_up(progress: Callable[[str], None] | None = None) -> float:
    """Load every kernel, compiling those that are not in numba's cache; the seconds that it took.

    progress: called with a line for each step (default: silent).
    """
    started = time.perf_counter()
    for number, name in enumerate(KERNEL_MODULES, 1):
        if progress is not None:
            progress(f"kernels {number}/{len(KERNEL_MODULES)}: {name}")
        importlib.import_module(f"grammar_engine.kernels.{name}")
    return time.perf_counter() - started


def load_kernels() -> None:
    """``warm_up`` that speaks up, on stderr, only once it has taken longer than loading from cache would."""
    started = time.perf_counter()
    spoken = False

    def progress(line: str) -> None:
        nonlocal spoken
        if spoken or time.perf_counter() - started > QUIET_SECONDS:
            if not spoken:
                sys.stderr.write("grammar-engine: compiling its kernels once for this machine (about 10-20 s)\n")
                spoken = True
            sys.stderr.write(f"grammar-engine: {line}\n")

    seconds = warm_up(progress)
    if spoken:
        sys.stderr.write(f"grammar-engine: ready after {seconds:.0f} s; the next start takes well under a second\n")
