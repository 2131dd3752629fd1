"""Weighted draws: what one costs beside a sort of the vocabulary, and whether weights are right down to Z = 1e-12.

    python benchmarks/weighted_draws.py [--size 152000] [--rounds 40] [--draws 400] [--seed 0] [--json FILE]
    python benchmarks/weighted_draws.py --tables batch --device cuda     # (tables: cost, batch, estimators, accuracy)

Cost: log-masses as a language model's, exp(3 · normal); the check is a look into a table; wall times are medians. The
sort is what a draw without replacement is without ``sampling.race``: log-masses with Gumbel noise, ``argsort`` of all.
Accuracy: 2,000 tokens, 20 of them accepted, which have the mass Z. A draw is dead if it has weight 0 although accepted
tokens have mass. Bias: of the mean weight, in standard errors (the recursive estimator varies so little for small Z
that rounding counts: relative to Z, at least 1e-13); large weights are rare, so that it falls below 0 more often than
above. Checks beside the closed form 2 + Σ over refused i of p(i) / (p(i) + Z).
Batch: ``awrs_batch`` and ``masked_batch`` over float32 logits on ``--device``, half of the tokens accepted or allowed;
beside what the numpy core takes for as many rows, copy from the device included. One call a row and verdict is a look
into a table, so the host's share is the least that it can be.
Estimators: variance of w / Z, and checks, of both; variance × checks is what an estimate of given accuracy costs, and
the ratio is the recursive one's cost by the geometric one's.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import environment, figure, show_table
from rich.console import Console

from grammar_engine.sampling import awrs, awrs_batch, masked, masked_batch
from grammar_engine.sampling.race import without_replacement

MASSES = [1.0, 0.5, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-12]
SHARES = [0.9, 0.5, 0.1, 0.01]
SMALL, ACCEPTED = 2000, 20
TABLES = ["cost", "batch", "estimators", "accuracy"]


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


def batch_cost(size: int, rows: int, device: str, rounds: int, seed: int) -> dict[str, float]:
    """Median µs per row of the batch functions and of the numpy core."""
    import torch

    rng = np.random.default_rng(seed)
    logits = torch.from_numpy((3 * rng.standard_normal((rows, size))).astype(np.float32)).to(device)
    logps = logits.log_softmax(-1)
    accepted = rng.random(size) < 0.5
    packed = np.packbits(accepted[: size // 32 * 32], bitorder="little").view(np.int32)
    words = np.zeros((rows, -(-size // 32)), np.int32)
    words[:, : len(packed)] = packed
    bitmask = torch.from_numpy(words).to(device)
    rngs = rng.spawn(rows)
    seeds = list(range(rows))

    def core(draw: Callable[[Any, int, Any], Any]) -> None:
        on_host = logps.double().cpu().numpy()
        for row, one in enumerate(rngs):
            draw(on_host[row], row, one)

    ways: dict[str, Callable[[int], Any]] = {
        "awrs_batch": lambda step: awrs_batch(logps, lambda _, t: accepted[list(t)], seeds=seeds, steps=step),
        "awrs": lambda _: core(lambda logp, _, one: awrs(logp, accepted.__getitem__, rng=one)),
        "masked_batch": lambda step: masked_batch(logps, bitmask, seeds=seeds, steps=step),
        "masked": lambda _: core(lambda logp, row, one: masked(logp, words[row], rng=one)),
    }
    found = {}
    for name, way in ways.items():
        times = []
        for step in range(rounds + 1):  # the first one warms up
            began = time.perf_counter()
            way(step)
            times.append(1e6 * (time.perf_counter() - began) / rows)
        found[name] = statistics.median(times[1:])
    return found


def efficiency(top: float, top_accepted: bool, share: float, draws: int, seed: int) -> dict[str, float]:
    """Variance of w / Z and checks, of both estimators, for a token of the mass ``top`` beside 2,000 others.

    Recursive: from orders, by E[w² | p, R] = Z (R + p) − R p, as the rare large weights would be missed by counting;
    checks by the closed form. Geometric: −ln Z / (1 − Z) − 1; checks counted.
    """
    rng = np.random.default_rng(seed)
    probabilities = np.concatenate([[top], (1 - top) * masses(SMALL, 2.0, rng)])
    accepted = rng.random(SMALL + 1) < share
    accepted[0] = top_accepted
    mass = float(probabilities[accepted].sum())
    logps = np.log(probabilities)
    squares, checks = [], 0
    for _ in range(draws):
        token, log_left = next(pair for pair in without_replacement(logps, rng) if accepted[pair[0]])
        left = math.exp(log_left)
        squares.append(mass * (left + probabilities[token]) - left * probabilities[token])
        checks += awrs(logps, accepted.__getitem__, rng=rng, method="geometric").num_checks
    refused = probabilities[~accepted]
    found = {
        "mass": mass,
        "recursive/variance": statistics.fmean(squares) / mass**2 - 1,
        "recursive/checks": 2 + float((refused / (refused + mass)).sum()),
        "geometric/variance": -math.log(mass) / (1 - mass) - 1,
        "geometric/checks": checks / draws,
    }
    cost = [found[f"{method}/variance"] * found[f"{method}/checks"] for method in ("recursive", "geometric")]
    return found | {"ratio": cost[0] / cost[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=152_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    console = Console(width=130)
    results: dict[str, Any] = {"environment": environment(["grammar-engine", "numpy"])}
    if "cost" in arguments.tables:
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
    if "batch" in arguments.tables:
        rows = {}
        for count in arguments.rows:
            found = batch_cost(arguments.size, count, arguments.device, max(3, arguments.rounds // 4), arguments.seed)
            results[f"batch/{arguments.device}/{count}"] = found
            rows[f"{count} rows"] = [figure(us) for us in found.values()]
        title = f"µs per row, {arguments.size:,} tokens on {arguments.device}"
        show_table(console, title, ["awrs_batch", "awrs", "masked_batch", "masked"], rows)
    if "estimators" in arguments.tables:
        rows = {}
        for top in (0.02, 0.3, 0.6, 0.95):
            for top_accepted in (True, False):
                for share in (0.9, 0.02):
                    found = efficiency(top, top_accepted, share, arguments.draws, arguments.seed)
                    results[f"estimators/{top}/{top_accepted}/{share}"] = found
                    name = f"{top:g} {'accepted' if top_accepted else 'refused'}, {share:g} of the others"
                    rows[name] = [figure(value) for value in found.values()]
        columns = ["Z", "recursive: var", "checks", "geometric: var", "checks", "ratio of costs"]
        show_table(
            console, "estimators: variance of w / Z; the heaviest token, share of the others accepted", columns, rows
        )
    if "accuracy" in arguments.tables:
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
