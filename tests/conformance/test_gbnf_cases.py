"""llama.cpp's own grammars and texts: 43 grammars that it reads or refuses, 604 texts that it judged.

``gbnf.jsonl.gz`` and ``gbnf_cases.jsonl.gz`` come with the shared data (see its README). Nothing is left out: a grammar
that is refused counts as a wrong verdict for each of its texts.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.errors import GrammarEngineError
from grammar_engine.compiler.frontends.gbnf.grammar import gbnf_grammar
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher


def records(folder: Path, name: str) -> list[dict[str, Any]]:
    path = folder / "corpora" / name
    if not path.exists():
        pytest.skip(f"no shared data at {path}")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_grammars_are_read_or_refused_as_by_llama_cpp(shared_data: Path) -> None:
    wrong = []
    for record in records(shared_data, "gbnf.jsonl.gz"):
        try:
            gbnf_grammar(record["text"])
            valid = True
        except GrammarEngineError:
            valid = False
        if valid != record["valid"]:
            wrong.append(record["id"])
    assert not wrong


def test_verdicts_are_those_of_llama_cpp(shared_data: Path) -> None:
    tokens = [bytes([byte]) for byte in range(256)]
    compiler = GrammarCompiler(Vocabulary([*tokens, None], stop_token_ids=[256], special_token_ids=[256]), cache_dir="")
    compiled: dict[str, CompiledGrammar] = {}
    wrong = []
    cases = records(shared_data, "gbnf_cases.jsonl.gz")
    for case in cases:
        if case["grammar"] not in compiled:
            compiled[case["grammar"]] = compiler.compile_gbnf(case["grammar"])
        matcher = Matcher(compiled[case["grammar"]])
        text = case["text"].encode()
        alive = not text or matcher.accept_bytes(text)
        if (alive and matcher.is_accepting()) != case["valid"]:
            wrong.append(case["id"])
        if case.get("op") == "truncate" and not alive:
            wrong.append(f"{case['id']} (dead)")
    assert len(cases) > 500
    assert not wrong
