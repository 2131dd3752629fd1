"""Kernels over logits: masks applied, tokens drawn, automata advanced. On a GPU, or on the CPU.

    python benchmarks/device_kernels.py --device cuda [--vocabulary 128256] [--batches 1 8 32 128 256] [--json out.json]
    python benchmarks/device_kernels.py --device cpu

CUDA: each figure is the median of several replays of a CUDA graph that holds many calls over so many buffers that the
L2 cache does not hold them, by events; so launches from Python, which a serving engine hides in the same way, are not
in it. They are shown once, for batch 1. Traffic is the bytes that must move: the words of the mask, and of the logits
behind words that forbid something, read once if the word allows something too, written once. "of copy" is that rate as
a share of the rate at which the device copies as many bytes. XGrammar's kernel is measured in the same run.

CPU: microseconds per call, median, beside the same in torch's operations and XGrammar's.

Masks are random, of three kinds that grammars make: *few*, some tokens allowed (between two members of an object);
*most*, one in twenty forbidden at random (the inside of a string); *half*.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import environment, figure, show_table
from grammar_engine.kernels.device import masking, masking_reference
from rich.console import Console

import grammar_engine as ge
from grammar_engine.device import DeviceAutomaton
from grammar_engine.sampling import FusedSampler, Greedy, Sample

CACHE_BYTES = 256 << 20  # more than any L2 cache today
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
KINDS = {"few": 0.0005, "half": 0.5, "most": 0.95}
SAMPLERS = {
    "greedy": Greedy(),
    "plain": Sample(temperature=0.8),
    "top_k 50": Sample(temperature=0.8, top_k=50),
    "top_p 0.9": Sample(temperature=0.8, top_p=0.9),
}


def random_mask(batch: int, vocabulary: int, share: float, seed: int) -> Any:
    """int32 ``(batch, ceil(V / 32))`` in which about this share of tokens is allowed."""
    allowed = np.random.default_rng(seed).random((batch, -(-vocabulary // 32) * 32), dtype=np.float32) < share
    return torch.from_numpy(np.packbits(allowed, axis=1, bitorder="little").view(np.int32))


def traffic(mask: Any, vocabulary: int, itemsize: int) -> int:
    """The bytes that must move to apply a mask."""
    words = mask[:, : vocabulary // 32]
    written = int((words != -1).sum())
    read = int(((words != -1) & (words != 0)).sum())
    return 4 * mask.numel() + 32 * itemsize * (written + read)


def on_cpu(call: Callable[[], Any], seconds: float = 0.3) -> float:
    """Microseconds, median."""
    call()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return 1e6 * statistics.median(times)


def on_cuda(calls: list[Callable[[], Any]], rounds: int = 20) -> float:
    """Microseconds per call, from one CUDA graph of all calls."""
    for call in calls:
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    times = []
    for _ in range(rounds):
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        graph.replay()
        last.record()
        torch.cuda.synchronize()
        times.append(first.elapsed_time(last) * 1000 / len(calls))
    return statistics.median(times)


def xgrammar_apply() -> Callable[..., None] | None:
    """XGrammar's function, if it is installed."""
    if importlib.util.find_spec("xgrammar") is None:
        return None
    import xgrammar

    apply: Callable[..., None] = xgrammar.apply_token_bitmask_inplace
    return apply


def measure_cpu(vocabulary: int, batches: list[int]) -> dict[str, dict[str, float]]:
    """The apply kernel beside others, and draws."""
    theirs = xgrammar_apply()
    found: dict[str, dict[str, float]] = {}
    for batch in batches:
        for name, dtype in DTYPES.items():
            logits = torch.randn(batch, vocabulary, generator=torch.Generator().manual_seed(0)).to(dtype)
            for kind, share in KINDS.items():
                mask = random_mask(batch, vocabulary, share, 1)
                work = logits.clone()
                row = {"ours": on_cpu(lambda w=work, m=mask: ge.apply_token_bitmask_inplace(w, m))}
                row["torch"] = on_cpu(lambda w=work, m=mask: masking_reference.apply_bitmask(w, m, None, None))
                if theirs is not None:
                    row["xgrammar"] = on_cpu(lambda w=work, m=mask: theirs(w, m, vocab_size=vocabulary))
                found[f"{batch} × {name}, {kind}"] = row
    return found


def measure_cuda(vocabulary: int, batches: list[int]) -> dict[str, dict[str, float]]:
    """Masks: time, bytes per second, and what share of a copy's that is."""
    theirs = xgrammar_apply()
    found: dict[str, dict[str, float]] = {}
    for batch in batches:
        for name, dtype in DTYPES.items():
            itemsize = dtype.itemsize
            copies = max(4, min(400, CACHE_BYTES // (batch * vocabulary * itemsize)))
            buffers = [torch.randn(batch, vocabulary, device="cuda", dtype=dtype) for _ in range(copies)]
            for kind, share in KINDS.items():
                on_host = random_mask(batch, vocabulary, share, 1)
                mask, size = on_host.cuda(), traffic(on_host, vocabulary, itemsize)
                half = torch.empty(max(1, size // 2), dtype=torch.uint8, device="cuda")
                sources = [torch.empty_like(half) for _ in range(max(4, min(400, CACHE_BYTES // max(1, size))))]
                copy = on_cuda([lambda s=s, h=half: h.copy_(s) for s in sources])
                row = {"bytes": float(size), "copy µs": copy}
                row["ours µs"] = on_cuda([lambda b=b, m=mask: masking.apply_bitmask(b, m) for b in buffers])
                row["ours GB/s"] = size / row["ours µs"] / 1000
                row["ours of copy %"] = 100 * copy / row["ours µs"]
                if theirs is not None:
                    row["xgrammar µs"] = on_cuda(
                        [lambda b=b, m=mask: theirs(b, m, vocab_size=vocabulary, backend="triton") for b in buffers]
                    )
                found[f"{batch} × {name}, {kind}"] = row
            records = torch.zeros(batch, masking.RECORD, dtype=torch.int32)
            records[:, 0], records[:, 1] = 2, 8
            records[:, masking.RECORD_ROWS + 1] = 1
            table, there = random_mask(2, vocabulary, KINDS["few"], 2).cuda(), records.cuda()
            found[f"{batch} × {name}, records"] = {
                "ours µs": on_cuda([lambda b=b, t=table, r=there: masking.apply_records(b, t, r) for b in buffers])
            }
            for kind, sampler in SAMPLERS.items():
                drawn = FusedSampler([sampler] * batch, seeds=range(batch), device="cuda")
                few = random_mask(batch, vocabulary, KINDS["few"], 3).cuda()
                most = random_mask(batch, vocabulary, KINDS["most"], 3).cuda()
                found[f"{batch} × {name}, draw {kind}"] = {
                    f"{label} mask µs": on_cuda([lambda b=b, m=m, d=drawn: d.draw(b, m) for b in buffers])
                    for label, m in (("few", few), ("most", most))
                }
    one = torch.randn(1, vocabulary, device="cuda", dtype=torch.bfloat16)
    mask = random_mask(1, vocabulary, KINDS["few"], 1).cuda()
    found["1 × bf16, few, launched from Python"] = {
        "ours µs": on_cpu(lambda: _waited(masking.apply_bitmask, one, mask))
    }
    if theirs is not None:
        found["1 × bf16, few, launched from Python"]["xgrammar µs"] = on_cpu(
            lambda: _waited(theirs, one, mask, vocab_size=vocabulary, backend="triton")
        )
    return found


def _waited(call: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    call(*arguments, **options)
    torch.cuda.synchronize()


def measure_decoding(device: str, batches: list[int], steps: int) -> dict[str, dict[str, float]]:
    """Draw and advance, many steps: microseconds per step and batch, without a model."""
    tokens: list[bytes | None] = [bytes([b]) for b in range(256)]
    tokens += [str(n).encode() for n in range(10, 1000)]
    tokens += [None] * (32_000 - len(tokens))
    compiler = ge.GrammarCompiler(ge.Vocabulary(tokens, stop_token_ids=[len(tokens) - 1]), cache_dir="")
    pattern = r"[0-9]{4}-(0[1-9]|1[0-2])-[0-9]{2}( [a-z]{1,9}){3,40}"
    found = {}
    for batch in batches:
        automaton = DeviceAutomaton(compiler.compile_regex(pattern), batch_size=batch, device=device)
        sampler = FusedSampler([Sample()] * batch, seeds=range(batch), device=device)
        logits = torch.randn(batch, len(tokens), device=device)

        def step(automaton: Any = automaton, sampler: Any = sampler, logits: Any = logits) -> None:
            automaton.advance(sampler.draw(logits, automaton.masks, mask_rows=automaton.rows).token_ids)

        if device == "cuda":
            row = {"one step, graph of all µs": on_cuda([step] * steps)}
            row["one step, launched from Python µs"] = on_cpu(lambda s=step: _waited(s))
        else:
            row = {"one step µs": on_cpu(step)}
        found[f"batch {batch}"] = row
    return found


def show(console: Console, title: str, found: dict[str, dict[str, float]]) -> None:
    """One table per set of columns."""
    by_columns: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for name, row in found.items():
        by_columns.setdefault(tuple(row), {})[name] = [figure(value) for value in row.values()]
    for columns, rows in by_columns.items():
        show_table(console, title, columns, rows)


def main() -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--vocabulary", type=int, default=128_256)
    parser.add_argument("--batches", type=int, nargs="+")
    parser.add_argument("--steps", type=int, default=64, help="decoding steps in one graph")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    if options.device == "cuda":
        if not torch.cuda.is_available():
            print("There is no CUDA device here. --device cpu measures what runs without one.", file=sys.stderr)
            return 2
        if importlib.util.find_spec("triton") is None:
            print("triton is not installed: pip install 'grammar-engine[cuda]'", file=sys.stderr)
            return 2
    batches = options.batches or ([1, 8, 32, 128, 256] if options.device == "cuda" else [1, 8, 32])
    measure = measure_cuda if options.device == "cuda" else measure_cpu
    masks = measure(options.vocabulary, batches)
    decoding = measure_decoding(options.device, batches, options.steps)
    where = environment(["torch", "triton", "xgrammar", "numba"])
    where["device"] = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    console = Console()
    console.print(where)
    unit = "" if options.device == "cuda" else ", µs"
    show(console, f"masks, V = {options.vocabulary}{unit}", masks)
    show(console, "draw and advance, V = 32,000", decoding)
    if options.json:
        options.json.write_text(json.dumps({"environment": where, "masks": masks, "decoding": decoding}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
