"""Canvases over the Llama-3 vocabulary and full JSON: checks, commits and masks by length and open slots; LAVE.

    python benchmarks/canvas.py [--lengths 32 64 128 256] [--open 0 25 50 75 100] [--rounds 3] [--schema]

Canvases are JSON texts of which some tokens are open, a stop token and an open tail behind them. Processor time,
medians over rounds, each with other texts and gaps; the automaton of the grammar is new in each round, but the classes
of its vocabulary are known (a canvas before has met them). NaN: the limit of memory was met.

    check      the first question of a new canvas
    commit     one token of the text into one open slot whose mask has been asked for: median and most of 20 slots
    back       what can be completed of all boundaries: what all masks need once
    masks      the rows of all open slots, with that
    again      check, back and masks of a second canvas with other gaps in the same text
    LAVE       the same commit asked of lookaheads, as published (the model is made up: the text's token has 0.6 in each
               gap, four random ones 0.1): milliseconds a verification, and how many right tokens are rejected

--schema: JSON Schema {} in a fixed layout instead of the shipped Lark grammar "json".
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import figure, load_llama3, show_table
from rich.console import Console

from grammar_engine import GrammarCompiler, LimitExceededError, Matcher, Vocabulary
from grammar_engine.diffusion import Canvas
from grammar_engine.diffusion.lookahead import Gap, LaveSettings, Prefix, find_witness

COMMITS = 20
WORDS = ["ada", "bob", "fig", "lemon", "red", "blue", "north", "seven", "paper", "stone"]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--open", type=int, nargs="+", default=[0, 25, 50, 75, 100], help="percent")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--schema", action="store_true")
    options = parser.parse_args()
    llama = load_llama3()
    spelled = [None if token.startswith(b"<|") else token for token in llama.tokens()]
    mask = len(spelled)
    special = [number for number, token in enumerate(spelled) if token is None]
    vocabulary = Vocabulary([*spelled, None], stop_token_ids=llama.stop, special_token_ids=[*special, mask])
    compiler = GrammarCompiler(vocabulary, cache_size=0)
    encode = llama.encoding().encode
    rows: dict[str, list[str]] = {}
    for length in options.lengths:
        for share in options.open:
            found = [
                one_round(compiler, encode, length, share / 100, mask, seed, schema=options.schema)
                for seed in range(options.rounds)
            ]
            names = list(found[0])
            medians = [statistics.median(values) for values in zip(*(one.values() for one in found), strict=True)]
            rows[f"{length} slots, {share} % open"] = [figure(value) for value in medians]
            print(f"{length} slots, {share} % open:", dict(zip(names, medians, strict=True)), flush=True)
    show_table(Console(width=140), "ms of processor time", names, rows)


def one_round(
    compiler: GrammarCompiler, encode: Callable[[str], list[int]], length: int, share: float, mask: int, seed: int,
    *, schema: bool,
) -> dict[str, float]:  # fmt: skip
    """All figures of one text."""
    rng = random.Random(1000 * length + 10 * seed)
    text = text_of(encode, length, rng)
    source: dict[str, Any] = {}
    compiled = compiler.compile_json_schema(source, any_whitespace=False) if schema else compiler.compile_lark("json")
    # (another canvas first, for the classes of the vocabulary; then an automaton that knows no stacks)
    warm = Canvas(compiled, [mask] * 24, mask_token_id=mask)
    warm.allowed(12)
    compiled.canvas_automaton(anew=True)
    stop = compiled.vocabulary.stop_token_ids[0]

    def gaps() -> list[int]:
        ids = [mask if rng.random() < share else token for token in text]
        return [*ids, *([stop] if share < 1 else []), *[mask] * length][:length]

    first, second = gaps(), gaps()
    found: dict[str, float] = {}
    canvas = Canvas(compiled, first, mask_token_id=mask)
    found["check"] = cost(canvas.is_completable)
    found["back"] = cost(lambda: canvas.allowed(0))
    open_slots = [slot for slot in canvas.open_slots if slot < len(text)] or canvas.open_slots
    found["masks"] = cost(lambda: [canvas.allowed(slot) for slot in canvas.open_slots])
    asked = rng.sample(open_slots, min(COMMITS, len(open_slots)))
    costs = []
    for slot in asked:
        one = Canvas(compiled, first, mask_token_id=mask)
        cost(lambda one=one, slot=slot: one.allowed(slot))
        token = text[slot] if slot < len(text) else stop
        costs.append(cost(lambda one=one, slot=slot, token=token: one.commit([(slot, token)])))
    found["commit"] = statistics.median(costs)
    found["most"] = max(costs)
    other = Canvas(compiled, second, mask_token_id=mask)
    found["again"] = cost(lambda: [other.is_completable(), *(other.allowed(slot) for slot in other.open_slots)])
    found["nodes"] = compiled.canvas_automaton().num_nodes
    found |= lave(compiled, first, text, asked, mask, stop, seed)
    return found


def text_of(encode: Callable[[str], list[int]], length: int, rng: random.Random) -> list[int]:
    """A JSON text of at most ``length - 2`` tokens, nearly as many if it can be."""

    def value(depth: int) -> Any:
        kind = rng.randrange(5 if depth else 3)
        if kind == 0:
            return rng.randrange(1000)
        if kind == 1:
            return rng.choice([True, None, 1.5])
        if kind == 2:
            return " ".join(rng.choices(WORDS, k=rng.randint(1, 4)))
        if kind == 3:
            return [value(depth - 1) for _ in range(rng.randint(1, 3))]
        return {name: value(depth - 1) for name in rng.sample(WORDS, rng.randint(1, 3))}

    parts: list[Any] = []
    best: list[int] = encode("[]")
    while len(best) < length - 2:
        parts.append(value(3))
        tokens = encode(json.dumps(parts))
        if len(tokens) > length - 2:
            break
        best = tokens
    return best


def lave(
    compiled: Any, ids: list[int], text: list[int], slots: list[int], mask: int, stop: int, seed: int
) -> dict[str, float]:
    """The same commits by lookahead."""
    settings = LaveSettings()
    rng = np.random.default_rng(seed)
    tail = frozenset(compiled.vocabulary.stop_token_ids)
    costs, rejects = [], 0
    for slot in slots:
        token = text[slot] if slot < len(text) else stop
        proposed = [*ids[:slot], token]
        last = max(index for index, held in enumerate([*proposed, *ids[slot + 1 :]]) if held != mask)
        proposed = [*proposed, *ids[slot + 1 : last + 1]]
        gaps = []
        for index, held in enumerate(proposed):
            if held == mask:
                right = text[index] if index < len(text) else stop
                tokens = np.array([right, *rng.integers(100_000, size=settings.top - 1)])
                gaps.append(Gap(token_ids=tokens, logps=np.log(np.array([0.6, *[0.1] * (settings.top - 1)]))))
        prefix = Prefix(Matcher(compiled), tail)
        began = time.process_time()
        witness = find_witness(prefix, proposed, gaps, mask, settings.beams, rng)
        costs.append(1e3 * (time.process_time() - began))
        rejects += witness is None
    return {"LAVE": statistics.median(costs), "LAVE rejects %": 100 * rejects / len(slots)}


def cost(work: Callable[[], Any]) -> float:
    """Milliseconds of processor time; NaN where a limit is met."""
    began = time.process_time()
    try:
        work()
    except LimitExceededError as error:
        print(error)
        return float("nan")
    return 1e3 * (time.process_time() - began)


if __name__ == "__main__":
    main()
