"""generate, stream and their async forms on the tiny model: values, batches, arguments, errors."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import json
import re
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from pydantic import BaseModel, Field, TypeAdapter

import grammar_engine as ge


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Person(BaseModel):
    name: str = Field(max_length=12)
    age: int = Field(ge=0, le=150)
    favourite: Color
    tags: list[Literal["a", "b"]] = Field(max_length=3)


@dataclasses.dataclass
class Point:
    x: int
    y: int | None


SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "integer", "minimum": 10, "maximum": 99}, "ok": {"type": "boolean"}},
    "required": ["id", "ok"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (Person, Person),
        (Point, Point),
        (Color, Color),
        (bool, bool),
        (list[int], list),
        (dict[str, bool], dict),
        (Literal["x", "y"], str),
        (int | None, (int, type(None))),
    ],
    ids=str,
)
def test_a_type_gives_an_instance(tiny_model: Any, kind: Any, check: Any) -> None:
    for seed in range(3):
        value = ge.generate("The", schema=kind, model=tiny_model, sampler=ge.Sample(), seed=seed, max_tokens=90)
        assert isinstance(value, check)
        TypeAdapter(kind).validate_python(value)


def test_a_json_schema_gives_plain_data(tiny_model: Any, tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA), "utf-8")
    values = [
        ge.generate("The", schema=form, model=tiny_model, sampler=ge.Sample(), seed=1, max_tokens=60)
        for form in (SCHEMA, json.dumps(SCHEMA), path, str(path))
    ]
    jsonschema.validate(values[0], SCHEMA)
    assert all(value == values[0] for value in values)


def test_regex_choices_and_grammar_give_text(tiny_model: Any, tmp_path: Path) -> None:
    assert re.fullmatch("[ab]{4}", ge.generate("The", regex="[ab]{4}", model=tiny_model))
    assert ge.generate("The", choices=["yes", "no"], model=tiny_model) in {"yes", "no"}
    source = 'start: "(" start? ")" | "x"'
    path = tmp_path / "nested.lark"
    path.write_text(source, "utf-8")
    texts = [ge.generate("The", grammar=form, model=tiny_model, max_tokens=20) for form in (source, path, str(path))]
    assert re.fullmatch(r"\(*x?\)*", texts[0])
    assert texts[0].count("(") == texts[0].count(")")
    assert len(set(texts)) == 1
    json.loads(ge.generate("The", grammar="json", model=tiny_model, max_tokens=30))


def test_gbnf_as_text_path_and_name(tiny_model: Any, tmp_path: Path) -> None:
    source = 'root ::= "(" root? ")" | "x"'
    path = tmp_path / "nested.gbnf"
    path.write_text(source, "utf-8")
    texts = [ge.generate("The", grammar=form, model=tiny_model, max_tokens=20) for form in (source, path, str(path))]
    assert re.fullmatch(r"\(*x?\)*", texts[0])
    assert len(set(texts)) == 1


def test_the_forms_of_a_prompt(tiny_model: Any, tiny_pair: Any) -> None:
    options = {"regex": "[a-z]{3,8}", "model": tiny_model}
    one = ge.generate("The quick", **options)
    two = ge.generate("Once upon", **options)
    assert ge.generate(["The quick", "Once upon"], **options) == [one, two]
    assert ge.generate(["The quick"], **options) == [one]
    network, tokenizer = tiny_pair
    chatty = type(tokenizer)(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|end|>", pad_token="<|end|>", padding_side="left"
    )
    chatty.chat_template = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '. ' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Once ' }}{% endif %}"
    )
    options["model"] = (network, chatty)
    expected = ge.generate("user: The quick. Once ", regex=options["regex"], model=tiny_model)
    message = [{"role": "user", "content": "The quick"}]
    assert ge.generate("The quick", **options) == expected
    assert ge.generate(message, **options) == expected
    assert ge.generate([message, "The quick"], **options) == [expected, expected]
    plain = ge.load_model(options["model"], chat=False)
    assert ge.generate("user: The quick. Once ", regex=options["regex"], model=plain) == expected


def test_details(tiny_model: Any) -> None:
    result = ge.generate("The", schema=Point, model=tiny_model, details=True, max_tokens=60)
    assert isinstance(result, ge.Generation)
    assert isinstance(result.value, Point)
    assert TypeAdapter(Point).validate_json(result.text) == result.value
    assert tiny_model.vocabulary.decode(result.token_ids).decode() == result.text
    assert result.logprob <= result.log_weight <= 0, "a token is no more probable than all that are allowed"
    assert result.finish_reason in {"stop", "length"}
    assert result.stats.prompt_tokens == len(tiny_model.encode("The"))


def test_on_token_sees_every_token(tiny_model: Any) -> None:
    events: list[ge.TokenEvent] = []
    results = ge.generate(
        ["The", "Once"], regex="[a-zé]{5,9}", model=tiny_model, on_token=events.append, details=True, steer=False
    )
    for row, result in enumerate(results):
        mine = [event for event in events if event.row == row]
        assert "".join(event.text for event in mine) == result.text
        ids = [event.token_id for event in mine if event.token_id not in tiny_model.vocabulary.stop_token_ids]
        assert tuple(ids) == result.token_ids


def test_stream_yields_pieces_then_the_value(tiny_model: Any) -> None:
    *pieces, value = ge.stream("The", schema=SCHEMA, model=tiny_model, max_tokens=60)
    assert all(isinstance(piece, str) and piece for piece in pieces)
    assert json.loads("".join(pieces)) == value == ge.generate("The", schema=SCHEMA, model=tiny_model, max_tokens=60)
    *_, last = ge.stream("The", schema=SCHEMA, model=tiny_model, max_tokens=60, details=True)
    assert isinstance(last, ge.Generation)


def test_stream_checks_before_the_first_piece(tiny_model: Any) -> None:
    with pytest.raises(ge.InvalidArgumentError):
        ge.stream("The", model=tiny_model)
    with pytest.raises(ge.InvalidArgumentError, match="one prompt"):
        ge.stream(["The", "a"], regex="a", model=tiny_model)  # type: ignore[list-item]


def test_a_stream_can_be_left_early(tiny_model: Any) -> None:
    pieces = ge.stream("The", regex="[a-z]{30}", model=tiny_model)
    assert next(pieces)
    pieces.close()  # type: ignore[attr-defined]


def test_async_forms(tiny_model: Any) -> None:
    options: dict[str, Any] = {"regex": "[a-z]{5,9}", "model": tiny_model}

    async def both() -> tuple[list[str], list[str]]:
        texts = await asyncio.gather(ge.agenerate("The", **options), ge.agenerate("Once", **options))
        return list(texts), [item async for item in ge.astream("The", **options)]

    texts, items = asyncio.run(both())
    assert texts == [ge.generate("The", **options), ge.generate("Once", **options)]
    assert "".join(items[:-1]) == items[-1] == texts[0]


def test_async_errors_and_early_exit(tiny_model: Any) -> None:
    async def bad() -> None:
        async for _ in ge.astream("The", regex="(", model=tiny_model):
            pass

    with pytest.raises(ge.GrammarSyntaxError):
        asyncio.run(bad())

    async def early() -> str:
        async for item in ge.astream("The", regex="[a-z]{30}", model=tiny_model):
            return str(item)
        return ""

    assert asyncio.run(early())


def test_threads_share_a_model(tiny_model: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    prompts = ["The", "Once", "yes", "no"] * 3

    def ask(prompt: str) -> Any:
        return ge.generate(prompt, schema=Person, model=tiny_model, max_tokens=60)

    alone = [ask(prompt) for prompt in prompts[:4]]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, prompts)) == alone * 3


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("max_tokens", [16, 24, 40])
def test_a_tight_budget_still_gives_a_value(tiny_model: Any, seed: int, max_tokens: int) -> None:
    """An untrained model rambles; every string would go on to its end. The shortest text takes about 15 tokens."""
    value = ge.generate(
        "The", schema=SCHEMA, model=tiny_model, sampler=ge.Sample(temperature=3.0), seed=seed, max_tokens=max_tokens
    )
    jsonschema.validate(value, SCHEMA)


def test_a_budget_too_small_says_so_with_the_partial_text(tiny_model: Any) -> None:
    with pytest.raises(ge.IncompleteGenerationError) as caught:
        ge.generate("The", regex="ab{80}c", model=tiny_model, max_tokens=5)
    assert caught.value.partial_text.startswith("a")
    assert len(tiny_model.tokenizer(caught.value.partial_text)["input_ids"]) <= 5


def test_the_context_bounds_the_budget(tiny_model: Any) -> None:
    prompt = "a" * 150
    room = tiny_model.context_length - len(tiny_model.encode(prompt))
    assert 0 < room < 40
    result = ge.generate(prompt, regex='"[a-z]{1,60}"', model=tiny_model, max_tokens=500, details=True)
    assert re.fullmatch('"[a-z]{1,60}"', result.text)
    assert result.stats.tokens <= room


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, ge.InvalidArgumentError),
        ({"regex": "a", "choices": ["b"]}, ge.InvalidArgumentError),
        ({"schema": int, "grammar": "json"}, ge.InvalidArgumentError),
        ({"regex": "a", "max_tokens": 0}, ge.LimitExceededError),
        ({"regex": "a", "max_tokens": -3}, ge.LimitExceededError),
        ({"regex": "a", "max_tokens": 1.5}, ge.InvalidArgumentError),
        ({"regex": "a", "max_tokens": True}, ge.InvalidArgumentError),
        ({"regex": "a", "sampler": 0.7}, ge.InvalidArgumentError),
        ({"regex": "a", "prompt": ""}, ge.InvalidArgumentError),
        ({"regex": "a", "prompt": []}, ge.InvalidArgumentError),
        ({"regex": "a", "prompt": 5}, ge.InvalidArgumentError),
        ({"regex": "a", "prompt": ["a", 5]}, ge.InvalidArgumentError),
        ({"regex": "a", "prompt": ["a", {"role": "user", "content": "b"}]}, ge.InvalidArgumentError),
        ({"regex": "a", "prompt": [{"role": "user", "content": "b"}]}, ge.InvalidArgumentError),
        ({"regex": "a", "prompt": "a" * 160}, ge.LimitExceededError),
        ({"regex": "a", "model": 3}, ge.InvalidArgumentError),
        ({"regex": "a", "model": (1, 2, 3)}, ge.InvalidArgumentError),
        ({"regex": "a", "model": ("not a model", None)}, ge.InvalidArgumentError),
        ({"regex": "a", "model": "/nowhere"}, ge.ModelUnavailableError),
        ({"regex": "("}, ge.GrammarSyntaxError),
        ({"regex": "(?=a)b"}, ge.GrammarEngineError),
        ({"regex": r"(a)\1"}, ge.UnsupportedGrammarError),
        ({"regex": 5}, ge.InvalidArgumentError),
        ({"choices": []}, ge.GrammarEngineError),
        ({"choices": "abc"}, ge.InvalidArgumentError),
        ({"choices": [1]}, ge.InvalidArgumentError),
        ({"grammar": "start: ("}, ge.GrammarSyntaxError),
        ({"grammar": "root ::= ("}, ge.GrammarSyntaxError),
        ({"grammar": "root ::= <think>"}, ge.UnsupportedGrammarError),
        ({"schema": {"type": "strin"}}, ge.InvalidSchemaError),
        ({"schema": {"$ref": "#/$defs/missing"}}, ge.InvalidSchemaError),
        ({"schema": "{"}, ge.InvalidSchemaError),
        ({"schema": "/nowhere/schema.json"}, ge.InvalidSchemaError),
        ({"schema": {"type": "integer", "minimum": 3, "maximum": 2}}, ge.UnsatisfiableGrammarError),
        ({"schema": lambda: None}, ge.InvalidSchemaError),
        ({"schema": type("Plain", (), {})}, ge.InvalidSchemaError),
    ],
)
def test_bad_input_is_a_clear_error(tiny_model: Any, arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        ge.generate(**{"prompt": "The", "model": tiny_model, **arguments})
    assert isinstance(caught.value, ge.GrammarEngineError)
    assert str(caught.value)


def test_a_value_that_only_a_validator_refuses_is_pydantics_error(tiny_model: Any) -> None:
    from pydantic import ValidationError, field_validator

    class Odd(BaseModel):
        n: Literal[2, 4]

        @field_validator("n")
        @classmethod
        def odd(cls, n: int) -> int:
            if n % 2 == 0:
                raise ValueError("not odd")
            return n

    with pytest.raises(ValidationError, match="not odd"):
        ge.generate("The", schema=Odd, model=tiny_model)


def test_a_pair_is_prepared_once(tiny_pair: Any) -> None:
    from grammar_engine.models import ModelRegistry

    registry = ModelRegistry()
    assert registry.get(tiny_pair).compiler is registry.get(tiny_pair).compiler


def test_logits_wider_than_the_tokenizer(tiny_model: Any) -> None:
    assert tiny_model.vocabulary.size == 512 > len(tiny_model.tokenizer)


def test_the_embedded_model_answers(smollm2: Any) -> None:
    for schema in (Person, SCHEMA):
        result = ge.generate("Invent something and answer in JSON.", schema=schema, model=smollm2, details=True)
        assert result.value is not None
        if schema is SCHEMA:
            jsonschema.validate(result.value, SCHEMA)
    answer = ge.generate("Is the sky blue? Answer yes or no.", choices=["yes", "no"], model=smollm2)
    assert answer in {"yes", "no"}
