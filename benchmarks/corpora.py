"""Verdicts over corpora of real texts: does a shipped grammar accept what is valid and refuse what is not?

    python benchmarks/corpora.py [language ...] [--mutants] [--dialect NAME] [--by FIELD] [--limit N] [--show K]
                                 [--json FILE]

Prints per language and dialect (or another field of the records: source, kind, op) how many valid texts are accepted
and how many invalid ones refused; of truncated texts, how many stay alive to their last byte. Below a language stands
what SynCode's grammar makes of such texts. ``--show``: so many differences, each with the place where the text is
refused. ``--json``: the counts. Exit code 1 if a language has no grammar or no corpus. What is counted:
``tests/support/corpora_verdicts.py``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from common import data_folder
from corpora_verdicts import Judge, judge_corpus

from grammar_engine import grammars

SYNCODE = {
    "go": "13 of 37 files of golang/example",
    "python": "71 of 120 files of the standard library",
    "sql": "1026 of 1034 of Spider's gold queries",
    "json": "84 of 95 valid texts of JSONTestSuite accepted, 156 of 188 invalid ones refused",
}
"""What the grammars shipped with SynCode do, as measured for this project."""


def main() -> int:
    """Print the table; the exit code says whether every language was there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("languages", nargs="*", help="default: every shipped grammar with a corpus")
    parser.add_argument("--mutants", action="store_true", help="the damaged copies too")
    parser.add_argument("--dialect", help="only this one")
    parser.add_argument("--by", default="dialect", help="the field of the records by which the counts are told apart")
    parser.add_argument("--json", type=Path, help="write the counts here")
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
    write(f"{'corpus':<22}{arguments.by:<20}{'valid accepted':>22}{'invalid refused':>22}{'cut, alive':>14}{'s':>8}\n")
    counts: list[dict[str, str | int]] = []
    for language in languages:
        judge = Judge(language)
        for name in [language, f"{language}_mutants"] if arguments.mutants else [language]:
            if name not in present:
                continue
            started = time.perf_counter()
            scores, differences = judge_corpus(
                data_folder(), name, judge, dialect=arguments.dialect, limit=arguments.limit, by=arguments.by
            )
            seconds = time.perf_counter() - started
            for part, score in sorted(scores.items()):
                cells = ""
                count: dict[str, str | int] = {"corpus": name, arguments.by: part}
                for label, key in ((True, "valid"), (False, "invalid")):
                    right, total = score.share(label=label)
                    count |= {key: total, f"{key}_right": right}
                    cells += f"{right:>8}/{total:<5}{100 * right / total if total else 0:>7.2f} %"
                write(f"{name:<22}{part[:19]:<20}{cells}{score.alive:>9}/{score.truncated:<4}{seconds:>8.1f}\n")
                counts.append(count | {"truncated": score.truncated, "alive": score.alive})
            for difference in differences[: arguments.show]:
                write(f"  {difference}\n")
        if language in SYNCODE:
            write(f"  (SynCode's {language}: {SYNCODE[language]})\n")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(counts, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
