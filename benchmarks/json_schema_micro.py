"""One JSON Schema feature at a time: what compiling, the first mask and each mask cost, in time and in work done.

    python benchmarks/json_schema_micro.py [CASE…] [--llguidance] [--repeat N] [--json FILE]

Each case (micro_cases.py) has one thing in excess: a long enum, a wide pattern, two thousand properties. Its text is
split by the Llama-3 tokenizer (or, where that is neither cached nor fetched, by Qwen's ranks of the data folder) and
fed token by token. Every case has a compiler of its own whose store of rows knows one small schema, so cases do not
help each other; what is cached for the process (automata of patterns) is cold the first time.

Times are CPU µs of one thread, the smaller of elapsed and CPU time; ``compile`` includes the first mask. ``nodes`` are
trie nodes visited: until the first mask, then per mask (mean and greatest); ``expanded``: nonterminals. Times of N
repeated runs are the least, position by position. ``--llguidance`` runs the same texts through llguidance (its
declared-order semantics; cases that it refuses or whose text it rejects show a dash).
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
from common import Llama3, data_folder, environment, figure, load_llama3, show_table, summary
from engines import LLGuidance, source
from maskbench_worker import WARM_UP, Timer
from micro_cases import CASES, Case
from rich.console import Console

import grammar_engine as ge


def load_tokenizer() -> Llama3:
    """Llama 3's tokenizer, or one of about the same size with its special tokens."""
    try:
        return load_llama3()
    except OSError:
        with gzip.open(data_folder() / "tokenizers" / "qwen.tiktoken.gz") as lines:
            pairs = (line.split() for line in lines if line.strip())
            ranks = {b64decode(token): int(rank) for token, rank in pairs}
        names = ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>")
        return Llama3(ranks=ranks, special={name: len(ranks) + index for index, name in enumerate(names)})


def run(vocabulary: ge.Vocabulary, case: Case, tokens: list[int]) -> dict[str, Any]:
    """Times and counts of one case, with a compiler of its own."""
    compiler = ge.GrammarCompiler(vocabulary, cache_dir="")
    bitmask = np.zeros((1, (vocabulary.size + 31) // 32), np.int32)
    ge.Matcher(compiler.compile_json_schema(WARM_UP["schema"])).fill_next_token_bitmask(bitmask, 0)
    gc.collect()
    gc.freeze()  # a collection looks at what this case makes, not at what others left
    timer = Timer()
    timer.start()
    compiled = compiler.compile_json_schema(case.schema, **case.options)
    matcher = ge.Matcher(compiled)
    matcher.fill_next_token_bitmask(bitmask, 0)
    compile_us = timer.stop()
    nodes = [compiled.statistics["trie_nodes_visited"]]
    masks: list[float] = []
    for token_id in tokens:
        timer.start()
        matcher.fill_next_token_bitmask(bitmask, 0)
        masks.append(timer.stop())
        nodes.append(compiled.statistics["trie_nodes_visited"])
        if not matcher.accept_token(token_id):
            raise ValueError(f"{vocabulary.tokens[token_id]!r} is refused")
    if not matcher.is_accepting():
        raise ValueError("the text is not complete")
    visits = np.diff(nodes)
    return {
        "compile_us": compile_us,
        "masks": masks,
        "nodes_first": nodes[0],
        "nodes_mean": float(visits.mean()),
        "nodes_max": int(visits.max()),
        "expansions": compiled.statistics["expansions"],
    }


def run_llguidance(engine: LLGuidance, case: Case, tokens: list[int]) -> dict[str, Any]:
    """The times of llguidance on the same text."""
    timer = Timer()
    gc.collect()
    schema = source(case.schema)
    timer.start()
    compiled = engine.compile(schema)
    matcher = engine.start(compiled)
    engine.fill(matcher)
    compile_us = timer.stop()
    masks: list[float] = []
    for token_id in tokens:
        timer.start()
        engine.fill(matcher)
        masks.append(timer.stop())
        if not engine.accept(matcher, token_id):
            raise ValueError(f"token {token_id} is refused")
    return {"compile_us": compile_us, "masks": masks}


def least(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The least times of several runs; the counts are those of the first."""
    masks = [min(times) for times in zip(*(one["masks"] for one in runs), strict=True)]
    return {**runs[0], "compile_us": min(one["compile_us"] for one in runs), "masks": masks}


def times(result: dict[str, Any] | None) -> list[str]:
    """The cells of a result: compile, p50, p99, greatest."""
    if result is None:
        return ["–"] * 4
    masks = summary(result["masks"])
    return [figure(value) for value in (result["compile_us"], masks["p50"], masks["p99"], masks["max"])]


def main() -> int:
    """Run the cases and print the table; exit code 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of: {', '.join(CASES)}")
    parser.add_argument("--llguidance", action="store_true", help="beside it")
    parser.add_argument("--repeat", type=int, default=1, metavar="N")
    parser.add_argument("--json", type=Path, help="write all figures here")
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")

    tokenizer = load_tokenizer()
    encoding = tokenizer.encoding()
    vocabulary = ge.Vocabulary(
        tokenizer.tokens(), stop_token_ids=tokenizer.stop, special_token_ids=list(tokenizer.special.values())
    )
    peer = LLGuidance(tokenizer) if arguments.llguidance else None
    results: dict[str, Any] = {}
    rows: dict[str, list[str]] = {}
    problems: list[str] = []
    for name in arguments.cases or CASES:
        case = CASES[name]()
        tokens = encoding.encode_ordinary(case.text)
        try:
            own = least([run(vocabulary, case, tokens) for _ in range(arguments.repeat)])
        except (ge.GrammarEngineError, ValueError) as error:
            results[name] = {"error": str(error)}
            rows[name] = ["failed"]
            problems.append(f"{name}: {error}")
            continue
        results[name] = {"grammar_engine": own}
        counts = [figure(own[key]) for key in ("nodes_first", "nodes_mean", "nodes_max", "expansions")]
        rows[name] = [str(len(own["masks"])), *times(own), *counts]
        if peer is not None:
            other = None
            try:
                other = least([run_llguidance(peer, case, tokens) for _ in range(arguments.repeat)])
            except ValueError as error:
                results[name]["llguidance"] = {"error": str(error)}
            else:
                results[name]["llguidance"] = other
            rows[name] += times(other)
    columns = ["masks", "compile", "p50", "p99", "max", "nodes", "/mask", "most", "expanded"]
    columns += [f"llg {name}" for name in ("compile", "p50", "p99", "max")] if peer is not None else []
    show_table(Console(width=160), "JSON Schema, one feature at a time (CPU µs)", columns, rows)
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    if arguments.json is not None:
        packages = ("grammar-engine", "llguidance", "numba", "numpy")
        arguments.json.write_text(json.dumps({"environment": environment(packages), "cases": results}))
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
