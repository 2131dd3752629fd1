"""Differential fuzzing of Lark grammars against Lark itself and against the reference recognizer.

    python benchmarks/fuzz_lark.py [--verdicts 100000] [--seed 0] [--max-differences 20]

Random grammars (EBNF, templates, priorities, keywords, look-around, ``%ignore``, ``%import``, ``%extend``,
``%override``, Indenters; LALR and Earley with every lexer, and ``parser="glr"``), random sentences, mutations and walks
through our masks. Prints how many verdicts and masks were compared, which constructs the compared grammars had, and
what was refused. Exit code 1 if anything differs, with the difference made small.
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys
import time
from pathlib import Path

import lark.lexer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from lark_fuzzing.campaign import Campaign, Report


def show(report: Report, seconds: float) -> None:
    """Print the counts."""
    write = sys.stdout.write
    compared = sum(count for feature, count in report.compared.items() if feature in ("loose", "shaped", "indented"))
    write(f"grammars {report.grammars}, compared {compared}, refused by both {report.refused_by_both}, ")
    write(f"{seconds:.0f} s\n")
    write(f"verdicts {report.verdicts}: accepted {report.accepted}, rejected {report.verdicts - report.accepted}\n")
    write(f"walks {report.walks}, masks {report.masks}, dead ends {report.dead_ends}, ")
    write(f"differences {len(report.differences)}\n")
    write("compared grammars with: " + ", ".join(f"{name} {n}" for name, n in report.compared.most_common()) + "\n")
    for name, count in report.refused.most_common():
        write(f"  refused {count:6}  {name}\n")
    for name, count in report.refused_later.most_common():
        write(f"  refused while reading {count:6}  limit: {name}\n")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    write(f"slowest grammar {report.slowest[0]:.2f} s; {memory} MiB at most\n")


def main() -> int:
    """Run; the exit code says whether all agreed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verdicts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-differences", type=int, default=20, help="stop after so many")
    arguments = parser.parse_args()
    logging.getLogger("lark").setLevel(logging.CRITICAL)
    # Lark asks interegular whether terminals collide, only to warn, and interegular fails on some look-aheads.
    lark.lexer.has_interegular = False  # type: ignore[attr-defined]
    started = time.monotonic()
    report = Campaign(arguments.seed, max_differences=arguments.max_differences).run(arguments.verdicts)
    for difference in report.differences:
        sys.stdout.write(f"DIFFERENCE {difference}\n")
    show(report, time.monotonic() - started)
    return int(bool(report.differences))


if __name__ == "__main__":
    raise SystemExit(main())
