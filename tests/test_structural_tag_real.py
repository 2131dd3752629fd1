"""Structural tags on a real vocabulary: masks at places of a text equal brute force over all tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.integrations.openai import chat_constraint
from grammar_engine.matcher import Matcher

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("weather", "weather_map")]


@pytest.fixture(scope="module")
def compiler(shared_data: Path) -> GrammarCompiler:
    file = shared_data / "tokenizers" / "smollm2_tokenizer.json.gz"
    if not file.exists():
        pytest.skip(f"no tokenizer at {file}")
    return GrammarCompiler(Vocabulary.from_huggingface(file), cache_dir="")


def tokens_of(text: bytes, vocabulary: Vocabulary) -> list[int]:
    """The text by its longest tokens."""
    by_bytes = {token: token_id for token_id, token in enumerate(vocabulary.tokens) if token is not None}
    out = []
    while text:
        size = next(size for size in range(16, 0, -1) if text[:size] in by_bytes)
        out.append(by_bytes[text[:size]])
        text = text[size:]
    return out


def check_masks(compiled: CompiledGrammar, text: str, places: int, vocabulary: Vocabulary) -> None:
    token_ids = tokens_of(text.encode(), vocabulary)
    matcher = Matcher(compiled)
    for number, token_id in enumerate(token_ids):
        if number % max(1, len(token_ids) // places) == 0:
            allowed = set(matcher.allowed_token_ids().tolist())
            for other, token in enumerate(vocabulary.tokens):
                if token is None:
                    expected = other in vocabulary.stop_token_ids and matcher.is_accepting()
                elif matcher.accept_bytes(token):
                    matcher.rollback(1)
                    expected = True
                else:
                    expected = False
                assert (other in allowed) == expected, (text, number, token)
        assert matcher.accept_token(token_id)
    assert matcher.is_accepting()


def test_tool_calls_in_text(compiler: GrammarCompiler) -> None:
    constraint = chat_constraint(tools=TOOLS, reasoning="optional")
    arguments = json.dumps({"city": 'Paris "é"', "x": [1, {"y": 2}], "z": None})
    call = f'<tool_call>\n{{"name": "weather", "arguments": {arguments}}}\n</tool_call>'
    text = f"<think>hm</think>\n\nLet me look < it up: {call}\n{call} done"
    check_masks(constraint.compile(compiler), text, 9, compiler.vocabulary)


def test_other_formats(compiler: GrammarCompiler) -> None:
    def tag(begin: str, content: Any, end: Any) -> dict[str, Any]:
        return {"type": "tag", "begin": begin, "content": content, "end": end}

    numbers = tag("<n>", {"type": "regex", "pattern": "[0-9]{1,3}"}, "</n>")
    nested = tag("<g>", {"type": "grammar", "grammar": 'root ::= "(" root? ")"'}, "")
    listed = {"type": "tags_with_separator", "separator": ", ", "tags": [numbers, nested]}
    before = tag("", {"type": "any_text", "max_chars": 40}, ["</a>", "\n\n"])
    whole = {"type": "sequence", "elements": [before, listed]}
    compiled = compiler.compile_structural_tag({"type": "structural_tag", "format": whole})
    check_masks(compiled, "some text 日本 here\n\n<n>12</n>, <g>((())), <n>7</n>", 8, compiler.vocabulary)
