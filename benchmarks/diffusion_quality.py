"""A diffusion model end to end: alone, with LAVE and under the exact check, on the same prompts.

    python benchmarks/diffusion_quality.py                        # the tiny model: its own tasks and MaskBench schemas
    python benchmarks/diffusion_quality.py --schemas 200 --schedule low-confidence --json figures.json

Suites: `tasks`, prompts of the kinds that the tiny model was trained on, with the answer that is due; `schemas`, a
seeded sample of MaskBench's open half, of which the prompt says nothing; both with as many slots as --slots says. A
schema that does not compile, whose shortest text takes more slots, or that takes longer than --seconds, is counted and
left out for all methods alike.

    valid      the text is what an oracle accepts: json.loads and jsonschema, or Lark
    equal      it is the answer that is due (tasks)
    values     leaves of the JSON value (numbers of an expression); characters: of the text. Of valid texts only:
               a method that closes documents early shows here
    empty      valid texts without any leaf
    passes     of the model; ms: wall time of a text; grammar: the part of it spent on masks, checks and lookahead
    rejects    LAVE's rejected proposals of all verified; false: those of them that an exact canvas says are possible

Texts are filled one at a time, on one thread. Times of LAVE are taken without the exact canvas that judges it, which is
asked in a second run with the same seeds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import lark
from common import environment, figure, load_maskbench, show_table
from grammar_engine.compiler.compiled import CompiledGrammar
from rich.console import Console

import grammar_engine as ge
from grammar_engine.diffusion.generation import generate
from grammar_engine.diffusion.interface import DiffusionModel
from grammar_engine.diffusion.tiny.data import TASKS

PACKAGES = ["grammar-engine", "torch", "numba", "numpy", "jsonschema"]
METHODS = ("none", "lave", "exact")
ARITHMETIC = r"""
start: term (_SP OP _SP term)*
term: NUMBER | "(" start ")"
OP: "+" | "-" | "*" | "/"
_SP: " "
NUMBER: /0|[1-9][0-9]?/
"""
_STRING: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "integer"}
TASK_SCHEMAS: dict[str, dict[str, Any]] = {
    "person": {
        "type": "object",
        "properties": {"name": _STRING, "age": _NUMBER, "city": _STRING},
        "required": ["name", "age", "city"],
        "additionalProperties": False,
    },
    "point": {
        "type": "object",
        "properties": dict.fromkeys("xyz", _NUMBER),
        "required": ["x", "y"],
        "additionalProperties": False,
    },
    "list": {"type": "array", "items": _STRING, "minItems": 1},
    "numbers": {"type": "array", "items": _NUMBER, "minItems": 1},
    "order": {
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": _STRING, "count": _NUMBER},
                    "required": ["name", "count"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["items"],
        "additionalProperties": False,
    },
    "fields": {"type": "object"},
    "json": {"type": ["object", "array"]},
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A prompt, the language of its answer, an oracle, and the answer that is due if there is one."""

    name: str
    prompt: str
    compiled: CompiledGrammar
    read: Callable[[str], Any]
    due: str | None = None


@dataclass(kw_only=True)
class Figures:
    """Of one method on one suite."""

    texts: int = 0
    valid: int = 0
    equal: int = 0
    due: int = 0
    empty: int = 0
    values: list[int] = field(default_factory=list)
    characters: list[int] = field(default_factory=list)
    passes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    grammar_seconds: list[float] = field(default_factory=list)
    refused_batches: int = 0
    verifications: int = 0
    rejects: int = 0
    false_rejects: int = 0
    false_accepts: int = 0
    recoveries: int = 0
    invalid: list[dict[str, str]] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)

    def add(self, case: Case, result: Any) -> None:
        """Take in a text."""
        self.texts += 1
        self.passes.append(result.counters.forwards)
        self.seconds.append(result.seconds)
        self.grammar_seconds.append(result.grammar_seconds)
        self.refused_batches += result.counters.rejected_batches
        self.verifications += result.counters.verifications
        self.recoveries += result.counters.recoveries
        self.rejects += result.counters.rejects
        try:
            value = case.read(result.text)
        except (ValueError, lark.LarkError, jsonschema.ValidationError) as error:
            self.invalid.append({"case": case.name, "text": result.text, "why": str(error).splitlines()[0]})
            return
        self.valid += 1
        self.values.append(leaves(value))
        self.empty += not self.values[-1]
        self.characters.append(len(result.text))
        if case.due is not None:
            self.due += 1
            self.equal += value == case.read(case.due)

    def row(self) -> list[str]:
        """For the table."""
        return [
            str(self.texts),
            share(self.valid, self.texts),
            share(self.equal, self.texts) if self.due else "–",
            figure(mean(self.values)),
            figure(mean(self.characters)),
            share(self.empty, self.valid),
            figure(mean(self.passes)),
            figure(mean([1000 * s for s in self.seconds])),
            figure(mean([1000 * s for s in self.grammar_seconds])),
            share(self.rejects, self.verifications),
            share(self.false_rejects, self.rejects),
        ]


COLUMNS = ["texts", "valid", "equal", "values", "characters", "empty", "passes", "ms", "grammar", "rejects", "false"]


def share(part: int, whole: int) -> str:
    """A percentage."""
    return "–" if not whole else f"{100 * part / whole:.1f} %"


def mean(values: list[Any]) -> float | None:
    """None for no values."""
    return statistics.fmean(values) if values else None


def leaves(value: Any) -> int:
    """Strings, numbers, true, false and null in a value."""
    if isinstance(value, dict):
        return sum(map(leaves, value.values()))
    if isinstance(value, list):
        return sum(map(leaves, value))
    return 1


def reader(schema: Any) -> Callable[[str], Any]:
    """JSON that validates; raises ValueError or jsonschema's error."""
    validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)(schema)

    def read(text: str) -> Any:
        value = json.loads(text)
        validator.validate(value)
        return value

    return read


def expression(text: str) -> list[Any]:
    """The numbers of an expression, as Lark reads it."""
    return list(lark.Lark(ARITHMETIC).parse(text).scan_values(lambda token: token.type == "NUMBER"))


def task_cases(model: DiffusionModel, count: int, seed: int) -> Iterator[Case]:
    """Prompts of the kinds that the model has seen."""
    rng = random.Random(seed)
    compiled = {
        name: model.compiler.compile_json_schema(schema, max_whitespace=1) for name, schema in TASK_SCHEMAS.items()
    }
    for number in range(count):
        for name, schema in TASK_SCHEMAS.items():
            prompt, answer = TASKS[name](rng)
            due = None if name == "json" else answer
            yield Case(name=f"{name} {number}", prompt=prompt, compiled=compiled[name], read=reader(schema), due=due)
        prompt, _ = TASKS["arith"](rng)
        yield Case(
            name=f"arith {number}", prompt=prompt, compiled=model.compiler.compile_lark(ARITHMETIC), read=expression
        )


def schema_cases(model: DiffusionModel, count: int, seed: int, left_out: list[dict[str, str]]) -> Iterator[Case]:
    """MaskBench's schemas, as far as they compile."""
    for record in load_maskbench(count, seed):
        try:
            compiled = model.compiler.compile_json_schema(record["schema"], max_whitespace=1)
            read = reader(record["schema"])
        except (ge.GrammarEngineError, jsonschema.SchemaError) as error:
            left_out.append({"case": record["id"], "why": f"{type(error).__name__}: {str(error).splitlines()[0]}"})
            continue
        yield Case(name=record["id"], prompt="json:", compiled=compiled, read=read)


def measure(
    model: DiffusionModel, cases: Iterator[Case], arguments: argparse.Namespace, left_out: list[dict[str, str]]
) -> dict[str, Figures]:
    """Fill a canvas for each case and method."""
    found = {method: Figures() for method in arguments.methods}
    began = time.perf_counter()
    for case in cases:
        if time.perf_counter() - began > arguments.minutes * 60:
            left_out.append({"case": case.name, "why": "out of time"})
            break
        options = {"slots": arguments.slots, "schedule": arguments.schedule, "steps": arguments.steps}
        options |= {"seed": arguments.seed, "temperature": arguments.temperature}
        try:
            with at_most(arguments.seconds):
                results = {m: generate(model, case.prompt, case.compiled, m, **options) for m in arguments.methods}
                audited = None
                if "lave" in arguments.methods and not arguments.no_audit:
                    audited = generate(model, case.prompt, case.compiled, "lave", audit=True, **options)
        except (ge.GrammarEngineError, TimeoutError) as error:
            left_out.append({"case": case.name, "why": f"{type(error).__name__}: {str(error).splitlines()[0]}"})
            continue
        for method, result in results.items():
            found[method].add(case, result)
        if audited is not None:
            found["lave"].false_rejects += audited.counters.false_rejects
            found["lave"].false_accepts += audited.counters.false_accepts
    return found


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """TimeoutError in what takes longer."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"all methods together took more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    """Fill, count, show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny-dlm")
    parser.add_argument("--suites", nargs="+", choices=["tasks", "schemas"], default=["tasks", "schemas"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--schedule", default="threshold")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--slots", type=int, default=96)
    parser.add_argument("--prompts", type=int, default=10, help="of each kind of task")
    parser.add_argument("--schemas", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--minutes", type=float, default=30.0, help="of each suite at most")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each case, all methods together, at most")
    parser.add_argument("--no-audit", action="store_true", help="do not count LAVE's false answers")
    parser.add_argument("--json", type=Path, help="also write all figures there")
    arguments = parser.parse_args()
    console = Console(width=160)
    loaded = ge.load_model(arguments.model)
    if not isinstance(loaded, DiffusionModel):
        raise SystemExit(f"{arguments.model} is no diffusion model")
    report: dict[str, Any] = {"environment": environment(PACKAGES), "arguments": vars(arguments) | {"json": None}}
    for suite in arguments.suites:
        left_out: list[dict[str, str]] = []
        cases = (
            task_cases(loaded, arguments.prompts, arguments.seed)
            if suite == "tasks"
            else schema_cases(loaded, arguments.schemas, arguments.seed, left_out)
        )
        found = measure(loaded, cases, arguments, left_out)
        title = f"{suite}: {arguments.slots} slots, {arguments.schedule}; left out {len(left_out)}"
        show_table(console, title, COLUMNS, {name: figures.row() for name, figures in found.items()})
        for name, figures in found.items():
            if figures.verifications:
                spent = sum(figures.grammar_seconds)
                console.print(
                    f"{name}: {figures.verifications / spent:,.0f} verifications per second, "
                    f"{figures.false_rejects} false rejects, {figures.false_accepts} false accepts, "
                    f"{figures.recoveries} recoveries"
                )
        for one in left_out[:8]:
            console.print(f"  left out {one['case']}: {one['why']}", markup=False)
        report[suite] = {"left_out": left_out} | {name: vars(figures) for name, figures in found.items()}
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    main()
