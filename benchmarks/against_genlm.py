"""Weighted sampling beside genlm-control: distance to the exact posterior, wall time, checks; same model and condition.

    pip install genlm-control          # in an environment of its own, with this package: Python 3.11, no vLLM needed
    python benchmarks/against_genlm.py [--particles 8] [--seeds 20] [--wait 0.02] [--json FILE]

The language is small enough to be enumerated: two digits (``[0-9]{2}``), as a number divisible by 7, by SmolLM2 in
float32, behind two prompts: one makes it likely, one hardly so. The exact posterior is a walk over all token sequences
of the language with their probabilities. Three ways:

    mask + condition   ours as it is meant: the grammar by mask, divisibility by AWRS
    condition alone    ours with a grammar of all texts: grammar and divisibility are both the condition's
    genlm-control      AWRS(PromptedLLM, condition), SMC; the condition is the same function, as above

All resample at half of the particles, stratified, and read the prompt in each run: genlm-control's caches are emptied
first, else it would look up what another seed computed. ``--wait``: how long its loop waits for more queries before it
calls the model (its default). Total variation (TV): of the posterior that one run estimates, in the mean; and of all
runs together, by weight, beside what is to be expected of estimates without bias that vary so much from run to run (a
single number of that kind varies by half of itself). Evidence: mean and variance of the estimates, by the exact one;
the variance says how much a run is worth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import environment, figure, show_table
from rich.console import Console

from grammar_engine.errors import AllParticlesDeadError
from grammar_engine.forward import CausalForward
from grammar_engine.matcher import Matcher
from grammar_engine.models import Model, load_model
from grammar_engine.sampling import OnText, smc

PROMPTS = {
    "likely": "Complete: 14, 21, 28, 35, 42, 49, ... Answer with the next number alone, two digits.",
    "unlikely": "A two-digit number that is divisible by 7, digits only:",
}
LANGUAGE = r"[0-9]{2}"
MAX_TOKENS = 6
Shares = dict[str, float]
Way = Callable[[int, int], tuple[Shares, int]]


def divisible(text: str) -> bool:
    """Two digits: divisible by 7; fewer may still become so."""
    return len(text) < 2 or int(text) % 7 == 0


def everything(text: str) -> bool:
    """Grammar and condition in one, on texts so far."""
    return re.fullmatch(r"[0-9]{0,2}", text) is not None and divisible(text)


def finished(text: str) -> bool:
    """The same at the end."""
    return re.fullmatch(LANGUAGE, text) is not None and divisible(text)


def exact(model: Model, compiled: Any, prompt_ids: list[int]) -> Shares:
    """Text → mass, over all token sequences of the language."""
    forward = CausalForward(model.network, [prompt_ids], pad_token_id=model.pad_token_id)
    rows = [(Matcher(compiled), b"", 0.0)]
    logits = forward.prefill()
    masses: Shares = {}
    bitmask = np.zeros((1, (model.vocabulary.size + 31) // 32), np.int32)
    while rows:
        logps = logits.double().log_softmax(-1).numpy()
        behind: list[tuple[int, int, tuple[Matcher, bytes, float]]] = []
        for row, (matcher, data, logp) in enumerate(rows):
            matcher.fill_next_token_bitmask(bitmask, 0)
            bits = np.unpackbits(bitmask[0].view(np.uint8), bitorder="little", count=logps.shape[1])
            for token in np.flatnonzero(bits).tolist():
                total = logp + float(logps[row, token])
                if token in model.vocabulary.stop_token_ids:
                    masses[data.decode()] = masses.get(data.decode(), 0.0) + math.exp(total)
                    continue
                longer = data + (model.vocabulary.tokens[token] or b"")
                if divisible(longer.decode()):
                    moved = matcher.fork()
                    moved.accept_token(token)
                    behind.append((row, token, (moved, longer, total)))
        if not behind:
            return masses
        forward.keep([row for row, _, _ in behind])
        logits = forward.step([token for _, token, _ in behind])
        rows = [state for _, _, state in behind]
    return masses


def ours(model: Model, prompt: str, compiled: Any, condition: OnText, particles: int, seed: int) -> tuple[Shares, int]:
    """Weights of texts (means over particles) and the number of checks."""
    try:
        population = smc(
            model,
            prompt,
            compiled,
            particles=particles,
            rng=np.random.default_rng(seed),
            condition=condition,
            max_tokens=MAX_TOKENS,
        )
    except AllParticlesDeadError as error:
        dead: Any = error.population
        return {}, dead.num_checks
    weights: Counter[str] = Counter()
    for particle in population.particles:
        if particle.log_weight > -math.inf:
            weights[particle.text] += math.exp(particle.log_weight) / particles
    return dict(weights), population.num_checks


class Genlm:
    """genlm-control over the same network."""

    def __init__(self, model: Model, prompt: str, wait: float) -> None:
        from genlm.backend.llm import AsyncTransformer
        from genlm.control import EOS, Potential, PromptedLLM

        counter = self.counter = [0]

        class Condition(Potential):
            async def prefix(self, context: Any) -> float:
                counter[0] += 1
                return 0.0 if everything(_text(context)) else -math.inf

            async def complete(self, context: Any) -> float:
                counter[0] += 1
                return 0.0 if finished(_text(context)) else -math.inf

        self.eos = EOS
        self.backend = AsyncTransformer(model.network, model.tokenizer, timeout=wait)
        stops = sorted(model.vocabulary.stop_token_ids)
        names = [self.backend.byte_vocab[token].byte_string for token in stops]
        self.prompt_ids = model.encode(prompt)
        self.llm = PromptedLLM(self.backend, prompt_ids=self.prompt_ids, eos_byte_strings=names)
        self.condition = Condition(self.llm.vocab)

    def run(self, particles: int, seed: int) -> tuple[Shares, int]:
        """As ``ours``."""
        from genlm.control import AWRS

        self.counter[0] = 0
        self.backend.clear_cache()
        self.backend.cache_kv(self.prompt_ids)
        np.random.seed(seed)  # noqa: NPY002  (its resampling draws from the global generator)
        torch.manual_seed(seed)

        async def sample() -> Any:
            sampler = AWRS(self.llm, self.condition, seed=seed)
            return await sampler.smc(
                n_particles=particles, ess_threshold=0.5, max_tokens=MAX_TOKENS, resampling_method="stratified"
            )

        weights: Shares = {}
        for context, log_weight in asyncio.run(sample()):
            if log_weight > -math.inf and context and context[-1] is self.eos:
                text = _text(context[:-1])
                weights[text] = weights.get(text, 0.0) + math.exp(log_weight) / particles
        return weights, self.counter[0]


def _text(context: Any) -> str:
    """The text of genlm's tokens; what is no text matches nothing."""
    return b"".join(token.byte_string for token in context).decode("utf-8", "replace")


def distance(weights: Shares, truth: Shares) -> float:
    """Total variation between both, normalized; 1 if there is no weight."""
    total, whole = sum(weights.values()), sum(truth.values())
    if not total:
        return 1.0
    texts = weights.keys() | truth.keys()
    return sum(abs(weights.get(text, 0.0) / total - truth.get(text, 0.0) / whole) for text in texts) / 2


def measure(run: Callable[[int], tuple[Shares, int]], truth: Shares, seeds: int) -> dict[str, Any]:
    """Figures over seeds; one more run warms up."""
    run(seeds)
    runs: list[Shares] = []
    distances, times, checks, evidence, dead = [], [], [], [], 0
    for seed in range(seeds):
        began = time.perf_counter()
        weights, num_checks = run(seed)
        times.append(time.perf_counter() - began)
        runs.append(weights)
        distances.append(distance(weights, truth))
        checks.append(num_checks)
        evidence.append(sum(weights.values()) / sum(truth.values()))
        dead += not weights
    pooled: Counter[str] = Counter()
    for weights in runs:
        pooled.update(weights)
    return {
        "distance": statistics.fmean(distances),
        "distance_error": statistics.stdev(distances) / math.sqrt(seeds),
        "pooled_distance": distance(dict(pooled), truth),
        "evidence": statistics.fmean(evidence),
        "evidence_error": statistics.stdev(evidence) / math.sqrt(seeds),
        "ms": 1e3 * statistics.median(times),
        "checks": statistics.fmean(checks),
        "dead": dead,
        "runs": runs,
    } | spread(runs, truth)


def spread(runs: list[Shares], truth: Shares) -> dict[str, float]:
    """How far estimates vary from run to run, in units of the exact evidence.

    variance: of the evidence, and its standard error. pooled_expected: the distance of all runs together that their
    variance makes expect of estimates without bias: Σ over texts of E |N(0, variance / runs)|, halved.
    """
    texts = sorted(truth)
    weights = np.array([[run.get(text, 0.0) for text in texts] for run in runs]) / sum(truth.values())
    evidence = weights.sum(1)
    variance = float(evidence.var(ddof=1))
    fourth = float(((evidence - evidence.mean()) ** 4).mean())
    deviations = weights.std(0, ddof=1) / math.sqrt(len(runs))
    return {
        "variance": variance,
        "variance_error": math.sqrt(max(0.0, fourth - variance**2) / len(runs)),
        "pooled_expected": float(deviations.sum()) * math.sqrt(2 / math.pi) / 2,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, nargs="+", default=[8])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--wait", type=float, default=0.02)
    parser.add_argument("--prompts", nargs="+", choices=PROMPTS, default=list(PROMPTS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = load_model("smollm2")
    model.network.float()
    narrow = model.compiler.compile_regex(LANGUAGE)
    wide = model.compiler.compile_regex(r"(.|\n)*")
    results: dict[str, Any] = {"environment": environment(["grammar-engine", "genlm-control", "torch"])}
    version = results["environment"]["packages"]["genlm-control"]
    console = Console(width=160)
    console.print("genlm-control:", version)
    columns = [
        "TV of a run",
        "all runs, expected",
        "variance of evidence",
        "evidence ÷ exact",
        "ms",
        "checks",
        "runs without weight",
    ]
    for kind in arguments.prompts:
        prompt = PROMPTS[kind]
        truth = exact(model, narrow, model.encode(prompt))
        results[f"{kind}/truth"] = truth
        ways: dict[str, Way] = {
            "mask + condition": partial(ours, model, prompt, narrow, OnText(divisible)),
            "condition alone": partial(ours, model, prompt, wide, OnText(everything, finished)),
        }
        if version != "absent":
            ways["genlm-control"] = Genlm(model, prompt, arguments.wait).run
        for particles in arguments.particles:
            rows = {}
            for name, way in ways.items():
                found = measure(partial(way, particles), truth, arguments.seeds)
                results[f"{kind}/{particles}/{name}"] = found
                rows[name] = [
                    f"{found['distance']:.3f} ± {found['distance_error']:.3f}",
                    f"{found['pooled_distance']:.3f}, {found['pooled_expected']:.3f}",
                    f"{found['variance']:.3f} ± {found['variance_error']:.3f}",
                    f"{found['evidence']:.3f} ± {found['evidence_error']:.3f}", figure(found["ms"]),
                    f"{found['checks']:.1f}", f"{found['dead']} of {arguments.seeds}",
                ]  # fmt: skip
            title = f"{kind}: {len(truth)} texts of mass {sum(truth.values()):.3g}; {particles} particles"
            show_table(console, f"{title}, {arguments.seeds} seeds", columns, rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
