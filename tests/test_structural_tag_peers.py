"""The structural tags that XGrammar itself makes for the chat formats it knows: read, and judged alike on random texts.

Texts are random walks through our grammar, and random rows of the tag's own literals; both must be accepted by both or
by none.
"""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.errors import GrammarEngineError
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

xgrammar = pytest.importorskip("xgrammar", reason="xgrammar is not installed")

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "now", "parameters": NOTHING}},
]
CHOICES: tuple[Any, ...] = ("auto", "required", {"type": "function", "function": {"name": "weather"}})
MODELS = sorted(xgrammar.builtin_structural_tag._structural_tag_registry)
LITERAL = re.compile(r'"(?:value|begin|end)":"((?:[^"\\]|\\.)*)"')


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokens = [bytes([byte]) for byte in range(256)]
    return GrammarCompiler(Vocabulary([*tokens, None], stop_token_ids=[256]), cache_dir="")


def walk(compiled: CompiledGrammar, rng: random.Random, literals: list[str]) -> str:
    """A text that the grammar allows, or the beginning of one; often by the texts of the tag."""
    matcher = Matcher(compiled)
    text = b""
    for _ in range(rng.randint(1, 60)):
        step = matcher.jump_forward_bytes()
        if not step and rng.random() < 0.3:
            fitting = [text for text in literals if text and matcher.fork().accept_bytes(text.encode())]
            step = rng.choice(fitting).encode() if fitting else b""
        if not step:
            allowed = [token for token in matcher.allowed_token_ids().tolist() if token < 128]
            if not allowed:
                break
            marks = [token for token in allowed if token in b'<{"[}]>|abdcityn 1:/f=']
            step = bytes([rng.choice(marks if marks and rng.random() < 0.9 else allowed)])
        assert matcher.accept_bytes(step)
        text += step
        if matcher.is_accepting() and rng.random() < 0.1:
            break
    return text.decode()


@pytest.mark.parametrize("model", MODELS)
def test_both_judge_alike(model: str, compiler: GrammarCompiler) -> None:
    from xgrammar.testing import _is_grammar_accept_string as accepts

    rng = random.Random(model)
    verdicts = []
    for choice in CHOICES:
        for reasoning in ("enabled", "disabled", "auto"):
            for parallel in (True, False):
                tag = xgrammar.get_model_structural_tag(
                    model, TOOLS, choice, reasoning=reasoning, parallel_tool_calls=parallel
                )
                written = tag.model_dump_json()
                compiled = compiler.compile_structural_tag(written)
                theirs = xgrammar.Grammar.from_structural_tag(tag)
                literals = [json.loads(f'"{text}"') for text in LITERAL.findall(written)]
                literals += ['{"city": "x"}', "{}", "hi", "<think>", "</think>", "\n\n"]
                for number in range(8):
                    pieces = [rng.choice(literals) for _ in range(rng.randint(1, 6))]
                    text = "".join(pieces) if number % 2 else walk(compiled, rng, literals)
                    matcher = Matcher(compiled)
                    ours = matcher.accept_bytes(text.encode()) and matcher.is_accepting()
                    assert ours == accepts(theirs, text), (choice, reasoning, parallel, text)
                    verdicts.append(ours)
    assert 3 < sum(verdicts) < len(verdicts)


@pytest.mark.parametrize("kind", ["triggered_tags", "tags_with_separator"])
@pytest.mark.parametrize("named", [{}, {"type": "tag"}, {"type": "sequence"}])
def test_tags_in_a_list_need_no_type(kind: str, named: dict[str, str], compiler: GrammarCompiler) -> None:
    one = {**named, "begin": "<f>", "content": {"type": "const_string", "value": "x"}, "end": "</f>"}
    options = {"triggers": ["<f"]} if kind == "triggered_tags" else {"separator": ","}
    tag = {"type": "structural_tag", "format": {"type": kind, "tags": [one], **options}}
    if named == {"type": "sequence"}:
        with pytest.raises(RuntimeError):
            xgrammar.Grammar.from_structural_tag(json.dumps(tag))
        with pytest.raises(GrammarEngineError, match="/format/tags/0"):
            compiler.compile_structural_tag(tag)
        return
    theirs = xgrammar.testing._is_grammar_accept_string(
        xgrammar.Grammar.from_structural_tag(json.dumps(tag)), "<f>x</f>"
    )
    matcher = Matcher(compiler.compile_structural_tag(tag))
    assert theirs
    assert matcher.accept_bytes(b"<f>x</f>")
    assert matcher.is_accepting()
