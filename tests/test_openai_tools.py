"""Requests in OpenAI's form: what is refused and where, and messages of each chat format, written, matched and read.

The writers here follow the models' own chat templates and know nothing of the grammars; what they write must be
accepted and read back as it was, and what is accepted of their mutants must be the writing of what is read.
"""

from __future__ import annotations

import json
import random
import re
from typing import Any

import jsonschema
import pytest
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.errors import (
    GrammarEngineError,
    InvalidSchemaError,
    UnsatisfiableGrammarError,
    UnsupportedSchemaError,
)
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.integrations.openai import NAMES, ChatConstraint, chat_constraint, format_of_template
from grammar_engine.matcher import Matcher

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "…", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "now"}},
]
SCHEMAS = {"weather": WEATHER, "now": {"type": "object", "maxProperties": 0}}
Calls = list[tuple[str, str]]


def hermes(content: str, calls: Calls) -> str:
    blocks = [f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>' for name, arguments in calls]
    return content + "\n".join(blocks)


def llama3(content: str, calls: Calls) -> str:
    return content + "; ".join(f'{{"name": "{name}", "parameters": {arguments}}}' for name, arguments in calls)


def mistral(content: str, calls: Calls) -> str:
    inner = ", ".join(f'{{"name": "{name}", "arguments": {arguments}}}' for name, arguments in calls)
    return f"{content}[TOOL_CALLS][{inner}]" if calls else content


def mistral11(content: str, calls: Calls) -> str:
    return content + "".join(f"[TOOL_CALLS]{name}[ARGS]{arguments}" for name, arguments in calls)


def deepseek_v3(content: str, calls: Calls) -> str:
    begin, end = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
    inner = "\n".join(f"{begin}{name}\n```json\n{arguments}\n```{end}" for name, arguments in calls)
    return f"{content}<｜tool▁calls▁begin｜>{inner}<｜tool▁calls▁end｜>" if calls else content


def deepseek_v3_1(content: str, calls: Calls) -> str:
    blocks = [f"<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜>" for name, arguments in calls]
    return f"{content}<｜tool▁calls▁begin｜>{''.join(blocks)}<｜tool▁calls▁end｜>" if calls else content


def qwen_xml(content: str, calls: Calls) -> str:
    out = []
    for name, arguments in calls:
        values = json.loads(arguments)
        lines = [
            f"<parameter={key}>\n{value if isinstance(value, str) else json.dumps(value)}\n</parameter>\n"
            for key, value in values.items()
        ]
        out.append(f"<tool_call>\n<function={name}>\n{''.join(lines)}</function>\n</tool_call>")
    return content + "\n".join(out)


def harmony(content: str, calls: Calls) -> str:
    if not calls:
        return f"<|channel|>final<|message|>{content}"
    before = f"<|channel|>commentary<|message|>{content}<|end|><|start|>assistant" if content else ""
    name, arguments = calls[0]
    return f"{before}<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{arguments}<|call|>"


WRITERS = {
    writer.__name__: writer
    for writer in (hermes, llama3, mistral, mistral11, deepseek_v3, deepseek_v3_1, qwen_xml, harmony)
}


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokens = [bytes([byte]) for byte in range(256)]
    return GrammarCompiler(Vocabulary([*tokens, None], stop_token_ids=[256]), cache_dir="")


def accepts(compiled: CompiledGrammar, text: str) -> bool:
    matcher = Matcher(compiled)
    return matcher.accept_bytes(text.encode()) and matcher.is_accepting()


def random_content(rng: random.Random) -> str:
    words = ["", "Hello", " é<", '{"name"', "}", "<tool", "\n", "[TOOL", "日本", '"a": 1', "</", "x"]
    return "".join(rng.choice(words) for _ in range(rng.randint(0, 4)))


def random_calls(rng: random.Random, most: int) -> Calls:
    out = []
    for _ in range(rng.randint(0, most)):
        if rng.random() < 0.3:
            out.append(("now", "{}"))
            continue
        city = rng.choice(["Paris", 'a"b', "}]<", "\\", "x\ny", "", "{[", "日本", "</tool_call>"])
        values: dict[str, Any] = {"city": city, **({"days": rng.randint(-5, 99)} if rng.random() < 0.5 else {})}
        out.append(("weather", json.dumps(values, ensure_ascii=rng.random() < 0.5)))
    return out


def test_every_format_has_a_writer() -> None:
    assert set(NAMES) == set(WRITERS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("choice", ["auto", "required", "none", "weather"])
def test_messages_are_read_as_they_were_written(name: str, choice: str, compiler: GrammarCompiler) -> None:
    rng = random.Random(f"{name} {choice}")
    named = {"type": "function", "function": {"name": choice}}
    constraint = chat_constraint(tools=TOOLS, tool_choice=named if choice == "weather" else choice, chat_format=name)
    compiled = constraint.compile(compiler)
    write = WRITERS[name]
    written = 0
    for _ in range(150):
        content, calls = random_content(rng), random_calls(rng, 1 if name == "harmony" or choice == "weather" else 3)
        expected = {
            "auto": True,
            "required": bool(calls) and not content,
            "none": not calls,
            "weather": [call[0] for call in calls] == ["weather"] and not content,
        }[choice]
        text = write(content, calls)
        if expected:
            written += 1
            assert accepts(compiled, text), text
            message = constraint.read(text)
            found = [(call.name, call.arguments) for call in message.tool_calls]
            if name == "qwen_xml":
                calls = [(called, json.dumps(json.loads(given), ensure_ascii=False)) for called, given in calls]
            assert found == calls, text
            assert message.content == (None if calls and not content.strip() else content), text
            assert message.finish_reason == ("tool_calls" if calls else "stop")
            assert len({call.id for call in message.tool_calls}) == len(calls)
        elif choice != "none" or calls:
            assert not accepts(compiled, text), text
        check_mutant(constraint, compiled, text, rng)
    assert written > 5


def check_mutant(constraint: ChatConstraint, compiled: CompiledGrammar, text: str, rng: random.Random) -> None:
    """What is accepted can be read, and its calls are calls of the tools with valid arguments."""
    begin, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    mutant = text[:begin] + text[end:] if rng.random() < 0.5 else text[:end] + text[begin:]
    if accepts(compiled, mutant):
        message = constraint.read(mutant)
        for call in message.tool_calls:
            jsonschema.validate(json.loads(call.arguments), SCHEMAS[call.name])
            assert call.as_dict()["function"] == {"name": call.name, "arguments": call.arguments}


@pytest.mark.parametrize("name", NAMES)
def test_one_call_at_most(name: str, compiler: GrammarCompiler) -> None:
    constraint = chat_constraint(tools=TOOLS, parallel_tool_calls=False, chat_format=name)
    compiled = constraint.compile(compiler)
    write = WRITERS[name]
    assert accepts(compiled, write("hi", [("now", "{}")]))
    assert accepts(compiled, write("hi", []))
    if name != "harmony":
        assert not accepts(compiled, write("hi", [("now", "{}"), ("now", "{}")]))
        assert not accepts(compiled, write("", [("now", "{}")]) + write("", [("now", "{}")]))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "harmony"])
@pytest.mark.parametrize("reasoning", ["open", "required", "optional"])
def test_reasoning_is_free_until_it_closes(name: str, reasoning: str, compiler: GrammarCompiler) -> None:
    opening, closing = ("[THINK]", "[/THINK]") if name.startswith("mistral") else ("<think>", "</think>")
    thought = 'so {"name": "x"} <tool_call> [TOOL_CALLS] \n'
    for choice in ("auto", "required"):
        constraint = chat_constraint(tools=TOOLS, tool_choice=choice, chat_format=name, reasoning=reasoning)
        compiled = constraint.compile(compiler)
        for calls in ([("now", "{}")], []):
            body = WRITERS[name]("", calls) if calls else "yes"
            text = ("" if reasoning == "open" else opening) + thought + closing + "\n\n" + body
            assert accepts(compiled, text) == (bool(calls) or choice == "auto")
            message = constraint.read(text)
            assert message.reasoning == thought.strip("\n")
            assert [call.name for call in message.tool_calls] == [call[0] for call in calls]
            assert message.content == (None if calls else "yes")
            assert accepts(compiled, body) == (reasoning == "optional" and (bool(calls) or choice == "auto"))
            assert not accepts(compiled, text.replace(closing, ""))


def test_reasoning_in_harmony(compiler: GrammarCompiler) -> None:
    analysis = "<|channel|>analysis<|message|>hm {<|end|><|start|>assistant"
    for reasoning, expected in (("optional", True), ("none", False)):
        constraint = chat_constraint(tools=TOOLS, chat_format="harmony", reasoning=reasoning)
        compiled = constraint.compile(compiler)
        text = analysis * 2 + harmony("", [("now", "{}")])
        assert accepts(compiled, text) == expected
        assert constraint.read(text).reasoning == "hm {\nhm {"
        other = text.replace("commentary to=functions.now <|constrain|>json", "commentary json").replace(
            "assistant<|channel|>commentary", "assistant to=functions.now<|channel|>commentary"
        )
        assert accepts(compiled, other) == expected
        assert constraint.read(other).tool_calls[0].name == "now"


@pytest.mark.parametrize("name", NAMES)
def test_json_beside_tools(name: str, compiler: GrammarCompiler) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    given = {"type": "json_schema", "json_schema": {"name": "out", "schema": schema, "strict": True}}
    constraint = chat_constraint(tools=TOOLS, response_format=given, chat_format=name)
    compiled = constraint.compile(compiler)
    answer = '{"n": 1, "name": [2]}'
    text = f"<|channel|>final<|message|>{answer}" if name == "harmony" else answer
    assert accepts(compiled, text)
    assert constraint.read(text).content == answer
    call = WRITERS[name]("", [("weather", '{"city": "x"}')])
    call = "<|python_tag|>" + call if name == "llama3" else call
    assert accepts(compiled, call)
    assert constraint.read(call).tool_calls[0].arguments == '{"city": "x"}'
    assert not accepts(compiled, WRITERS[name]("hi", []))
    assert not accepts(compiled, text.replace("1", '"x"'))
    required = chat_constraint(tools=TOOLS, tool_choice="required", response_format=given, chat_format=name)
    compiled = required.compile(compiler)
    assert accepts(compiled, call)
    assert not accepts(compiled, text)


def test_response_formats_without_tools(compiler: GrammarCompiler) -> None:
    def verdicts(response_format: Any, *texts: str) -> list[bool]:
        compiled = chat_constraint(response_format=response_format).compile(compiler)
        return [accepts(compiled, text) for text in texts]

    texts = ("", "hi <tool_call>", "{}", '{"a": 1}', "[1]", '{"n": 1}')
    assert verdicts(None, *texts) == [True] * 6
    assert verdicts({"type": "text"}, *texts) == [True] * 6
    assert verdicts({"type": "json_object"}, *texts) == [False, False, True, True, False, True]
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    named = {"name": "x", "schema": schema}
    assert verdicts({"type": "json_schema", "json_schema": named}, *texts) == [False] * 5 + [True]
    loose = {"type": "json_schema", "json_schema": {**named, "strict": False}}
    assert verdicts(loose, *texts) == [False, False, True, True, True, True]
    tag = {"type": "structural_tag", "format": {"type": "const_string", "value": "{}"}}
    assert verdicts(tag, *texts) == [False, False, True, False, False, False]


def test_what_strict_means(compiler: GrammarCompiler) -> None:
    for strict, expected in ((None, False), (True, False), (False, True)):
        function = {"name": "weather", "parameters": WEATHER, "strict": strict}
        constraint = chat_constraint(tools=[{"type": "function", "function": function}], tool_choice="required")
        compiled = constraint.compile(compiler)
        assert accepts(compiled, hermes("", [("weather", '{"city": "x"}')]))
        assert accepts(compiled, hermes("", [("weather", '{"other": 1}')])) == expected
        assert not accepts(compiled, hermes("", [("weather", "[]")]))


def test_allowed_tools(compiler: GrammarCompiler) -> None:
    listed = [{"type": "function", "function": {"name": "now"}}]
    for mode, expected in (("auto", True), ("required", False)):
        choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": listed}}
        compiled = chat_constraint(tools=TOOLS, tool_choice=choice).compile(compiler)
        assert accepts(compiled, hermes("", [("now", "{}")]))
        assert not accepts(compiled, hermes("", [("weather", '{"city": "x"}')]))
        assert accepts(compiled, "hi") == expected


def function(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", **fields}}


REFUSED: list[tuple[dict[str, Any], type[GrammarEngineError], str]] = [
    ({"tools": {}}, InvalidArgumentError, "/tools"),
    ({"tools": [1]}, InvalidArgumentError, "/tools/0"),
    ({"tools": [{"type": "web_search"}]}, InvalidArgumentError, "/tools/0/type"),
    ({"tools": [{"type": "function", "name": "f"}]}, InvalidArgumentError, "/tools/0/name"),
    ({"tools": [function(name="a b")]}, InvalidArgumentError, "/tools/0/function/name"),
    ({"tools": [function(name='a"')]}, InvalidArgumentError, "/tools/0/function/name"),
    ({"tools": [function(), function()]}, InvalidArgumentError, "/tools/1/function/name"),
    ({"tools": [function(strict="yes")]}, InvalidArgumentError, "/tools/0/function/strict"),
    ({"tools": [function(schema={})]}, InvalidArgumentError, "/tools/0/function/schema"),
    ({"tools": [function(parameters=[])]}, InvalidSchemaError, "/tools/0/function/parameters"),
    ({"tools": [function(parameters={"type": "array"})]}, InvalidSchemaError, "/tools/0/function/parameters/type"),
    (
        {"tools": [function(name="g"), function(parameters={"properties": {"a": {"type": "int"}}})]},
        InvalidSchemaError,
        "/tools/1/function/parameters/properties/a/type",
    ),
    (
        {"tools": [function(parameters={"properties": {"a": {"pattern": "(a)\\1"}}})]},
        UnsupportedSchemaError,
        "/tools/0/function/parameters/properties/a/pattern",
    ),
    (
        {"tools": [function(parameters={"properties": {"a": False}, "required": ["a"]})]},
        UnsatisfiableGrammarError,
        "/tools/0/function/parameters",
    ),
    (
        {"tools": [function(parameters={"minProperties": 1})], "chat_format": "qwen_xml"},
        UnsupportedSchemaError,
        "/tools/0/function/parameters/minProperties",
    ),
    ({"tool_choice": "auto"}, InvalidArgumentError, "/tool_choice"),
    ({"tools": [], "tool_choice": "required"}, InvalidArgumentError, "/tool_choice"),
    ({"tools": TOOLS, "tool_choice": "any"}, InvalidArgumentError, "/tool_choice"),
    ({"tools": TOOLS, "tool_choice": {"type": "x"}}, InvalidArgumentError, "/tool_choice/type"),
    (
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "g"}}},
        InvalidArgumentError,
        "/tool_choice/function/name",
    ),
    (
        {"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}},
        InvalidArgumentError,
        "/tool_choice/allowed_tools/tools",
    ),
    ({"tools": TOOLS, "parallel_tool_calls": 1}, InvalidArgumentError, "/parallel_tool_calls"),
    ({"response_format": "json"}, InvalidArgumentError, "/response_format"),
    ({"response_format": {"type": "json"}}, InvalidArgumentError, "/response_format/type"),
    ({"response_format": {"type": "json_object", "schema": {}}}, InvalidArgumentError, "/response_format/schema"),
    ({"response_format": {"type": "json_schema"}}, InvalidArgumentError, "/response_format"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        InvalidArgumentError,
        "/response_format/json_schema",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"minimum": "a"}}}},
        InvalidSchemaError,
        "/response_format/json_schema/schema/minimum",
    ),
    (
        {"response_format": {"type": "structural_tag", "format": {"type": "any_text", "excludes": [""]}}},
        InvalidSchemaError,
        "/response_format/format/excludes/0",
    ),
    (
        {"response_format": {"type": "structural_tag", "format": {}}, "tools": TOOLS},
        InvalidArgumentError,
        "/response_format",
    ),
    ({"chat_format": "x"}, InvalidArgumentError, "chat_format"),
    ({"reasoning": "x"}, InvalidArgumentError, "reasoning"),
]


@pytest.mark.parametrize(("given", "kind", "place"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_what_is_refused(
    given: dict[str, Any], kind: type[GrammarEngineError], place: str, compiler: GrammarCompiler
) -> None:
    with pytest.raises(kind) as caught:
        chat_constraint(**given).compile(compiler)
    where = getattr(caught.value, "argument", None) or getattr(caught.value, "pointer", None) or str(caught.value)
    assert place in where if kind is UnsatisfiableGrammarError else place == where


@pytest.mark.parametrize("name", NAMES)
def test_texts_that_are_cut_off_are_not_read(name: str) -> None:
    constraint = chat_constraint(tools=TOOLS, tool_choice="required", chat_format=name)
    text = WRITERS[name]("", [("weather", '{"city": "x"}')])
    assert constraint.read(text).tool_calls
    with pytest.raises(InvalidArgumentError, match="not a complete message"):
        constraint.read(text[: text.index("city")])


SPECIAL = {
    "llama3": ["<|python_tag|>", "<|eot_id|>"],
    "mistral": ["[TOOL_CALLS]", "</s>"],
    "mistral11": ["[TOOL_CALLS]", "[ARGS]", "</s>"],
    "deepseek_v3_1": [
        "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>",
        "<｜tool▁sep｜>", "<eos>",
    ],
    "harmony": ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>"],
}  # fmt: skip


@pytest.mark.parametrize("name", SPECIAL)
def test_special_tokens_by_id(name: str) -> None:
    """A call by the tokens that a model has for it, token by token; letters in their place are none."""
    names = SPECIAL[name]
    ids = {special: 256 + i for i, special in enumerate(names)}
    stops = [ids[names[-1]], *([ids["<|return|>"]] if name == "harmony" else [])]
    vocabulary = Vocabulary(
        [*(bytes([b]) for b in range(256)), *([None] * len(ids))], stop_token_ids=stops, special_tokens=ids
    )
    compiler = GrammarCompiler(vocabulary, cache_dir="")
    constraint = chat_constraint(tools=TOOLS, chat_format=name)
    compiled = constraint.compile(compiler)
    city = "<|python_tag|>[TOOL_CALLS]"
    text = WRITERS[name]("hi ", [("weather", '{"city": "\0"}')])
    text = text.replace('{"name"', '<|python_tag|>{"name"', 1) if name == "llama3" else text
    pieces = re.split("(" + "|".join(map(re.escape, names)) + ")", text)
    token_ids = [
        token_id
        for piece in pieces
        for token_id in ([ids[piece]] if piece in ids else piece.replace("\0", city).encode())
    ]
    text = text.replace("\0", city)
    matcher = Matcher(compiled)
    for token_id in token_ids:
        assert token_id in matcher.allowed_token_ids()
        assert matcher.accept_token(token_id)
    assert matcher.is_accepting()
    assert matcher.is_terminated() == (name == "harmony")
    message = constraint.read(compiled.text_of(token_ids))
    assert [(call.name, json.loads(call.arguments)) for call in message.tool_calls] == [("weather", {"city": city})]
    # The same letters are no call: nothing that is accepted would be read as one.
    letters = Matcher(compiled)
    if letters.accept_bytes(text.encode()) and letters.is_accepting():
        assert name == "llama3"  # whose calls need no special token


def test_formats_of_chat_templates() -> None:
    templates = {
        "hermes": "{{ '<tool_call>\\n' }} …",
        "qwen_xml": "<tool_call> <function=…",
        "llama3": '<|python_tag|> "parameters": ',
        "mistral": "[TOOL_CALLS] [",
        "mistral11": "[TOOL_CALLS] … [ARGS]",
        "deepseek_v3": "<｜tool▁calls▁begin｜> ```json",
        "deepseek_v3_1": "<｜tool▁calls▁begin｜>",
        "harmony": "<|channel|> <|message|>",
    }
    assert {name: format_of_template(template) for name, template in templates.items()} == {
        name: name for name in templates
    }
    assert format_of_template("{{ messages }}") is None
