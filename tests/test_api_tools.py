"""generate and stream with tools and with structural tags, on the tiny model."""

from __future__ import annotations

import json
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

import grammar_engine as ge
from grammar_engine.integrations.openai import ChatMessage, chat_constraint

PARAMETERS = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 99}}, "required": ["n"]}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {**PARAMETERS, "additionalProperties": False}}}]


def test_a_required_call(tiny_pair: tuple[Any, Any]) -> None:
    constraint = chat_constraint(tools=TOOLS, tool_choice="required", parallel_tool_calls=False)
    message = ge.generate("call it", tools=constraint, model=tiny_pair, max_tokens=80)
    assert isinstance(message, ChatMessage)
    assert message.content is None
    (call,) = message.tool_calls
    assert call.name == "f"
    assert list(json.loads(call.arguments)) == ["n"]


def test_calls_in_a_batch_and_in_a_stream(tiny_pair: tuple[Any, Any]) -> None:
    constraint = chat_constraint(tools=TOOLS, chat_format="mistral", parallel_tool_calls=False)
    found = ge.generate(["a", "b"], tools=constraint, model=tiny_pair, sampler=ge.Sample(), seed=3, max_tokens=60)
    assert all(isinstance(message, ChatMessage) for message in found)
    *pieces, message = ge.stream("a", tools=constraint, model=tiny_pair, max_tokens=60)
    assert constraint.read("".join(pieces)) == message


def test_a_structural_tag(tiny_pair: tuple[Any, Any]) -> None:
    content = {"type": "json_schema", "json_schema": {"enum": [1, 2]}}
    tag = {"type": "structural_tag", "format": {"type": "tag", "begin": "<a>", "content": content, "end": "</a>"}}
    for given in (tag, json.dumps(tag)):
        text = ge.generate("a", structural_tag=given, model=tiny_pair)
        assert json.loads(text.removeprefix("<a>").removesuffix("</a>")) in (1, 2)


def test_special_tokens_are_generated_and_shown(tiny_pair: tuple[Any, Any]) -> None:
    own = ge.load_model(tiny_pair).vocabulary
    name, token_id = "<|call|>", 400  # of the logits that stand for nothing
    vocabulary = ge.Vocabulary(own.tokens, stop_token_ids=own.stop_token_ids, special_tokens={name: token_id})
    model = ge.Model(*tiny_pair, compiler=ge.GrammarCompiler(vocabulary, cache_dir=""))
    content = {"type": "regex", "pattern": "[ab]{2}"}
    tag = {"type": "structural_tag", "format": {"type": "tag", "begin": f"{name}x", "content": content, "end": name}}
    for drafts in (0, 4):
        found = ge.generate("a", structural_tag=tag, model=model, details=True, drafts=drafts)
        assert found.text[: len(name) + 1] == name + "x"
        assert found.text.endswith(name)
        assert found.token_ids[0] == found.token_ids[-1] == token_id
        pieces = [*ge.stream("a", structural_tag=tag, model=model, drafts=drafts)][:-1]
        assert "".join(pieces) == found.text


def test_arguments(tiny_pair: tuple[Any, Any]) -> None:
    with pytest.raises(ge.InvalidArgumentError, match="structural_tag and tools"):
        ge.generate("a", structural_tag={}, tools=TOOLS, model=tiny_pair)
    with pytest.raises(ge.InvalidArgumentError, match="chat template"):
        ge.generate("a", tools=TOOLS, model=tiny_pair)
    with pytest.raises(ge.InvalidSchemaError):
        ge.generate("a", structural_tag={}, model=tiny_pair)
    with pytest.raises(ge.InvalidArgumentError, match="structural_tag"):
        ge.generate("a", structural_tag=[], model=tiny_pair)  # type: ignore[arg-type]


def test_the_chat_template_says_how_and_sees_the_tools(tiny_pair: tuple[Any, Any]) -> None:
    network, tokenizer = tiny_pair
    seen: list[Any] = []

    class Tokenizer:
        """The tokenizer with a template that knows tools."""

        chat_template = "{{ tools }} <tool_call>"

        def __getattr__(self, name: str) -> Any:
            return getattr(tokenizer, name)

        def __call__(self, text: str) -> Any:
            return tokenizer(text)

        def apply_chat_template(self, messages: Any, **options: Any) -> Any:
            seen.append(options["tools"])
            return tokenizer(str(messages))

    compiler = ge.load_model(tiny_pair).compiler
    model = ge.Model(network, Tokenizer(), compiler=compiler)
    message = ge.generate("call", tools=TOOLS, model=model, max_tokens=60)
    assert isinstance(message, ChatMessage)
    assert seen == [TOOLS]
