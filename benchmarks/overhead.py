"""What constraint costs per token: our loop against a bare loop of the same model, and drafts against both.

    python benchmarks/overhead.py [--model smollm2] [--batch 1 8] [--tokens 96] [--rounds 5] [--json FILE]

The bare loop is greedy and asks nobody: forward pass, argmax. The constrained loops write as many tokens of a JSON
array of records, greedy too, steered and counted as in ``generate``; each with a compiler of its own that remembers
nothing, so that every mask is found for the first time (compiling is not in the figures). Rounds alternate; wall and
processor times per token are medians over the rounds, ratios those of the medians. Wanted: constrained ÷ bare at most
1.02 without drafts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

from common import environment, figure, show_table
from rich.console import Console

from grammar_engine import GrammarCompiler
from grammar_engine.forward import CausalForward
from grammar_engine.matcher import Matcher
from grammar_engine.models import Model, load_model
from grammar_engine.runtime import DecodingRun, Request
from grammar_engine.sampling import Greedy

RECORDS = {
    "type": "array",
    "minItems": 40,
    "items": {
        "type": "object",
        "properties": {
            "first_name": {"type": "string"},
            "last_name": {"type": "string"},
            "date_of_birth": {"type": "string", "format": "date"},
            "email_address": {"type": "string"},
            "is_subscribed": {"type": "boolean"},
            "account_balance": {"type": "number"},
        },
        "required": [
            "first_name", "last_name", "date_of_birth", "email_address", "is_subscribed", "account_balance",
        ],
        "additionalProperties": False,
    },
}  # fmt: skip
PROMPT = (
    "List {} customers as JSON records with first_name, last_name, date_of_birth, email_address, is_subscribed and "
    "account_balance."
)


def bare(model: Model, prompts: list[list[int]], tokens: int) -> dict[str, float]:
    """Greedy decoding without a grammar."""
    forward = CausalForward(model.network, prompts, pad_token_id=model.pad_token_id)
    logits = forward.prefill()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(tokens - 1):
        logits = forward.step(logits.argmax(-1).tolist())
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "tokens": tokens - 1}


def constrained(
    model: Model, options: dict[str, Any], prompts: list[list[int]], tokens: int, drafts: int
) -> dict[str, float]:
    """Our loop, from the second token on; tokens per row."""
    compiled = GrammarCompiler(model.vocabulary, cache_dir="").compile_json_schema(RECORDS, **options)
    requests = [
        Request(prompt_ids=prompt, matcher=Matcher(compiled), max_tokens=4 * tokens, seed=0) for prompt in prompts
    ]
    decoding = DecodingRun(
        model.network,
        model.vocabulary,
        requests,
        Greedy(),
        pad_token_id=model.pad_token_id,
        spelling=model.spelling,
        drafts=drafts,
    )
    counts = [0] * len(prompts)
    wall = cpu = 0.0
    for event in decoding:
        counts[event.row] += 1
        if not wall and min(counts) == 1:
            wall, cpu, before = time.perf_counter(), time.process_time(), sum(counts)
        if min(counts) >= tokens:
            break
    spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return {**spent, "tokens": (sum(counts) - before) / len(prompts)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--drafts", type=int, nargs="+", default=[0, 4, 8])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    console = Console(width=150)
    results: dict[str, Any] = {"environment": environment(["grammar-engine", "torch", "transformers"])}
    grammars: dict[str, dict[str, Any]] = {
        "any whitespace": {},
        "fixed separators": {"any_whitespace": False, "separators": (", ", ": ")},
    }
    for batch in arguments.batch:
        prompts = [model.encode(PROMPT.format(40 + i)) for i in range(batch)]
        ways: dict[str, Any] = {"bare": partial(bare, model, prompts, arguments.tokens)}
        for name, options in grammars.items():
            for drafts in arguments.drafts:
                ways[f"{name}, drafts {drafts}"] = partial(
                    constrained, model, options, prompts, arguments.tokens, drafts
                )
        spent: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for round_number in range(arguments.rounds + 1):
            for name, run in ways.items():
                found = run()
                if round_number:  # the first one warms up
                    spent[name].append(found)
        medians = {
            name: {
                clock: 1e3 * statistics.median(found[clock] / found["tokens"] for found in rounds)
                for clock in ("wall", "cpu")
            }
            for name, rounds in spent.items()
        }
        rows = {
            name: [
                figure(median["wall"]),
                figure(median["wall"] / medians["bare"]["wall"]),
                figure(median["cpu"]),
                figure(median["cpu"] / medians["bare"]["cpu"]),
                figure(1e3 * batch / median["wall"]),
            ]
            for name, median in medians.items()
        }
        results[f"batch {batch}"] = medians
        columns = ["wall ms", "÷ bare", "cpu ms", "÷ bare", "tokens/s"]
        show_table(console, f"batch {batch}, {arguments.tokens} tokens, milliseconds per token of a row", columns, rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
