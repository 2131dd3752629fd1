"""Counts over the JSON-Schema-Test-Suite: groups that compile, verdicts that agree, and why the others differ.

    python benchmarks/json_schema_suite.py

The same run as ``tests/conformance/test_json_schema_suite.py``, with its figures. Exit code 1 if a difference has no
documented reason.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from byte_texts import byte_compiler
from common import data_folder
from json_schema_suite import FILES, load_documents, load_groups, run_suite


def main() -> int:
    """Run all files; the exit code says whether every difference is explained."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    compiler = byte_compiler()
    documents = load_documents(data_folder())
    write = sys.stdout.write
    wrong = False
    for name in FILES:
        outcome = run_suite(compiler, load_groups(data_folder(), name), documents)
        compiled = outcome.groups - sum(outcome.refused.values())
        differ = sum(outcome.explained.values()) + len(outcome.wrong)
        write(f"{name}: {compiled} of {outcome.groups} groups compile; ")
        write(f"{outcome.verdicts - differ} of {outcome.verdicts} verdicts agree\n")
        for keyword, count in outcome.refused.most_common():
            write(f"  refused {count:4}  {keyword}\n")
        for reason, count in outcome.explained.most_common():
            write(f"  explained {count:4}  {reason}\n")
        for line in outcome.wrong:
            write(f"  WRONG {line}\n")
        wrong = wrong or bool(outcome.wrong)
    return int(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
