"""Cost of masks for GBNF grammars, token by token over texts of their languages, with the Llama-3 vocabulary.

    python benchmarks/gbnf_masks.py [--engines grammar_engine xgrammar llguidance] [--texts 12] [--json results.json]

Grammars like those of llama.cpp (``cases/*.gbnf`` and the shipped ones). XGrammar reads them as its EBNF, llguidance
after its own ``gbnf_to_lark``; what an engine refuses is shown as such. Texts are random, seeded, written here. Every
step is one mask and one accepted token; "first" is the compilation and the first mask, in an engine that is warm.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import environment, figure, load_llama3, show_table, summary
from engines import ENGINES, Engine
from grammar_engine.grammars import source
from rich.console import Console

C_LIKE = Path(__file__).parent / "cases" / "c_like.gbnf"


def json_text(rng: random.Random, depth: int = 4) -> str:
    """A JSON value, indented by chance."""

    def value(depth: int) -> Any:
        kind = rng.randrange(6 if depth else 4)
        if kind == 0:
            return rng.choice([True, False, None, rng.randrange(-1000, 100000), round(rng.uniform(-9, 99), 3)])
        if kind in (1, 2, 3):
            return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 8))) + rng.choice(
                ["", "é", '"', "\n", "日本"]
            )
        if kind == 4:
            return [value(depth - 1) for _ in range(rng.randint(0, 6))]
        return {f"{rng.choice(WORDS)}_{n}": value(depth - 1) for n in range(rng.randint(1, 7))}

    return json.dumps([value(depth) for _ in range(4)], indent=rng.choice([None, 2]), ensure_ascii=rng.random() < 0.5)


def arithmetic_text(rng: random.Random) -> str:
    """A few equations."""

    def expression(depth: int) -> str:
        kind = rng.randrange(6 if depth else 2)
        if kind == 0:
            return str(rng.randrange(10000)) + rng.choice(["", ".5", ".125"])
        if kind == 1:
            return rng.choice(WORDS)
        if kind == 2:
            return f"({expression(depth - 1)})"
        if kind == 3:
            return f"{rng.choice(WORDS)}({expression(depth - 1)}, {expression(depth - 1)})"
        gap = rng.choice(["", " "])
        return f"{expression(depth - 1)}{gap}{rng.choice('+-*/')}{gap}{expression(depth - 1)}"

    return "".join(f"{expression(4)} = {expression(2)}\n" for _ in range(8))


def c_text(rng: random.Random) -> str:
    """A function with statements."""

    def expression(depth: int) -> str:
        kind = rng.randrange(5 if depth else 2)
        if kind < 2:
            return rng.choice([rng.choice(WORDS), str(rng.randrange(1000))])
        if kind == 2:
            return f"{rng.choice(WORDS)}({expression(depth - 1)}, {expression(depth - 1)})"
        return f"{expression(depth - 1)} {rng.choice(['+', '-', '*', '/', '<', '==', '&&'])} {expression(depth - 1)}"

    def block(depth: int, indent: str) -> str:
        lines = []
        for _ in range(rng.randint(1, 4)):
            kind = rng.randrange(6 if depth else 4)
            if kind == 0:
                lines.append(f"{indent}int {rng.choice(WORDS)} = {expression(2)};\n")
            elif kind == 1:
                lines.append(f"{indent}{rng.choice(WORDS)} = {expression(2)}; // {rng.choice(WORDS)}\n")
            elif kind == 2:
                lines.append(f"{indent}return {expression(1)};\n")
            elif kind == 3:
                lines.append(f"{indent}{rng.choice(WORDS)}({expression(1)});\n")
            elif kind == 4:
                lines.append(f"{indent}while ({expression(2)}) {{\n{block(depth - 1, indent + '    ')}{indent}}}\n")
            else:
                body = block(depth - 1, indent + "    ")
                lines.append(f"{indent}if ({expression(2)}) {{\n{body}{indent}}} else {{\n{body}{indent}}}\n")
        return "".join(lines)

    return "".join(
        f"int {rng.choice(WORDS)}(int {rng.choice(WORDS)}, float y) {{\n{block(3, '    ')}}}\n\n" for _ in range(4)
    )


WORDS = [
    "alpha", "buffer", "count", "delta_value", "entry", "first", "global_name", "height", "index", "jump", "kernel",
    "length", "matrix", "number", "offset", "pointer", "quantity", "result", "string", "total_sum", "unit", "vector",
]  # fmt: skip
CASES: dict[str, tuple[Callable[[], str], Callable[[random.Random], str]]] = {
    "json": (lambda: source("json", ".gbnf"), json_text),
    "arithmetic": (lambda: source("arithmetic", ".gbnf"), arithmetic_text),
    "c-like": (lambda: C_LIKE.read_text(encoding="utf-8"), c_text),
}


def measure(engine: Engine, case: str, texts: list[list[int]]) -> dict[str, Any]:
    """Times of one engine on one grammar in microseconds, or why there are none."""
    began = time.perf_counter()
    try:
        compiled = engine.compile_gbnf(CASES[case][0]())
        engine.fill(engine.start(compiled))
    except Exception as error:  # noqa: BLE001 (a refusal of any kind is the result)
        return {"refused": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    first = 1e3 * (time.perf_counter() - began)
    masks: list[float] = []
    steps: list[float] = []
    rejected = 0
    for ids in texts:
        matcher = engine.start(compiled)
        for token_id in ids:
            before = time.perf_counter()
            engine.fill(matcher)
            between = time.perf_counter()
            allowed = engine.allowed(token_id)
            accepting = time.perf_counter()
            accepted = engine.accept(matcher, token_id)
            steps.append(1e6 * (time.perf_counter() - accepting))
            masks.append(1e6 * (between - before))
            if not allowed or not accepted:
                rejected += 1
                break
        else:
            rejected += not engine.accepting(matcher)
    return {"first_ms": first, "mask": summary(masks), "accept": summary(steps), "rejected": rejected}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", default=["grammar_engine", "xgrammar", "llguidance"])
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tokenizer = load_llama3()
    encoding = tokenizer.encoding()
    console = Console(width=140)
    results: dict[str, Any] = {"environment": environment(["grammar-engine", "xgrammar", "llguidance"])}
    for case in arguments.cases:
        rng = random.Random(arguments.seed)
        texts = [encoding.encode(CASES[case][1](rng), disallowed_special=()) for _ in range(arguments.texts)]
        rows: dict[str, list[str]] = {}
        for name in arguments.engines:
            found = measure(ENGINES[name](tokenizer), case, texts)
            results[f"{case}/{name}"] = found
            if "refused" in found:
                rows[name] = [found["refused"][:70], *[""] * 7]
                continue
            mask, accept = found["mask"], found["accept"]
            figures = [found["first_ms"], *(mask.get(key) for key in ("mean", "p50", "p99", "max")), accept["mean"]]
            rows[name] = [*map(figure, figures), str(found["rejected"]), str(int(mask["n"]))]
        columns = ["first ms", "mask mean µs", "p50", "p99", "max", "accept mean µs", "rejected", "masks"]
        show_table(console, f"{case}: {len(texts)} texts, {sum(map(len, texts))} tokens", columns, rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
