"""Engines side by side on real JSON Schemas: what a mask costs, what a compilation costs, which verdicts are right.

    python benchmarks/maskbench.py                                   # every engine, 300 schemas
    python benchmarks/maskbench.py --engines grammar_engine llguidance --limit 1000 --json figures.json

Each instance is ``json.dumps(data, ensure_ascii=False)``, tokenized as one text with the real Llama-3 tokenizer, then
fed token by token: compute the mask, check the token's bit, accept; at the end the text must be complete. A valid
instance that does not get there is a *false reject*, an invalid one that does is a *false accept*.

Every engine runs in a process of its own, one after another, single thread. A worker that dies or overstays is
replaced, and the schema counts as a crash or, during compilation, as a refusal. Figures are CPU time in µs:

    TTFM     compile, start a matcher, first mask: CPU time of the whole process, other threads included
    mask, accept    one call on a valid instance: the smaller of the thread's CPU time and elapsed time. Reading the CPU
                    clock costs more than the fastest calls; elapsed time alone would count preemption. What is left
                    of the clock in every figure is measured on an empty interval and shown.

All instances of a schema share one compiled grammar, so masks that an engine remembers count as it serves them.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import environment, figure, load_maskbench, show_table, summary
from engines import ENGINES
from rich.console import Console

PACKAGES = ["grammar-engine", "llguidance", "xgrammar", "outlines_core", "numba", "numpy"]
STARTUP_SECONDS = 300.0
"""How long a worker may take to load its engine; ours compiles its loops on a machine's first run."""


@dataclass(kw_only=True)
class Result:
    """One engine's figures. Times in µs; verdicts as ``schema id#test``; errors as (schema id, message).

    refusals: where each false reject happened. slowest: per schema its TTFM and its slowest mask.
    """

    startup_s: float = 0.0
    clock_us: float = 0.0
    ttfm: list[float] = field(default_factory=list)
    mask: list[float] = field(default_factory=list)
    accept: list[float] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    crashes: list[tuple[str, str]] = field(default_factory=list)
    false_rejects: list[str] = field(default_factory=list)
    false_accepts: list[str] = field(default_factory=list)
    inconsistent: list[str] = field(default_factory=list)
    refusals: list[dict[str, str]] = field(default_factory=list)
    slowest: list[dict[str, Any]] = field(default_factory=list)
    schemas: int = 0
    valid: int = 0
    invalid: int = 0

    def add(self, event: dict[str, Any]) -> None:
        """Take in what a worker reports of one schema."""
        if event.get("error"):
            self.errors.append((event["id"], event["error"]))
            return
        worst = {"id": event["id"], "ttfm_us": event["ttfm"], "mask_us": max(event["mask"], default=0.0)}
        self.slowest.append(worst)
        self.refusals.extend(event["refusals"])
        self.ttfm.append(event["ttfm"])
        self.mask.extend(event["mask"])
        self.accept.extend(event["accept"])
        self.valid += event["valid"]
        self.invalid += event["invalid"]
        for name in ("false_rejects", "false_accepts", "inconsistent"):
            getattr(self, name).extend(f"{event['id']}#{test}" for test in event[name])
        if event.get("crash"):
            self.crashes.append((event["id"], event["crash"]))

    def as_json(self, *, raw: bool) -> dict[str, Any]:
        """Figures for a file; with every single time if ``raw``."""
        times = {"ttfm_us": self.ttfm, "mask_us": self.mask, "accept_us": self.accept}
        return {
            "startup_s": self.startup_s,
            "clock_us": self.clock_us,
            **{name: summary(values) for name, values in times.items()},
            "schemas": self.schemas,
            "valid": self.valid,
            "invalid": self.invalid,
            "compile_errors": self.errors,
            "crashes": self.crashes,
            "false_rejects": self.false_rejects,
            "false_accepts": self.false_accepts,
            "inconsistent": self.inconsistent,
            "refusals": self.refusals,
            "slowest_ttfm": sorted(self.slowest, key=lambda worst: -worst["ttfm_us"])[:20],
            "slowest_mask": sorted(self.slowest, key=lambda worst: -worst["mask_us"])[:20],
            **({"raw": times} if raw else {}),
        }


class Worker:
    """A process that runs one engine over the records from ``first`` on, and the pipe on which it reports."""

    def __init__(self, engine: str, arguments: argparse.Namespace, first: int, log: Path) -> None:
        read_end, write_end = os.pipe()
        command = [sys.executable, str(Path(__file__).with_name("maskbench_worker.py")), engine]
        command += ["--limit", str(arguments.limit), "--seed", str(arguments.seed), "--first", str(first)]
        command += [
            "--report",
            str(write_end),
            "--memory-gb",
            str(arguments.memory_gb),
            "--data",
            str(arguments.data or ""),
        ]
        single = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, pass_fds=[write_end], stdout=output, stderr=output, env={**os.environ, **single}
            )
        os.close(write_end)
        self._pipe = os.fdopen(read_end, "rb", buffering=0)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)
        self._rest = b""

    def next_event(self, cpu_seconds: float) -> dict[str, Any] | None:
        """The next report; None if the worker died. Raises TimeoutError past its CPU time, or ten times that in all."""
        start, used = time.monotonic(), _cpu_seconds(self._process.pid)
        while b"\n" not in self._rest:
            if self._selector.select(timeout=0.5):
                block = os.read(self._pipe.fileno(), 1 << 20)
                if not block:
                    return None
                self._rest += block
            elif _cpu_seconds(self._process.pid) - used > cpu_seconds or time.monotonic() - start > 10 * cpu_seconds:
                raise TimeoutError
        line, self._rest = self._rest.split(b"\n", 1)
        event: dict[str, Any] = json.loads(line)
        return event

    def stop(self) -> int:
        """End the process if it still runs; its exit status."""
        self._selector.close()
        self._pipe.close()
        if self._process.poll() is None:
            self._process.kill()
        return self._process.wait()


def _cpu_seconds(pid: int) -> float:
    """CPU time that a process has used; 0 where there is no /proc, which leaves the limit on elapsed time."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_engine(name: str, records: list[dict[str, Any]], arguments: argparse.Namespace, console: Console) -> Result:
    """Run one engine over all records, with as many workers as it takes."""
    result = Result()
    index = 0
    log = Path(tempfile.gettempdir()) / f"maskbench_{name}_{os.getpid()}.log"
    with console.status(name) as status:
        while index < len(records):
            worker = Worker(name, arguments, index, log)
            phase = "loading the engine"
            limit = STARTUP_SECONDS
            crash: str | None = None
            try:
                while index < len(records):
                    event = worker.next_event(limit)
                    if event is None:
                        crash = "died"
                        break
                    limit = arguments.timeout
                    if event["event"] == "ready":
                        result.startup_s = result.startup_s or event["startup_s"]
                        result.clock_us = event["clock_us"]
                        phase = "compiling"
                    elif event["event"] == "compiled":
                        phase = "matching"
                    else:
                        result.add(event)
                        index += 1
                        phase = "compiling"
                        status.update(f"{name}: {index} of {len(records)} schemas")
            except TimeoutError:
                crash = f"timeout: over {limit:g} s"
            finally:
                code = worker.stop()
            if crash:
                if phase == "loading the engine":
                    raise RuntimeError(f"{name} does not start ({crash}, exit status {code}); see {log}")
                message = f"{crash} while {phase}" + ("" if crash.startswith("timeout") else f" (exit status {code})")
                kind = result.errors if crash.startswith("timeout") and phase == "compiling" else result.crashes
                kind.append((records[index]["id"], message))
                index += 1
    log.unlink(missing_ok=True)
    result.schemas = len(records)
    return result


def report(results: dict[str, Result], console: Console) -> None:
    """Print the tables."""
    for title, name, statistics in (
        ("TTFM: compile + first mask", "ttfm", ("n", "mean", "p50", "p90", "p99", "max")),
        ("Mask, valid instances", "mask", ("n", "mean", "p50", "p90", "p99", "max")),
        ("Accept a token, valid instances", "accept", ("n", "mean", "p50", "p90", "p99", "max")),
    ):
        figures = {engine: summary(getattr(result, name)) for engine, result in results.items()}
        rows = {engine: [figure(row.get(statistic)) for statistic in statistics] for engine, row in figures.items()}
        show_table(console, f"{title} (CPU µs)", statistics, rows)
    columns = (
        "schemas",
        "compile errors",
        "crashes",
        "valid",
        "false rejects",
        "invalid",
        "false accepts",
        "bit ≠ accept",
    )
    verdicts = {}
    for engine, result in results.items():
        counts = (
            result.schemas,
            len(result.errors),
            len(result.crashes),
            result.valid,
            len(result.false_rejects),
            result.invalid,
            len(result.false_accepts),
            len(result.inconsistent),
        )
        verdicts[engine] = [f"{count:,}" for count in counts]
    show_table(console, "Verdicts", columns, verdicts)
    for engine, result in results.items():
        console.print(
            f"{engine}: ready after {result.startup_s:.2f} s; an empty interval measures {result.clock_us:.2f} µs"
        )
    _report_ratios(results, console)
    for engine, result in results.items():
        for name in ("false_rejects", "false_accepts", "inconsistent", "crashes"):
            found = getattr(result, name)
            if found:
                more = f" … ({len(found)})" if len(found) > 5 else ""
                console.print(f"{engine}, {name}: {', '.join(map(str, found[:5]))}{more}", markup=False, soft_wrap=True)
        # Places differ from schema to schema; what stands before them says what was refused.
        kinds = Counter(message.partition(" (at ")[0][:100].partition("\n")[0] for _, message in result.errors)
        for message, count in kinds.most_common(6):
            console.print(f"{engine}: {count} × {message}", markup=False, highlight=False, soft_wrap=True)


def _report_ratios(results: dict[str, Result], console: Console) -> None:
    """Print our figures as multiples of llguidance's."""
    if not {"grammar_engine", "llguidance"} <= results.keys():
        return
    for title, name in (("mask", "mask"), ("TTFM", "ttfm"), ("accept", "accept")):
        ours, theirs = (summary(getattr(results[engine], name)) for engine in ("grammar_engine", "llguidance"))
        if ours["n"] and theirs["n"]:
            ratios = ", ".join(f"{key} {ours[key] / theirs[key]:.2f}×" for key in ("mean", "p50", "p99", "max"))
            console.print(f"grammar_engine / llguidance, {title}: {ratios}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Mask engines side by side on real JSON Schemas.")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES), metavar="NAME")
    parser.add_argument("--limit", type=int, default=300, help="size of the sample (default 300; 0: all)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample (default 0)")
    parser.add_argument(
        "--timeout", type=float, default=20.0, help="CPU seconds per compilation, and per schema's tests"
    )
    parser.add_argument("--memory-gb", type=float, default=8.0, help="memory that a worker may hold (default 8)")
    parser.add_argument("--data", type=Path, help="records to use instead of maskbench_open.jsonl.gz")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--raw", action="store_true", help="with --json: keep every single time")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    records = load_maskbench(arguments.limit or None, arguments.seed, arguments.data)
    tests = sum(len(record["tests"]) for record in records)
    console.print(f"{len(records)} schemas, {tests} instances, Llama-3 vocabulary, seed {arguments.seed}")
    results = {}
    for name in dict.fromkeys(arguments.engines):
        try:
            results[name] = run_engine(name, records, arguments, console)
        except RuntimeError as error:
            console.print(str(error), markup=False)
            continue
        _save(arguments, results)
    report(results, console)
    return 0 if len(results) == len(set(arguments.engines)) else 1


def _save(arguments: argparse.Namespace, results: dict[str, Result]) -> None:
    """Write what there is so far; a long run that is interrupted keeps its finished engines."""
    if arguments.json:
        options = {"limit": arguments.limit, "seed": arguments.seed, "timeout_s": arguments.timeout}
        engines = {name: result.as_json(raw=arguments.raw) for name, result in results.items()}
        document = {"options": options, "environment": environment(PACKAGES), "engines": engines}
        arguments.json.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
