"""Regular expressions with known verdicts: 4,103 of Python's `re`, and ECMA-262's as V8 gives them."""

from __future__ import annotations

import gzip
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.automaton_simulator import accepts
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.errors import GrammarSyntaxError, UnsatisfiableGrammarError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.regex import regex_grammar
from grammar_engine.compiler.ir import EagerGrammar
from grammar_engine.compiler.spelling import to_utf8

_ROOT = Path(__file__).resolve().parents[2]
_SHARED = Path(os.environ.get("GRAMMAR_ENGINE_SHARED", _ROOT.parent / "shared"))
_CORPUS = _SHARED / "data" / "corpora" / "regex_cases.jsonl.gz"
_ECMA = json.loads(Path(__file__).with_name("ecma_regex.json").read_text())


def _matches(grammar: EagerGrammar, text: str) -> bool:
    if not text:
        return grammar.accepts_empty
    return any(
        isinstance(terminal.automaton, ByteAutomaton) and accepts(terminal.automaton, text.encode())
        for terminal in grammar.terminals
    )


@pytest.mark.skipif(not _CORPUS.exists(), reason=f"{_CORPUS} is not here (set GRAMMAR_ENGINE_SHARED)")
def test_every_verdict_of_the_corpus() -> None:
    with gzip.open(_CORPUS, "rt", encoding="utf-8") as lines:
        cases: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert len(cases) == 4103

    @cache
    def compile_once(pattern: str) -> EagerGrammar | UnsupportedGrammarError | None:
        try:
            return regex_grammar(pattern)
        except UnsatisfiableGrammarError:
            return None
        except UnsupportedGrammarError as error:
            return error

    wrong: list[tuple[str, str]] = []
    refused: dict[str, UnsupportedGrammarError] = {}
    for case in cases:
        grammar = compile_once(case["pattern"])
        if isinstance(grammar, UnsupportedGrammarError):
            refused[case["pattern"]] = grammar
        elif (grammar is not None and _matches(grammar, case["text"])) != case["valid"]:
            wrong.append((case["pattern"], case["text"]))
    assert not wrong
    # Look-around is carried too: all that is left to refuse are back-references.
    assert {error.construct.split(" to ")[0] for error in refused.values()} == {"the back-reference"}
    assert len(refused) == 9


@pytest.mark.parametrize("case", _ECMA["cases"], ids=lambda case: case["pattern"])
def test_ecma_verdicts(case: dict[str, Any]) -> None:
    pattern = case["pattern"]
    if case["mode"] is None:
        with pytest.raises((GrammarSyntaxError, UnsupportedGrammarError)):
            CharAutomaton.from_regex(pattern, search=True, dialect="ecma")
        return
    try:
        automaton = CharAutomaton.from_regex(pattern, search=True, dialect="ecma")
    except UnsupportedGrammarError as error:
        refused = ("the back-reference", "the octal escape", "the escape", "the property")
        assert error.construct.startswith(refused)  # noqa: PT017
        return
    except GrammarSyntaxError:
        assert case["mode"] == ""  # Annex B only: \u{110000} is 110,000 times "u" there
        return
    bytewise = to_utf8(automaton) if any(edge.label for edge in automaton.states[0]) else None
    for text in _ECMA["texts"]:
        expected = text in case["matches"]
        assert automaton.accepts(text) == expected, text
        if text and bytewise is not None:
            assert accepts(bytewise, text.encode()) == expected, text
