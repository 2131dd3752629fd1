"""One engine over a range of records: the measured half of maskbench.py, which starts it and reads its reports.

Reports are JSON lines on a pipe: ``ready`` once, then per schema ``compiled`` and ``done``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import load_llama3, load_maskbench
from engines import ENGINES, Engine, source

WARM_UP: dict[str, Any] = {
    "schema": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "sizes": {"type": "array", "items": {"type": "integer"}}},
        "required": ["name"],
        "additionalProperties": False,
    },
    "tests": [{"valid": True, "data": {"name": "warm up", "sizes": [1, 20]}}, {"valid": False, "data": {"name": 1}}],
    "id": "warm-up",
}

Encoded = list[tuple[bool, list[int]]]
Decode = Callable[[list[int]], str]


class Timer:
    """Intervals in µs: the smaller of elapsed and of the thread's CPU time (see maskbench.py)."""

    def __init__(self) -> None:
        self._cpu = self._wall = 0

    def start(self) -> None:
        self._cpu = time.thread_time_ns()
        self._wall = time.perf_counter_ns()

    def stop(self) -> float:
        wall = time.perf_counter_ns() - self._wall
        return min(wall, time.thread_time_ns() - self._cpu) / 1000


def clock_cost() -> float:
    """What an interval around nothing measures, in µs (median): part of every figure."""
    timer = Timer()
    costs = []
    for _ in range(1001):
        timer.start()
        costs.append(timer.stop())
    return statistics.median(costs)


def feed(
    engine: Engine, compiled: Any, tokens: list[int], mask: list[float], accept: list[float]
) -> tuple[bool, bool, int]:
    """Feed one instance, appending the time of each call.

    Returns its verdict, whether bit and accept agreed, and the number of tokens that were taken.
    """
    matcher = engine.start(compiled)
    timer = Timer()
    for count, token_id in enumerate(tokens):
        timer.start()
        engine.fill(matcher)
        mask.append(timer.stop())
        if not engine.allowed(token_id):
            return False, True, count
        timer.start()
        accepted = engine.accept(matcher, token_id)
        accept.append(timer.stop())
        if not accepted:
            return False, False, count
    return engine.accepting(matcher), True, len(tokens)


def run_schema(
    engine: Engine, record: dict[str, Any], tests: Encoded, report: Callable[[dict[str, Any]], None], decode: Decode
) -> dict[str, Any]:
    """Compile one schema and judge its instances."""
    schema = source(record["schema"])
    gc.collect()
    start = time.process_time_ns()
    try:
        compiled = engine.compile(schema)
        engine.fill(engine.start(compiled))
    except Exception as error:  # noqa: BLE001 (whatever an engine raises is its refusal, and is reported as such)
        return {"event": "done", "id": record["id"], "error": f"{type(error).__name__}: {error}"}
    ttfm = (time.process_time_ns() - start) / 1000
    report({"event": "compiled", "id": record["id"]})
    result: dict[str, Any] = {
        "event": "done",
        "id": record["id"],
        "ttfm": ttfm,
        "mask": [],
        "accept": [],
        "crash": None,
    }
    result |= {"valid": 0, "invalid": 0, "false_rejects": [], "false_accepts": [], "inconsistent": [], "refusals": []}
    for index, (valid, tokens) in enumerate(tests):
        result["valid" if valid else "invalid"] += 1
        mask, accept = (result["mask"], result["accept"]) if valid else ([], [])
        try:
            verdict, consistent, taken = feed(engine, compiled, tokens, mask, accept)
        except Exception as error:  # noqa: BLE001 (an engine that raises here has crashed; the others go on)
            result["crash"] = f"test {index}: {type(error).__name__}: {error}"
            continue
        if not consistent:
            result["inconsistent"].append(index)
        if verdict != valid:
            result["false_accepts" if verdict else "false_rejects"].append(index)
        if valid and not verdict:
            place = {"after": decode(tokens[:taken])[-60:], "refused": decode(tokens[taken : taken + 1])}
            result["refusals"].append({"test": f"{record['id']}#{index}", **place})
    return result


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", choices=list(ENGINES))
    parser.add_argument("--limit", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--report", type=int, required=True)
    parser.add_argument("--memory-gb", type=float, required=True)
    parser.add_argument("--data", required=True)
    arguments = parser.parse_args()
    limit = int(arguments.memory_gb * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    def report(event: dict[str, Any]) -> None:
        data = json.dumps(event).encode() + b"\n"
        while data:
            data = data[os.write(arguments.report, data) :]

    tokenizer = load_llama3()
    encoding = tokenizer.encoding()

    def encode(record: dict[str, Any]) -> Encoded:
        texts = ((test["valid"], json.dumps(test["data"], ensure_ascii=False)) for test in record["tests"])
        return [(valid, encoding.encode_ordinary(text)) for valid, text in texts]

    records = load_maskbench(arguments.limit or None, arguments.seed, Path(arguments.data) if arguments.data else None)
    start = time.perf_counter()
    engine = ENGINES[arguments.engine](tokenizer)
    run_schema(engine, WARM_UP, encode(WARM_UP), lambda _event: None, encoding.decode)
    report({"event": "ready", "startup_s": time.perf_counter() - start, "clock_us": clock_cost()})
    for record in records[arguments.first :]:
        report(run_schema(engine, record, encode(record), report, encoding.decode))
    return 0


if __name__ == "__main__":
    sys.exit(main())
