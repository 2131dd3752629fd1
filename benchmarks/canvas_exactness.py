"""Canvases against plain ones, which try every token at every position of a matcher; both of this project.

    python benchmarks/canvas_exactness.py [--canvases 200] [--seed 0] [--languages NAME ...]

For each small language of tests/support/canvas_languages.py (JSON Schema, JSON, arithmetic, ambiguous grammars,
competing terminals, indentation, ...), random canvases: texts with gaps, some with a wrong token, and noise. Compared:
whether each can be completed, the tokens allowed in every slot, the best completion's probability and the mass of all.
The plain canvas itself is compared with the enumeration of all fillings in tests/test_plain_canvas.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from canvas_languages import LANGUAGES
from common import show_table
from plain_canvas import PlainCanvas

from grammar_engine.diffusion import Canvas


def main() -> None:
    """Compare, and count differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--canvases", type=int, default=200, help="of each language")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--languages", nargs="+", default=list(LANGUAGES))
    options = parser.parse_args()
    rows = {name: compare(name, options.canvases, options.seed) for name in options.languages}
    totals = [sum(column) for column in zip(*rows.values(), strict=True)]
    shown = {name: map(str, counts) for name, counts in {**rows, "all": totals}.items()}
    columns = ["canvases", "completable", "masks", "completions", "differences"]
    show_table(Console(width=120), "Canvases against plain ones", columns, shown)
    sys.exit(1 if totals[-1] else 0)


def compare(name: str, count: int, seed: int) -> list[int]:
    """The numbers of a language's row."""
    language = LANGUAGES[name]()
    mask, size = language.options["mask_token_id"], language.compiled.vocabulary.size
    completable = masks = completions = differences = 0
    for number, ids in enumerate(language.canvases(count, seed)):
        plain, canvas = (kind(language.compiled, ids, **language.options) for kind in (PlainCanvas, Canvas))
        wanted = plain.is_completable()
        completable += wanted
        differences += canvas.is_completable() != wanted
        for slot in range(len(ids)):
            masks += 1
            differences += not np.array_equal(canvas.allowed(slot), plain.allowed(slot))
        if wanted and mask in ids:
            completions += 1
            rng = np.random.default_rng(number)
            logps = np.log(rng.dirichlet(np.full(size, 0.5), size=len(ids)))
            differences += not np.isclose(canvas.best_completion(logps)[1], plain.best_completion(logps)[1])
            differences += not np.isclose(canvas.sample(logps, rng)[1], plain.sample(logps, rng)[1])
    return [count, completable, masks, completions, differences]


if __name__ == "__main__":
    main()
