"""Lark's own python.lark over the standard library: our verdicts and Lark's, on each file and on mutations of it.

    python benchmarks/lark_python.py [--step N] [--mutations N] [--most-bytes N] [--seed N] [--show N]
        [--library FOLDER]

Prints how many files and mutations there were, how many of them Lark accepts, how many verdicts differ, and the seconds
that both took. Texts that end inside a comment are left out: there the engine, as documented, may refuse what Lark
accepts. Exit code 1 if a verdict differs.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from lark_oracle import ends_in_comment, library_files, mutation, python_grammar


def main() -> int:
    """Compare and print; the exit code says whether all verdicts agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", type=int, default=1, help="every so many files")
    parser.add_argument("--mutations", type=int, default=1, help="of each file")
    parser.add_argument("--most-bytes", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=5, help="differences that are printed")
    parser.add_argument("--library", type=Path, help="of another Python than the running one")
    arguments = parser.parse_args()

    both = python_grammar()
    rng = random.Random(arguments.seed)
    counts: Counter[str] = Counter()
    write = sys.stdout.write
    for path in library_files(arguments.most_bytes, arguments.library)[:: arguments.step]:
        original = path.read_text(encoding="utf-8")
        for number in range(arguments.mutations + 1):
            text = mutation(original, rng) if number else original
            kind = "mutations" if number else "files"
            if ends_in_comment(text):
                counts[f"{kind} left out"] += 1
                continue
            ours, theirs = both.verdicts(text)
            counts[kind] += 1
            counts[f"{kind} accepted"] += theirs
            if ours != theirs:
                counts["differences"] += 1
                if counts["differences"] <= arguments.show:
                    write(f"{path}, {kind} {number}: {'accepted' if ours else 'refused'} here, not so by Lark\n")
    for kind in ("files", "mutations"):
        accepted, left_out = counts[f"{kind} accepted"], counts[f"{kind} left out"]
        write(f"{kind}: {counts[kind]}, {accepted} accepted by Lark; {left_out} left out\n")
    write(f"differences: {counts['differences']}\n")
    write(f"seconds: {both.seconds[0]:.1f}, Lark {both.seconds[1]:.1f}\n")
    return 1 if counts["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
