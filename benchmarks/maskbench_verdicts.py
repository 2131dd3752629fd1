"""Verdicts over MaskBench's open half: is each test instance accepted exactly when its label says valid?

Each schema is compiled with a vocabulary of single bytes (verdicts do not depend on the vocabulary), each instance is
written as MaskBench does, ``json.dumps(data, ensure_ascii=False)``, and matched as a whole.

    python benchmarks/maskbench_verdicts.py [--limit N] [--sample-seed S] [--show K] \
        [--property-order any] [--json FILE]

Prints the schemas refused (by error and keyword), the verdicts that agree, and every difference with the place in the
text at which it was refused. A few valid instances do not stand in the declared order of properties, which is the
documented restriction of that mode: what is accepted with ``property_order="any"`` is counted apart. Exit code 1 if
there is any other difference.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from common import data_folder
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import GrammarEngineError, UnsupportedSchemaError
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

_CONTEXT = 60


def byte_compiler() -> GrammarCompiler:
    """A compiler whose vocabulary is the 256 bytes and a stop token."""
    tokens = [bytes([byte]) for byte in range(256)]
    return GrammarCompiler(Vocabulary([*tokens, b""], stop_token_ids=[256]), cache_size=1, cache_dir="")


def refused_at(matcher: Matcher, text: bytes) -> int:
    """How many bytes of ``text`` are accepted one by one; ``len(text)`` if it only may not end there."""
    matcher.reset()
    for index in range(len(text)):
        if not matcher.accept_bytes(text[index : index + 1]):
            return index
    return len(text)


def accepts(matcher: Matcher, text: bytes) -> bool:
    """Is ``text`` a text of the matcher's grammar?"""
    matcher.reset()
    return matcher.accept_bytes(text) and matcher.is_accepting()


def accepts_in_any_order(compiler: GrammarCompiler, schema: dict[str, Any], text: bytes) -> bool:
    """Is ``text`` accepted where properties may stand in any order?"""
    try:
        return accepts(Matcher(compiler.compile_json_schema(schema, property_order="any")), text)
    except GrammarEngineError:
        return False


def main() -> int:
    """Run the comparison; the exit code says whether all verdicts agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="only so many schemas")
    parser.add_argument("--sample-seed", type=int, default=0, help="which ones, if there is a limit")
    parser.add_argument("--show", type=int, default=20, help="print so many differences")
    parser.add_argument("--property-order", choices=["declared", "any"], default="declared")
    parser.add_argument("--json", type=Path, help="write all differences and refusals here")
    arguments = parser.parse_args()

    with gzip.open(data_folder() / "maskbench_open.jsonl.gz", "rt", encoding="utf-8") as file:
        records: list[dict[str, Any]] = [json.loads(line) for line in file]
    if arguments.limit is not None:
        records = random.Random(arguments.sample_seed).sample(records, min(arguments.limit, len(records)))

    compiler = byte_compiler()
    refused: Counter[str] = Counter()
    refusals: list[dict[str, str]] = []
    failures: list[dict[str, str]] = []
    differences: list[dict[str, Any]] = []
    verdicts: Counter[tuple[bool, bool]] = Counter()
    only_order = 0
    started = time.perf_counter()
    for record in records:
        try:
            compiled_schema = compiler.compile_json_schema(record["schema"], property_order=arguments.property_order)
            matcher = Matcher(compiled_schema)
        except GrammarEngineError as error:
            name = error.keyword if isinstance(error, UnsupportedSchemaError) else type(error).__name__
            refused[name] += 1
            refusals.append({"id": record["id"], "error": str(error)})
            continue
        for number, test in enumerate(record["tests"]):
            text = json.dumps(test["data"], ensure_ascii=False).encode("utf-8", "surrogatepass")
            try:
                accepted = accepts(matcher, text)
            except GrammarEngineError as error:
                failures.append({"id": record["id"], "error": str(error)})
                break
            verdicts[accepted, test["valid"]] += 1
            wrongly_refused = test["valid"] and not accepted and arguments.property_order == "declared"
            if wrongly_refused and accepts_in_any_order(compiler, record["schema"], text):
                only_order += 1
                continue
            if accepted != test["valid"]:
                place = len(text) if accepted else refused_at(matcher, text)
                differences.append(
                    {
                        "id": record["id"],
                        "test": number,
                        "description": test["description"],
                        "label": test["valid"],
                        "accepted": accepted,
                        "place": place,
                        "around": text[max(place - _CONTEXT, 0) : place + _CONTEXT].decode(errors="replace"),
                    }
                )
    seconds = time.perf_counter() - started

    compiled = len(records) - sum(refused.values())
    write = sys.stdout.write
    write(f"schemas {len(records)}, compiled {compiled}, refused {sum(refused.values())}, {seconds:.1f} s\n")
    for name, count in refused.most_common():
        write(f"  refused {count:5}  {name}\n")
    for failure in failures:
        write(f"  FAILED WHILE MATCHING {failure['id']}: {failure['error']}\n")
    agree = verdicts[True, True] + verdicts[False, False]
    write(f"instances {sum(verdicts.values())}, agree {agree}: valid {verdicts[True, True]}, ")
    write(f"invalid {verdicts[False, False]}; wrongly refused {verdicts[False, True] - only_order}, ")
    write(f"wrongly accepted {verdicts[True, False]}\n")
    if arguments.property_order == "declared":
        write(f"refused only for the order of its properties: {only_order}\n")
    for difference in differences[: arguments.show]:
        kind = "accepted, label invalid" if difference["accepted"] else "refused, label valid"
        write(f"  {difference['id']} #{difference['test']} ({difference['description']}): {kind}\n")
        write(f"      at {difference['place']}: …{difference['around']}…\n")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"refusals": refusals, "failures": failures, "differences": differences}))
    return int(bool(differences or failures))


if __name__ == "__main__":
    raise SystemExit(main())
