"""Processor time that our loop takes beside the model's passes, pass by pass: what a busy machine hides in wall time.

    python benchmarks/between_passes.py [--model smollm2] [--batch 8] [--tokens 40] [--rounds 3]

Greedy, as in overhead.py. "beside" is the loop's thread less the passes, "masks" the worker's thread; medians over the
passes of all rounds. The ratio is (pass + beside + masks) ÷ (pass + beside) of the bare loop, with the bare loop's pass
in both, as a pass is the same work in both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from common import figure, show_table
from overhead import PROMPT, RECORDS
from rich.console import Console

from grammar_engine import GrammarCompiler
from grammar_engine.forward import CausalForward
from grammar_engine.host_draws import HostMasks
from grammar_engine.matcher import Matcher
from grammar_engine.models import Model, load_model
from grammar_engine.runtime import DecodingRun, Request
from grammar_engine.sampling import Greedy

LAYOUTS: dict[str, dict[str, Any]] = {
    "any whitespace": {},
    "fixed separators": {"any_whitespace": False, "separators": (", ", ": ")},
}


def timed(owner: type, name: str, spent: dict[str, list[float]]) -> None:
    """Note the thread's time of each call of a method."""
    method: Callable[..., Any] = getattr(owner, name)

    def measured(self: Any, *arguments: Any, **options: Any) -> Any:
        began = time.thread_time()
        result = method(self, *arguments, **options)
        spent[name].append(time.thread_time() - began)
        return result

    setattr(owner, name, measured)


def bare(model: Model, prompts: list[list[int]], tokens: int, spent: dict[str, list[float]]) -> list[float]:
    """The loop without a grammar: its time beside the passes."""
    forward = CausalForward(model.network, prompts, pad_token_id=model.pad_token_id)
    logits = forward.prefill()
    beside: list[float] = []
    for _ in range(tokens):
        began = time.thread_time()
        logits = forward.step(logits.argmax(-1).tolist())
        beside.append(time.thread_time() - began - spent["_forward"][-1])
    return beside


def constrained(
    model: Model, prompts: list[list[int]], tokens: int, spent: dict[str, list[float]], options: dict[str, Any]
) -> list[float]:
    """Ours, every mask found for the first time: its time beside the passes."""
    compiled = GrammarCompiler(model.vocabulary, cache_dir="").compile_json_schema(RECORDS, **options)
    requests = [Request(prompt_ids=ids, matcher=Matcher(compiled), max_tokens=4 * tokens, seed=0) for ids in prompts]
    decoding = DecodingRun(
        model.network,
        model.vocabulary,
        requests,
        Greedy(),
        pad_token_id=model.pad_token_id,
        spelling=model.spelling,
        draws_on_device=False,
    )
    beside: list[float] = []
    began = 0.0
    for number, _ in enumerate(decoding):
        if number % len(prompts) == len(prompts) - 1:
            if began:
                beside.append(time.thread_time() - began - spent["_forward"][-1])
            began = time.thread_time()
        if len(beside) == tokens:
            break
    return beside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    model = load_model(arguments.model, device="cpu")
    prompts = [model.encode(PROMPT.format(40 + i)) for i in range(arguments.batch)]
    spent: dict[str, list[float]] = defaultdict(list)
    timed(CausalForward, "_forward", spent)
    timed(HostMasks, "fill", spent)
    beside: dict[str, list[float]] = defaultdict(list)
    for _ in range(arguments.rounds):
        beside["bare"] += bare(model, prompts, arguments.tokens, spent)
        for name, options in LAYOUTS.items():
            beside[name] += constrained(model, prompts, arguments.tokens, spent, options)
    one = statistics.median(spent["_forward"])
    masks = statistics.median(spent["fill"])
    without = one + statistics.median(beside["bare"])
    rows = {}
    for name, times in beside.items():
        median, filled = statistics.median(times), 0.0 if name == "bare" else masks
        ratio = (one + median + filled) / without
        rows[name] = [figure(1e3 * one), figure(1e3 * median), figure(1e3 * filled), f"{ratio:.3f}"]
    title = f"batch {arguments.batch}, milliseconds of a processor per pass"
    show_table(Console(width=120), title, ["pass", "beside", "masks", "÷ bare"], rows)


if __name__ == "__main__":
    main()
