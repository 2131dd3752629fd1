"""Compile and first mask of every open MaskBench schema, Llama-3 vocabulary, one process: percentiles and the slowest.

    python benchmarks/compile_times.py [--show K]

CPU time of the thread, each schema once, in the order of the file; nothing is warmed up but the kernels.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time

import numpy as np
from common import data_folder, load_llama3
from engines import ENGINES, source
from grammar_engine.compiler.errors import GrammarEngineError


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", type=int, default=10, help="print so many of the slowest")
    arguments = parser.parse_args()
    engine = ENGINES["grammar_engine"](load_llama3())
    times: list[tuple[float, str, str]] = []
    with gzip.open(data_folder() / "maskbench_open.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            text = source(record["schema"])
            outcome = "compiled"
            start = time.thread_time()
            try:
                engine.fill(engine.start(engine.compile(text)))
            except GrammarEngineError as error:
                outcome = type(error).__name__
            times.append(((time.thread_time() - start) * 1e3, record["id"], outcome))
    values = np.array([milliseconds for milliseconds, _, _ in times])
    p50, p99 = np.percentile(values, [50, 99])
    write = sys.stdout.write
    write(f"{len(times)} schemas, ms: p50 {p50:.2f}, p99 {p99:.1f}, max {values.max():.0f}; ")
    write(f"over 0.5 s: {int((values > 500).sum())}, over 1 s: {int((values > 1000).sum())}\n")
    for milliseconds, name, outcome in sorted(times, reverse=True)[: arguments.show]:
        write(f"  {milliseconds:8.1f} ms  {name}  {outcome}\n")


if __name__ == "__main__":
    main()
