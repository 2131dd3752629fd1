"""Lark's own test grammars with texts that Lark judged: 2,216 verdicts.

`lark_cases.jsonl.gz` comes with the shared data (see its README); each case names the options for ``lark.Lark``.
The suite runs a sample; GRAMMAR_ENGINE_ALL_CASES=1 runs them all.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path

import pytest
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.errors import GrammarEngineError, GrammarSyntaxError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.lark import lark_grammar
from grammar_engine.compiler.frontends.lark_source import LarkGrammar
from grammar_engine.compiler.vocabulary import Vocabulary
from lark.indenter import Indenter

from grammar_engine.matcher import Matcher

SHARED = Path(os.environ.get("GRAMMAR_ENGINE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
CASES = SHARED / "data" / "corpora" / "lark_cases.jsonl.gz"
ALL = os.environ.get("GRAMMAR_ENGINE_ALL_CASES") == "1"
STEP = 1 if ALL else 4
TREE_ONLY = {"ambiguity", "priority"}  # options of lark.Lark that don't change Earley's verdict


def compile_case(case: dict) -> LarkGrammar:
    options = {name: value for name, value in case["options"].items() if name not in TREE_ONLY}
    options.setdefault("parser", "earley")  # lark.Lark's default
    if "postlex" in options:
        options["postlex"] = type(options["postlex"], (Indenter,), options.pop("postlex_fields", {}))
    return lark_grammar(case["grammar"], **options)


def accepts(compiled: CompiledGrammar, text: bytes) -> bool:
    matcher = Matcher(compiled)
    return (not text or matcher.accept_bytes(text)) and matcher.is_accepting()


@pytest.fixture(scope="module")
def report() -> tuple[Counter, Counter, list]:
    """Counts of right, wrong and refused; reasons of refusal; the wrong cases."""
    if not CASES.exists():
        pytest.skip(f"no shared data at {CASES}")
    with gzip.open(CASES, "rt", encoding="utf-8") as lines:
        cases = [json.loads(line) for line in lines][::STEP]
    tokens = [bytes([byte]) for byte in range(256)]
    compiler = GrammarCompiler(Vocabulary([*tokens, None], stop_token_ids=[256], special_token_ids=[256]), cache_dir="")
    compiled: dict[str, CompiledGrammar | GrammarEngineError] = {}
    counts: Counter = Counter()
    reasons: Counter = Counter()
    wrong = []
    for case in cases:
        key = json.dumps([case["grammar"], case["options"]], sort_keys=True)
        if key not in compiled:
            try:
                compiled[key] = compiler.compile_grammar(compile_case(case))
            except GrammarEngineError as error:
                compiled[key] = error
        grammar = compiled[key]
        text = case["text"].encode()
        if isinstance(grammar, GrammarEngineError):
            counts["refused"] += 1
            reasons[_reason(grammar)] += 1
        elif accepts(grammar, text) == case["valid"]:
            counts["right"] += 1
        else:
            counts["wrong"] += 1
            wrong.append((case["id"], case["options"], case["grammar"], case["text"], case["valid"]))
    if ALL:
        print(counts, reasons)
    return counts, reasons, wrong


def _reason(error: GrammarEngineError) -> str:
    if isinstance(error, UnsupportedGrammarError):
        return error.construct
    if isinstance(error, GrammarSyntaxError) and error.reason.startswith("cannot import"):
        return "an imported file that the case does not carry"
    return f"{type(error).__name__}: {error}"


def test_no_verdict_is_wrong(report: tuple[Counter, Counter, list]) -> None:
    counts, _, wrong = report
    assert not wrong, wrong[:3]
    assert counts["right"] >= 0.95 * sum(counts.values()), counts


def test_refusals_are_the_known_ones(report: tuple[Counter, Counter, list]) -> None:
    _, reasons, _ = report
    assert set(reasons) <= {
        "an imported file that the case does not carry",
        "a postlexer with parser='cyk'",
        "a postlexer with parser='earley'",
        "postlex=<class 'abc.TestPostLexer'>",
    }
