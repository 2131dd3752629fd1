"""Differential fuzzing of the JSON Schema front end against ``jsonschema`` and ``jsonschema-rs``.

    python benchmarks/fuzz_json_schema.py [--verdicts 100000] [--seed 0] [--json FILE]

Random schemas of drafts 4 to 2020-12 (every keyword and every pair of keywords in turn), values that are built to be
valid, mutated or random, and texts that random walks through our masks find, which all must be valid. Prints how many
verdicts are equal, how many are explained and by which rule (``tests/support/schema_fuzzing/oracles.py``), what was
refused, and which pairs of keywords no compared schema held. Exit code 1 if a difference is left, with the difference
made small.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from schema_fuzzing.campaign import Campaign, Report
from schema_fuzzing.schemas import DRAFTS, focuses


def show(report: Report, seconds: float) -> None:
    """Print the counts."""
    write = sys.stdout.write
    compared = report.schemas - sum(report.refused.values())
    write(f"schemas {report.schemas}, compared {compared}, {seconds:.0f} s\n")
    write(f"verdicts {report.verdicts}: accepted {report.accepted}, rejected {report.verdicts - report.accepted}\n")
    write(f"  equal {report.equal}, explained {sum(report.explained.values())}, ")
    write(f"differences {len(report.differences)}\n")
    for rule, count in report.explained.most_common():
        write(f"  explained {count:6}  {rule}\n")
    write(f"walks {report.walks}, unfinished {report.unfinished}\n")
    for name, count in report.refused.most_common():
        write(f"  refused {count:6}  {name}\n")
    for name, count in report.refused_later.most_common():
        write(f"  refused later {count:6}  {name}\n")
    for draft, missing in report.uncovered().items():
        total = next(len(focuses(d)) for d in DRAFTS if d.name == draft)
        write(f"  draft {draft}: {total - len(missing)} of {total} pairs of keywords compared\n")
    write(f"slowest compile {report.slowest[0]:.2f} s\n")


def main() -> int:
    """Run; the exit code says whether every difference is explained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verdicts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-differences", type=int, default=20, help="stop after so many")
    parser.add_argument("--json", type=Path, help="write the differences and the slowest schema here")
    arguments = parser.parse_args()
    started = time.monotonic()
    campaign = Campaign(arguments.seed, max_differences=arguments.max_differences)
    report = campaign.run(arguments.verdicts)
    show(report, time.monotonic() - started)
    for difference in report.differences:
        sys.stdout.write(f"DIFFERENCE {difference}\n")
    if arguments.json is not None:
        found = [vars(difference) for difference in report.differences]
        arguments.json.write_text(json.dumps({"differences": found, "slowest": report.slowest[1]}))
    return int(bool(report.differences))


if __name__ == "__main__":
    raise SystemExit(main())
