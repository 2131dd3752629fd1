"""Weighted draws: what one costs beside a sort of the vocabulary, and whether weights are right down to Z = 1e-12.

    python benchmarks/weighted_draws.py [--size 152000] [--rounds 40] [--draws 400] [--seed 0] [--json FILE]

Cost: log-masses as a language model's, exp(3 · normal); the check is a look into a table; wall times are medians. The
sort is what a draw without replacement is without ``sampling.race``: log-masses with Gumbel noise, ``argsort`` of all.
Accuracy: 2,000 tokens, 20 of them accepted, which have the mass Z. A draw is dead if it has weight 0 although accepted
tokens have mass. Bias: of the mean weight, in standard errors (the recursive estimator varies so little for small Z
that rounding counts: relative to Z, at least 1e-13); large weights are rare, so that it falls below 0 more often than
above. Checks beside the closed form 2 + Σ over refused i of p(i) / (p(i) + Z).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import environment, figure, show_table
from rich.console import Console

from grammar_engine.sampling import awrs

MASSES = [1.0, 0.5, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-12]
SHARES = [0.9, 0.5, 0.1, 0.01]
SMALL, ACCEPTED = 2000, 20


def masses(size: int, spread: float, rng: np.random.Generator) -> Any:
    """Random masses that sum to 1."""
    raw = np.exp(spread * rng.standard_normal(size))
    return raw / raw.sum()


def cost(size: int, share: float, method: str, rounds: int, seed: int) -> dict[str, float]:
    """Median µs of a draw where tokens of about the mass ``share`` are accepted."""
    rng = np.random.default_rng(seed)
    logps = np.log(masses(size, 3.0, rng))
    accepted = rng.random(size) < share
    times, checks = [], 0
    for _ in range(rounds):
        began = time.perf_counter()
        draw = awrs(logps, accepted.__getitem__, rng=rng, method=method)
        times.append(1e6 * (time.perf_counter() - began))
        checks += draw.num_checks
    return {"us": statistics.median(times), "checks": checks / rounds}


def sort_cost(size: int, rounds: int, seed: int) -> float:
    """Median µs of the whole order by a sort."""
    rng = np.random.default_rng(seed)
    logps = np.log(masses(size, 3.0, rng))
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        np.argsort(-(logps + rng.gumbel(size=size)))
        times.append(1e6 * (time.perf_counter() - began))
    return statistics.median(times)


def accuracy(mass: float, method: str, draws: int, seed: int) -> dict[str, float]:
    """How draws go where the accepted tokens have ``mass``."""
    rng = np.random.default_rng(seed)
    valid = masses(ACCEPTED, 1.0, rng) * mass
    refused = masses(SMALL - ACCEPTED, 2.0, rng) * (1 - mass)
    with np.errstate(divide="ignore"):
        logps = np.log(np.concatenate([valid, refused]))
    expected = 2 + float((refused[refused > 0] / (refused[refused > 0] + mass)).sum())
    if expected < 200:
        draws *= 10
    weights, checks, dead = [], [], 0
    for _ in range(draws):
        draw = awrs(logps, lambda token: token < ACCEPTED, rng=rng, method=method)
        weights.append(math.exp(draw.log_weight))
        checks.append(draw.num_checks)
        dead += draw.token is None or not draw.log_weight > -math.inf
    array = np.array(weights) / mass
    error = max(float(array.std(ddof=1)) / math.sqrt(draws), 1e-13)
    return {
        "dead": dead / draws,
        "nan": float(np.isnan(array).mean()),
        "bias": float(array.mean() - 1) / error,
        "spread": float(array.std(ddof=1)),
        "checks": statistics.fmean(checks),
        "checks_error": statistics.stdev(checks) / math.sqrt(draws),
        "expected_checks": expected if method == "recursive" else math.nan,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=152_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    console = Console(width=130)
    results: dict[str, Any] = {"environment": environment(["grammar-engine", "numpy"])}
    sort = results["sort_us"] = sort_cost(arguments.size, arguments.rounds, arguments.seed)
    rows = {"argsort of perturbed logits": [figure(sort), "", ""]}
    for method in ("recursive", "geometric"):
        for share in SHARES:
            found = cost(arguments.size, share, method, arguments.rounds, arguments.seed)
            results[f"cost/{method}/{share}"] = found
            rows[f"{method}, {share} accepted"] = [
                figure(found["us"]), figure(found["checks"]), figure(sort / found["us"]),
            ]  # fmt: skip
    show_table(console, f"a draw from {arguments.size:,} tokens", ["µs", "checks", "sort ÷ draw"], rows)
    for method in ("recursive", "geometric"):
        rows = {}
        for mass in MASSES:
            found = accuracy(mass, method, arguments.draws, arguments.seed)
            results[f"accuracy/{method}/{mass}"] = found
            rows[f"{mass:g}"] = [
                f"{found['dead']:.1%}", f"{found['nan']:.1%}", f"{found['bias']:+.2f}", figure(found["spread"]),
                f"{found['checks']:.2f} ± {found['checks_error']:.2f}",
                f"{found['expected_checks']:.2f}" if method == "recursive" else "–",
            ]  # fmt: skip
        columns = ["dead", "NaN", "bias (standard errors)", "spread of w / Z", "checks", "closed form"]
        show_table(
            console,
            f"{method}: {arguments.draws} draws for each Z, ten times as many where they are cheap",
            columns,
            rows,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
