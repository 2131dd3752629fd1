"""What a process pays before its first mask, and what it holds: import, one-time compilation, cached start, memory.

    python benchmarks/memory_and_startup.py [--json figures.json]

Every figure comes from a fresh process. The first one starts with empty caches (compiled loops and mask rows), the
others with what it left; the user's own caches are not touched. Times are seconds, elapsed and of the CPU (the ones
to read on a busy machine), of the best repetition; a cold start can happen only once. Memory is resident, with the
Llama-3 vocabulary (128,256 ids) and one schema, after a document of that schema has been fed mask by mask; torch is
not loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# Neither numpy nor anything of ours is imported up here: this file is also what the measured processes run.

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "name": {"type": "string", "minLength": 1, "maxLength": 80},
        "email": {"type": "string", "format": "email"},
        "created": {"type": "string", "format": "date-time"},
        "role": {"enum": ["admin", "editor", "reader"]},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 8},
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}, "zip": {"pattern": "^[0-9]{5}$"}},
            "required": ["city"],
        },
        "score": {"type": ["number", "null"]},
    },
    "required": ["id", "name", "role"],
    "additionalProperties": False,
}
DOCUMENT: dict[str, Any] = {
    "id": 41,
    "name": "Zoë Ångström",
    "email": "zoe@example.org",
    "created": "2025-03-14T09:26:53Z",
    "role": "editor",
    "tags": ["alpha", "release candidate", "日本"],
    "address": {"street": "1 Main Street", "city": "Uppsala", "zip": "75310"},
    "score": 3.5,
}
HEAVY = ("torch", "transformers", "triton")


def measure(vocabulary_file: str, special: dict[str, int], stop: list[int]) -> dict[str, Any]:
    """Run in a fresh process: seconds of each step, resident megabytes behind some of them."""
    steps: dict[str, Any] = {}
    last, last_cpu = time.perf_counter(), time.process_time()

    def step(name: str) -> None:
        nonlocal last, last_cpu
        now, cpu = time.perf_counter(), time.process_time()
        steps[name], steps[f"{name}_cpu"] = now - last, cpu - last_cpu
        last, last_cpu = now, cpu

    import grammar_engine as ge

    step("import")
    steps["heavy_modules"] = [name for name in HEAVY if name in sys.modules]
    from grammar_engine.compiler.warmup import warm_up

    warm_up()
    step("loops")
    steps["megabytes_loaded"] = _resident("VmRSS")
    last, last_cpu = time.perf_counter(), time.process_time()
    vocabulary = ge.Vocabulary.from_tiktoken(vocabulary_file, special_tokens=special, stop_token_ids=stop)
    step("vocabulary")
    compiler = ge.GrammarCompiler(vocabulary)
    step("trie")
    compiled = compiler.compile_json_schema(SCHEMA)
    matcher = ge.Matcher(compiled)
    bitmask = ge.allocate_token_bitmask(1, vocabulary.size)
    matcher.fill_next_token_bitmask(bitmask, 0)
    step("first_mask")
    steps["ready_at"] = time.monotonic()
    steps["launch_to_first_mask_cpu"] = time.process_time()
    ids = {token: index for index, token in enumerate(vocabulary.tokens) if token is not None}
    rest = json.dumps(DOCUMENT, ensure_ascii=False).encode()
    while rest:
        length = next(n for n in range(min(16, len(rest)), 0, -1) if rest[:n] in ids)
        matcher.fill_next_token_bitmask(bitmask, 0)
        if not matcher.accept_token(ids[rest[:length]]):
            raise RuntimeError(f"the document was refused at {rest[:20]!r}")
        rest = rest[length:]
    if not matcher.is_accepting():
        raise RuntimeError("the document was refused at its end")
    del ids
    steps["megabytes"] = _resident("VmRSS")
    steps["megabytes_peak"] = _resident("VmHWM")
    steps["heavy_modules"] += [name for name in HEAVY if name in sys.modules and name not in steps["heavy_modules"]]
    return steps


def _resident(name: str) -> float | None:
    """Resident memory in MB, now (VmRSS) or at most so far (VmHWM); None where there is no /proc."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def _child(caches: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Run ``measure`` in a process whose caches lie in ``caches``; adds the time from its launch to the first mask."""
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(caches / "numba"),
        "GRAMMAR_ENGINE_MASK_CACHE": str(caches / "masks"),
        "OMP_NUM_THREADS": "1",
    }
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(request)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"a measured process failed:\n{done.stderr}")
    steps: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    steps["launch_to_first_mask"] = steps.pop("ready_at") - start
    return steps


def main() -> int:
    parser = argparse.ArgumentParser(description="Import, one-time compilation, cached start and memory.")
    parser.add_argument("--repeat", type=int, default=3, help="cached starts; the best counts (default 3)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        sys.stdout.write(json.dumps(measure(**json.loads(arguments.child))) + "\n")
        return 0

    from common import environment, figure, load_llama3, show_table
    from fetch_tokenizers import tokenizer_folder
    from rich.console import Console

    tokenizer = load_llama3()
    file = tokenizer_folder() / "llama3.tiktoken"
    request = {"vocabulary_file": str(file), "special": tokenizer.special, "stop": tokenizer.stop}
    console = Console()
    with tempfile.TemporaryDirectory() as temporary, console.status("cold start: compiling the loops") as status:
        cold = _child(Path(temporary), request)
        status.update("cached starts")
        runs = [_child(Path(temporary), request) for _ in range(arguments.repeat)]
    best = min(runs, key=lambda steps: steps["launch_to_first_mask_cpu"])
    names = {
        "import": "import grammar_engine",
        "loops": "compiled loops (cold: one-time compilation)",
        "vocabulary": "read the vocabulary",
        "trie": "compiler: token trie",
        "first_mask": "compile the schema, first mask",
        "launch_to_first_mask": "process launch to first mask",
    }
    columns = ("cold", "cold, CPU", "cached", "cached, CPU")
    rows = {
        text: [figure(steps[f"{name}{clock}"]) for steps in (cold, best) for clock in ("", "_cpu")]
        for name, text in names.items()
    }
    show_table(console, f"Start (s; load {os.getloadavg()[0]:.1f})", columns, rows)
    memory = {
        "package and loops": [figure(best["megabytes_loaded"])],
        "with vocabulary and a fed document": [figure(best["megabytes"])],
        "peak": [figure(best["megabytes_peak"])],
        "peak of the cold start": [figure(cold["megabytes_peak"])],
    }
    show_table(console, "Resident memory (MB)", ("",), memory)
    heavy = sorted({name for steps in (cold, *runs) for name in steps["heavy_modules"]})
    console.print(f"loaded without need: {', '.join(heavy)}" if heavy else f"not loaded: {', '.join(HEAVY)}")
    if arguments.json:
        packages = ["grammar-engine", "numba", "numpy"]
        document = {"environment": environment(packages), "cold": cold, "cached": runs}
        arguments.json.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return 1 if heavy else 0


if __name__ == "__main__":
    sys.exit(main())
