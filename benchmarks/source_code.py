"""Cost of masks on source code, token by token over real files, with the Llama-3 vocabulary.

    python benchmarks/source_code.py [language ...] [--engines grammar_engine llguidance xgrammar] [--tokens 20000]

Languages are the shipped grammars with a corpus in the shared data, and ``calc``: the arithmetic grammar, over random
texts written here. Texts are a seeded sample of the valid ones, until there are enough tokens; one compiled grammar
serves them all, from cold, as in a session of one user. A text that a grammar refuses is followed up to there.

Times are processor time of the thread in microseconds: the masks (mean and percentiles), an accepted token, and in
milliseconds the compilation with the first mask: in a compiler that is warm, and again in a second one, which finds
what the first has left in the disk cache. Of our own engine also lexer states, configurations and
trie nodes visited per mask.

Other engines take the calc grammar, written for each in its own dialect (``cases/calc.*``). The shipped grammars mean
Lark's lexer and indentation, which neither follows; what an engine makes of the .lark text as it is is shown too, if
only that it refuses it.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import data_folder, environment, figure, load_llama3, show_table, summary
from engines import ENGINES, Engine, GrammarEngine
from gbnf_masks import WORDS
from rich.console import Console

from grammar_engine import grammars

CASES = Path(__file__).parent / "cases"
LANGUAGES = ("python", "go", "java", "sql", "calc")


def calc_text(rng: random.Random) -> str:
    """One expression, some of it with blanks."""

    def expression(depth: int) -> str:
        kind = rng.randrange(7 if depth else 2)
        if kind == 0:
            return str(rng.randrange(10000)) + rng.choice(["", ".5", ".125", "e-3"])
        if kind == 1:
            return rng.choice(WORDS)
        gap = rng.choice(["", "", " ", " ", "\n    "])
        if kind == 2:
            return f"({gap}{expression(depth - 1)})"
        if kind == 3:
            return f"{rng.choice(WORDS)}({expression(depth - 1)}, {expression(depth - 1)})"
        if kind == 4:
            return f"-{expression(depth - 1)}"
        return f"{expression(depth - 1)}{gap}{rng.choice(['+', '-', '*', '/', '^', '**'])}{gap}{expression(depth - 1)}"

    return expression(8)


def texts_of(language: str, seed: int) -> Iterator[str]:
    """Valid texts of a language, shuffled."""
    rng = random.Random(seed)
    if language == "calc":
        while True:
            yield calc_text(rng)
    # (numpy and lark are there by now; the helper's other imports cost nothing)
    import gzip

    with gzip.open(data_folder() / "corpora" / f"{language}.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [record for record in map(json.loads, lines) if record["valid"] and "text" in record]
    if language == "sql":
        records = [record for record in records if record["dialect"] in ("postgres", "sqlite", "mysql", "sqlglot")]
    rng.shuffle(records)
    for record in records:
        yield record["text"]


def grammar_of(language: str, engine: Engine) -> tuple[str, dict[str, Any]]:
    """What an engine compiles: a grammar's text or, for our own, its name; and options."""
    if isinstance(engine, GrammarEngine):
        if language == "python" and language not in grammars.shipped_names():
            return python_lark(), {"start": "file_input", "parser": "lalr", "postlex": "python"}
        return language, {}
    suffix = {"llguidance": "lark", "xgrammar": "ebnf"}.get(engine.package, "")
    written = CASES / f"{language}.{engine.package}.{suffix}"
    if written.is_file():
        return written.read_text(encoding="utf-8"), {}
    if suffix != "lark":
        raise NotImplementedError(f"the {language} grammar is not written in its dialect")
    return grammars.source(language), {}


def python_lark() -> str:
    """Lark's own python.lark, its two assertions that look beyond their terminals replaced by priorities."""
    import lark

    text = (Path(lark.__file__).parent / "grammars" / "python.lark").read_text(encoding="utf-8")
    text = text.replace('(?!"")', "").replace("(?!'')", "").replace(" /(?![1-9])/", "")
    return text.replace("\nLONG_STRING:", "\nLONG_STRING.1:")


def first_mask(engine: Engine, language: str) -> tuple[Any, float]:
    """The compiled grammar, and the milliseconds that it took up to the first mask."""
    grammar, options = grammar_of(language, engine)
    gc.collect()
    began = time.thread_time_ns()
    compiled = engine.compile_lark(grammar, **options)
    engine.fill(engine.start(compiled))
    return compiled, 1e-6 * (time.thread_time_ns() - began)


def measure(engine: Engine, language: str, texts: list[list[int]]) -> dict[str, Any]:
    """Times of one engine on one grammar in microseconds, or why there are none."""
    try:
        compiled, first = first_mask(engine, language)
    except Exception as error:  # noqa: BLE001 (a refusal of any kind is the result)
        return {"refused": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    masks: list[float] = []
    steps: list[float] = []
    rejected = 0
    slowest: list[tuple[float, str]] = []
    clock = time.thread_time_ns
    for ids in texts:
        matcher = engine.start(compiled)
        for place, token_id in enumerate(ids):
            before = clock()
            engine.fill(matcher)
            between = clock()
            allowed = engine.allowed(token_id)
            accepting = clock()
            accepted = engine.accept(matcher, token_id)
            after = clock()
            steps.append(1e-3 * (after - accepting))
            masks.append(1e-3 * (between - before))
            if masks[-1] > 1000:
                slowest.append((masks[-1], engine.tokenizer.text(ids[max(place - 12, 0) : place])))
            if not allowed or not accepted:
                rejected += 1
                break
        else:
            rejected += not engine.accepting(matcher)
    slowest.sort(reverse=True)
    result = {"first_ms": first, "mask": summary(masks), "accept": summary(steps), "rejected": rejected}
    result["over_1_ms"] = len(slowest)
    result["slowest"] = slowest[:20]
    if isinstance(engine, GrammarEngine):
        result["statistics"] = compiled.statistics
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("languages", nargs="*", default=LANGUAGES)
    parser.add_argument("--engines", nargs="+", default=["grammar_engine"])
    parser.add_argument("--tokens", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slowest", type=int, default=0, help="print so many of the masks that took over 1 ms")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tokenizer = load_llama3()
    encoding = tokenizer.encoding()
    console = Console(width=180)
    results: dict[str, Any] = {"environment": environment(["grammar-engine", "xgrammar", "llguidance"])}
    with tempfile.TemporaryDirectory() as cache:
        engines: dict[str, Any] = {
            name: ENGINES[name](tokenizer) for name in arguments.engines if name != "grammar_engine"
        }
        if "grammar_engine" in arguments.engines:
            engines["grammar_engine"] = GrammarEngine(tokenizer, cache_dir=cache)
        for language in arguments.languages:
            texts: list[list[int]] = []
            count = 0
            for text in texts_of(language, arguments.seed):
                texts.append(encoding.encode(text, disallowed_special=())[: arguments.tokens - count])
                count += len(texts[-1])
                if count >= arguments.tokens:
                    break
            rows: dict[str, list[str]] = {}
            for name in arguments.engines:
                found = measure(engines[name], language, texts)
                results[f"{language}/{name}"] = found
                if "refused" in found:
                    rows[name] = [found["refused"][:80]]
                    continue
                if name == "grammar_engine":
                    engines[name].save_cache()
                    found["cached_ms"] = first_mask(GrammarEngine(tokenizer, cache_dir=cache), language)[1]
                rows[name] = _cells(found)
            columns = [
                "first ms", "cached", "mean µs", "p50", "p90", "p99", "max", "> 1 ms", "accept µs", "refused", "masks",
                "states", "configs", "MB", "visits",
            ]  # fmt: skip
            show_table(console, f"{language}: {len(texts)} texts, {count} tokens", columns, rows)
            for name in arguments.engines:
                for microseconds, before in results[f"{language}/{name}"].get("slowest", [])[: arguments.slowest]:
                    console.print(f"  {name} {microseconds:8.0f} µs behind {before!r}", markup=False)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


def _cells(found: dict[str, Any]) -> list[str]:
    mask, accept, statistics = found["mask"], found["accept"], found.get("statistics")
    cells = [
        found["first_ms"],
        found.get("cached_ms"),
        *(mask.get(key) for key in ("mean", "p50", "p90", "p99", "max")),
    ]
    cells += [found["over_1_ms"], accept["mean"], found["rejected"], mask["n"]]
    if statistics:
        cells += [
            statistics["lexer_states"],
            statistics["configurations"],
            statistics["arena_bytes_used"] / 1e6,
            statistics["trie_nodes_visited"] / mask["n"],
        ]
    return [figure(cell) for cell in cells]


if __name__ == "__main__":
    main()
