"""What a constraint costs from end to end: tokens per second with and without it, start-up times.

    .venv/bin/python benchmarks/end_to_end.py [--runs 3] [--json results.json]

Tokens/s are measured with the embedded model, greedy, batch 1: unconstrained as forward passes and argmax alone, then
with each constraint and a compiler that remembers nothing, so that every mask is found for the first time. Start-up
times are of fresh processes: import, first mask with numba's cache, first mask without it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import grammar_engine as ge

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 30},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "role": {"enum": ["knight", "wizard", "thief", "healer"]},
        "motto": {"type": "string", "maxLength": 120},
        "items": {
            "type": "array",
            "minItems": 3,
            "maxItems": 6,
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string", "maxLength": 24}, "weight": {"type": "number"}},
                "required": ["name", "weight"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["name", "age", "role", "motto", "items"],
    "additionalProperties": False,
}
PROMPT = "Invent a hero for a fantasy novel with name, age, role, motto and items, as JSON."
CASES: dict[str, dict[str, Any]] = {
    "schema": {"schema": SCHEMA},
    "regex": {"regex": r"[A-Z][a-z ,]{150,250}\."},
    "grammar json": {"grammar": "json"},
}
FIRST_MASK = """
import time; began = time.perf_counter()
import numpy as np, grammar_engine as ge
imported = time.perf_counter()
vocabulary = ge.Vocabulary([bytes([i]) for i in range(256)] + [None], stop_token_ids=[256])
matcher = ge.Matcher(ge.GrammarCompiler(vocabulary).compile_json_schema({"type": "object"}))
matcher.fill_next_token_bitmask(np.zeros((1, 9), np.int32))
print(imported - began, time.perf_counter() - began)
"""


def plain_forward(model: ge.Model, num_tokens: int) -> float:
    """Tokens/s of greedy decoding without any grammar, same forward passes."""
    from grammar_engine.forward import CausalForward

    forward = CausalForward(model.network, [model.encode(PROMPT)], pad_token_id=model.pad_token_id)
    logits = forward.prefill()
    began = time.perf_counter()
    for _ in range(num_tokens):
        logits = forward.step([int(logits.argmax())])
    return num_tokens / (time.perf_counter() - began)


def constrained(model: ge.Model, constraint: dict[str, Any]) -> dict[str, float]:
    """One generation with a fresh compiler, so that nothing is remembered from the last run."""
    fresh = ge.Model(model.network, model.tokenizer, chat=model.chat)
    result = ge.generate(PROMPT, model=fresh, max_tokens=160, details=True, **constraint)
    stats = result.stats
    return {
        "tokens": stats.tokens,
        "tokens_per_second": stats.tokens_per_second,
        "mask_share_percent": 100 * stats.mask_share,
        "mask_wait_percent": 100 * stats.mask_wait_seconds / stats.seconds,
        "mask_ms_per_token": 1e3 * stats.mask_seconds / stats.tokens,
    }


def start_up(environment: dict[str, str]) -> tuple[float, float]:
    """Seconds to import, and to the first mask, of a fresh process."""
    output = subprocess.run(
        [sys.executable, "-c", FIRST_MASK],
        env={**os.environ, **environment},
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    imported, masked = map(float, output.split())
    return imported, masked


def median_of(runs: int, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The run with the median speed."""
    results = sorted((measure() for _ in range(runs)), key=lambda r: r["tokens_per_second"])
    return results[len(results) // 2]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"threads": os.environ["OMP_NUM_THREADS"], "load": os.getloadavg()[0]}
    start_up({})
    imports, masks = zip(*(start_up({}) for _ in range(arguments.runs)), strict=True)
    figures["import_seconds"] = statistics.median(imports)
    figures["first_mask_cached_seconds"] = statistics.median(masks)
    with tempfile.TemporaryDirectory() as empty:
        figures["first_mask_cold_seconds"] = start_up({"NUMBA_CACHE_DIR": empty})[1]
    began = time.perf_counter()
    model = ge.load_model("smollm2")
    figures["load_model_seconds"] = time.perf_counter() - began
    constrained(model, CASES["schema"])
    unconstrained = statistics.median(plain_forward(model, 80) for _ in range(arguments.runs))
    figures["unconstrained_tokens_per_second"] = unconstrained
    for name, constraint in CASES.items():
        figures[name] = median_of(arguments.runs, lambda constraint=constraint: constrained(model, constraint))
    for key, value in figures.items():
        if isinstance(value, dict):
            print(f"{key}: " + ", ".join(f"{name} {number:.2f}" for name, number in value.items()))
        else:
            print(f"{key}: {value:.2f}" if isinstance(value, float) else f"{key}: {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), "utf-8")


if __name__ == "__main__":
    main()
