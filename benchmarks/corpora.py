"""Verdicts over corpora of real texts: does a shipped grammar accept what is valid and refuse what is not?

    python benchmarks/corpora.py [language ...] [--mutants] [--dialect NAME] [--limit N] [--show K]

Prints per language and dialect how many valid texts are accepted and how many invalid ones refused; of truncated
texts, how many stay alive to their last byte. ``--show``: so many differences, each with the place where the text is
refused. Exit code 1 if a language has no grammar or no corpus. What is counted: ``tests/support/corpora_verdicts.py``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from common import data_folder
from corpora_verdicts import Judge, judge_corpus

from grammar_engine import grammars


def main() -> int:
    """Print the table; the exit code says whether every language was there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("languages", nargs="*", help="default: every shipped grammar with a corpus")
    parser.add_argument("--mutants", action="store_true", help="the damaged copies too")
    parser.add_argument("--dialect", help="only this one")
    parser.add_argument("--limit", type=int, help="only so many texts of each corpus")
    parser.add_argument("--show", type=int, default=0, help="print so many differences of each corpus")
    arguments = parser.parse_args()

    write = sys.stdout.write
    present = {path.name.removesuffix(".jsonl.gz") for path in (data_folder() / "corpora").iterdir()}
    languages = arguments.languages or sorted(present.intersection(grammars.shipped_names()))
    missing = [name for name in languages if name not in present or name not in grammars.shipped_names()]
    if missing:
        write(f"no grammar or no corpus: {', '.join(missing)}\n")
        return 1
    write(f"{'corpus':<22}{'dialect':<20}{'valid accepted':>22}{'invalid refused':>22}{'cut, alive':>14}{'s':>8}\n")
    for language in languages:
        judge = Judge(language)
        for name in [language, f"{language}_mutants"] if arguments.mutants else [language]:
            if name not in present:
                continue
            started = time.perf_counter()
            scores, differences = judge_corpus(
                data_folder(), name, judge, dialect=arguments.dialect, limit=arguments.limit
            )
            seconds = time.perf_counter() - started
            for dialect, score in sorted(scores.items()):
                cells = ""
                for label in (True, False):
                    right, total = score.share(label=label)
                    cells += f"{right:>8}/{total:<5}{100 * right / total if total else 0:>7.2f} %"
                write(f"{name:<22}{dialect:<20}{cells}{score.alive:>9}/{score.truncated:<4}{seconds:>8.1f}\n")
            for difference in differences[: arguments.show]:
                write(f"  {difference}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
