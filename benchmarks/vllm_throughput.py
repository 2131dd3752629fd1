"""Structured outputs in vLLM: the same schemas through this engine, xgrammar and guidance, offline and by server.

    make bench-vllm                                             # all of it: half an hour on two idle cores
    $VLLM_VENV/bin/python benchmarks/vllm_throughput.py --runs offline server --speculative off on --rounds 2

Schemas are a seeded sample of MaskBench that every backend takes by its own check in vLLM; how many each refused on the
way is reported. A request shows the model (SmolLM2-135M-Instruct, greedy) an instance and asks for it again, so that
most texts end by themselves; the schema is only in the constraint. Each text that ends is checked by jsonschema.

Each run is a process of its own, and backends take turns, round by round. Figures are of the best round: that with the
most tokens per second, that with the least processor time per token. Processor time is that of the process or, for a
server, of all its processes, and it is what to look at on a busy machine. Models and grammars have a thread each, since
two threads that wait for each other would be counted as work. The first request of each schema pays for its
compilation.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from common import environment, figure, load_maskbench, show_table

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKENDS = ("grammar-engine", "xgrammar", "guidance")
FREE = "unconstrained"
PORT = 8378
CONTEXT = 1024
MAX_TOKENS = 400
SEQUENCES = 8
LONGEST_INSTANCE = 400
"""Characters; longer ones would be cut by the budget."""
SPECULATIVE = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 3, "prompt_lookup_min": 1}
SETTINGS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "NUMBA_CACHE_DIR": str(Path(sys.prefix) / "numba"),
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
ASK = "Repeat this JSON, without any explanation:\n"


def model() -> str:
    from grammar_engine.embedded import fetch

    return str(fetch())


def select(number: int, seed: int) -> dict[str, Any]:
    """Schemas that all backends take, each with one instance."""
    import jsonschema

    from grammar_engine.integrations.vllm import register

    register()
    from vllm import SamplingParams
    from vllm.config.structured_outputs import StructuredOutputsConfig
    from vllm.exceptions import VLLMValidationError
    from vllm.sampling_params import StructuredOutputsParams
    from vllm.tokenizers import get_tokenizer

    tokenizer = get_tokenizer(model())
    model_config = SimpleNamespace(is_diffusion=False, get_vocab_size=lambda: 49152)
    records = load_maskbench(None, seed)
    random.Random(seed).shuffle(records)
    refused: Counter[str] = Counter()
    chosen: list[dict[str, Any]] = []
    considered = 0
    for record in records:
        schema = record["schema"]
        instances = [test["data"] for test in record["tests"] if test["valid"]]
        texts = [json.dumps(instance) for instance in instances]
        if not texts or not 2 < len(texts[0]) <= LONGEST_INSTANCE or not isinstance(schema, dict):
            continue
        try:
            checker = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
            if not checker(schema).is_valid(instances[0]):
                continue
        except Exception:  # noqa: BLE001, S112 - schemas that jsonschema itself stumbles over say nothing of an engine
            continue
        considered += 1
        taken = True
        for backend in BACKENDS:
            params = SamplingParams(structured_outputs=StructuredOutputsParams(json=schema))
            config = StructuredOutputsConfig(backend=backend)
            try:
                params._validate_structured_outputs(model_config, config, tokenizer)  # noqa: SLF001 - no other way in
            except (VLLMValidationError, ValueError):
                refused[backend] += 1
                taken = False
        if taken:
            chosen.append({"id": record["id"], "schema": schema, "instance": texts[0]})
        if len(chosen) == number:
            break
    return {"chosen": chosen, "considered": considered, "refused": dict(refused)}


def offline(backend: str, speculative: bool, cases: list[dict[str, Any]]) -> dict[str, Any]:
    from grammar_engine.integrations.vllm import register

    register()
    from vllm import LLM, SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    options: dict[str, Any] = {"speculative_config": SPECULATIVE} if speculative else {}
    if backend != FREE:
        options["structured_outputs_config"] = {"backend": backend}
    llm = LLM(
        model(), enforce_eager=True, max_model_len=CONTEXT, max_num_seqs=SEQUENCES, disable_log_stats=False, **options
    )

    def params(schema: Any) -> SamplingParams:
        asked = None if backend == FREE else StructuredOutputsParams(json=schema)
        return SamplingParams(max_tokens=MAX_TOKENS, temperature=0.0, structured_outputs=asked)

    def chats(some: list[dict[str, Any]]) -> list[Any]:
        return [[{"role": "user", "content": ASK + case["instance"]}] for case in some]

    llm.chat(chats(cases[:1]), [params({"type": "null"})], use_tqdm=False)  # the backend is made, the model has run
    started, used = time.perf_counter(), time.process_time()
    outputs = llm.chat(chats(cases), [params(case["schema"]) for case in cases], use_tqdm=False)
    wall, cpu = time.perf_counter() - started, time.process_time() - used
    answers = [{"text": output.outputs[0].text, "ended": output.outputs[0].finish_reason} for output in outputs]
    tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
    counters = {metric.name: getattr(metric, "value", 0) for metric in llm.get_metrics()}
    drafts = counters.get("vllm:spec_decode_num_accepted_tokens", 0)
    return {"wall": wall, "cpu": cpu, "tokens": tokens, "answers": answers, "drafts": int(drafts)}


@contextmanager
def serving(backend: str, speculative: bool) -> Iterator[int]:
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model(), "--port", str(PORT)]
    command += ["--served-model-name", "smollm2", "--enforce-eager", "--max-model-len", str(CONTEXT)]
    command += ["--max-num-seqs", str(SEQUENCES)]
    if backend != FREE:
        command += ["--structured-outputs-config.backend", backend]
    if speculative:
        command += ["--speculative-config", json.dumps(SPECULATIVE)]
    # -m looks in the current folder first, and a checkout's root holds half of this package.
    folder = Path(__file__).parent
    with socket.socket() as probe:  # else a server that is there already would answer
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", PORT))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder) as process:
        try:
            for _ in range(400):
                if process.poll() is not None:
                    raise SystemExit(f"the server for {backend} ended")
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5)
                    break
                except OSError:
                    time.sleep(1)
            yield process.pid
        finally:
            process.terminate()


def server(backend: str, speculative: bool, cases: list[dict[str, Any]]) -> dict[str, Any]:
    def ask(case: dict[str, Any], schema: Any) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": "smollm2",
            "messages": [{"role": "user", "content": ASK + case["instance"]}],
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
        }
        if backend != FREE:
            form = {"name": "answer", "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORT}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=600) as response:  # noqa: S310 - it is our own server
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError:  # a request that failed behind its check
            answer = {"choices": [{"message": {"content": ""}, "finish_reason": "error"}], "usage": {}}
        return answer

    with serving(backend, speculative) as leader, ThreadPoolExecutor(SEQUENCES) as pool:
        ask(cases[0], {"type": "null"})
        started, used = time.perf_counter(), processor_time(leader)
        results = list(pool.map(lambda case: ask(case, case["schema"]), cases))
        wall, cpu = time.perf_counter() - started, processor_time(leader) - used
        drafts = accepted_drafts()
    choices = [result["choices"][0] for result in results]
    answers = [{"text": c["message"]["content"] or "", "ended": c["finish_reason"]} for c in choices]
    tokens = sum(result["usage"].get("completion_tokens", 0) for result in results)
    return {"wall": wall, "cpu": cpu, "tokens": tokens, "answers": answers, "drafts": drafts}


def processor_time(leader: int) -> float:
    """Seconds of a process and all below it."""
    import psutil

    process = psutil.Process(leader)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def accepted_drafts() -> int:
    """As the server counts them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=60) as response:
        lines = response.read().decode().splitlines()
    counts = [line for line in lines if line.startswith("vllm:spec_decode_num_accepted_tokens_total")]
    return int(sum(float(line.rpartition(" ")[2]) for line in counts))


def verdicts(cases: list[dict[str, Any]], answers: list[dict[str, Any]]) -> Counter[str]:
    import jsonschema

    found: Counter[str] = Counter()
    for case, answer in zip(cases, answers, strict=True):
        if answer["ended"] != "stop":
            found["cut" if answer["ended"] == "length" else "failed"] += 1
            continue
        checker = jsonschema.validators.validator_for(case["schema"], default=jsonschema.Draft202012Validator)
        try:
            valid = checker(case["schema"]).is_valid(json.loads(answer["text"]))
        except ValueError:
            valid = False
        found["valid" if valid else "invalid"] += 1
        if not valid:
            found[f"  {case['id']}"] += 1
    return found


def stage(arguments: argparse.Namespace) -> None:
    """One process's part: its result goes to a file."""
    os.environ.update(SETTINGS)
    kind, backend, speculative = arguments.stage
    if kind == "select":
        result = select(arguments.schemas, arguments.seed)
    else:
        cases = json.loads(Path(arguments.cases).read_text())["chosen"]
        if kind == "offline":
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
            result = offline(backend, speculative == "on", cases)
        else:
            result = server(backend, speculative == "on", cases)
    Path(arguments.out).write_text(json.dumps(result))


def row(console: Any, backend: str, cases: list[dict[str, Any]], rounds: list[dict[str, Any]]) -> list[str]:
    """A backend's line of the table; what is invalid is named."""
    found: Counter[str] = Counter()
    for result in rounds:
        found |= verdicts(cases, result["answers"])  # the most of each: rounds that differ must not hide a failure
    wrong = [name.strip() for name in found if name.startswith("  ")]
    if wrong and backend != FREE:
        console.print(f"{backend}: invalid: {', '.join(wrong)}")
    return [
        figure(rounds[0]["tokens"]),
        figure(max(result["tokens"] / result["wall"] for result in rounds)),
        figure(min(1000 * result["cpu"] / result["tokens"] for result in rounds)),
        str(found["valid"]),
        str(found["cut"]),
        str(found["failed"]),
        str(found["invalid"]) if backend != FREE else "–",
        str(rounds[0]["drafts"]),
    ]


def run(arguments: argparse.Namespace) -> None:
    from rich.console import Console

    console = Console(width=140)
    folder = Path(arguments.keep or tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)

    def process(kind: str, backend: str, speculative: str, number: int = 0) -> dict[str, Any]:
        name = f"{kind}-{backend}-{speculative}-{number}"
        out = folder / f"{name}.json"
        if not out.exists():
            command = [sys.executable, __file__, "--stage", kind, backend, speculative, "--out", str(out)]
            command += ["--cases", str(folder / "select-all-off-0.json")]
            command += ["--schemas", str(arguments.schemas), "--seed", str(arguments.seed)]
            log = folder / f"{name}.log"
            with log.open("w") as file:
                # Some of these are read before a process runs its first line.
                if subprocess.run(
                    command, stdout=file, stderr=file, env={**os.environ, **SETTINGS}, check=False
                ).returncode:
                    raise SystemExit(f"{name} failed; see {log}")
        result: dict[str, Any] = json.loads(out.read_text())
        return result

    picked = process("select", "all", "off")
    cases = picked["chosen"]
    refusals = ", ".join(f"{name} {picked['refused'].get(name, 0)}" for name in BACKENDS)
    console.print(f"{len(cases)} schemas that all take, of {picked['considered']} considered; refused by {refusals}")
    backends = arguments.backends
    columns = ["tokens", "tokens/s", "CPU ms/token", "valid", "cut", "failed", "invalid", "drafts accepted"]
    for kind in arguments.runs:
        for speculative in arguments.speculative:
            results: dict[str, list[dict[str, Any]]] = {backend: [] for backend in backends}
            for number in range(arguments.rounds):
                for backend in backends:
                    results[backend].append(process(kind, backend, speculative, number))
            rows = {backend: row(console, backend, cases, results[backend]) for backend in backends}
            title = f"{kind}, n-gram speculation {speculative}, the best of {arguments.rounds} rounds"
            show_table(console, title, columns, rows)
    console.print_json(data=environment(["grammar-engine", "vllm-cpu", "xgrammar", "llguidance", "numba"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schemas", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backends", nargs="+", default=[*BACKENDS, FREE], choices=[*BACKENDS, FREE])
    parser.add_argument("--runs", nargs="+", default=["offline", "server"], choices=["offline", "server"])
    parser.add_argument("--speculative", nargs="+", default=["off", "on"], choices=["off", "on"])
    parser.add_argument("--rounds", type=int, default=2, help="how often each backend has its turn")
    parser.add_argument("--keep", help="a folder for results; what is there already is not run again")
    parser.add_argument("--stage", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--cases", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        stage(arguments)
    else:
        run(arguments)


if __name__ == "__main__":
    main()
