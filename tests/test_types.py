"""Python types as schemas: what the grammar admits is what the type validates."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import ipaddress
import json
import typing
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedSchemaError
from grammar_engine.compiler.frontends.json_schema import json_schema_grammar
from grammar_engine.compiler.reference import ReferenceRecognizer
from pydantic import UUID4, BaseModel, ConfigDict, Field, FilePath, HttpUrl, Json

from grammar_engine.types import schema_of


class Color(enum.Enum):
    RED = "red"
    BLUE = 7


class Inner(BaseModel):
    x: int
    tag: typing.Literal["p", "q"] = "p"


class Outer(BaseModel):
    name: str = Field(min_length=1, max_length=5)
    inner: list[Inner]
    color: Color | None = None
    alias: int = Field(alias="theAlias", ge=0)


@dataclass
class Point:
    x: float
    y: float = 0.0


class Movie(typing.TypedDict, total=False):
    title: typing.Annotated[str, Field(pattern="^[A-Z]")]
    year: int


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


CASES: list[tuple[Any, list[Any], list[Any]]] = [
    (int, [1, -5], ["1", 1.5]),
    (list[int], [[], [1, 2]], [["a"]]),
    (typing.Literal["a", 1], ["a", 1], ["b"]),
    (Color, ["red", 7], ["blue"]),
    (int | None, [3, None], ["x"]),
    (tuple[int, str], [[1, "a"]], [[1], [1, "a", 2]]),
    (Outer, [{"name": "n", "inner": [{"x": 1, "tag": "q"}], "theAlias": 3}], [{"name": "n", "inner": []}, {}]),
    (Outer, [], [{"name": "", "inner": [], "theAlias": 1}, {"name": "n", "inner": [], "theAlias": 1, "more": 1}]),
    (Point, [{"x": 1.5}, {"x": 1, "y": 2}], [{"y": 2}, {"x": "a"}]),
    (Movie, [{"title": "A"}, {}], [{"title": "a"}, {"other": 1}]),
    (list[Movie], [[{"title": "A"}]], [[1]]),
    (Open, [{"a": 1, "b": [2]}], [{"b": 1}]),
    (set[str], [["a", "a"], []], [[1]]),
    (dict[int, bool], [{"1": True, "-20": False}], [{"a": True}]),
    (dict[typing.Literal["u", "v"], int], [{"u": 1}], [{"w": 1}]),
    (decimal.Decimal, [1.5, 2], ["x"]),
    (typing.Annotated[decimal.Decimal, Field(max_digits=4, decimal_places=2)], [1.25, 99.99], [100, 1.255]),
    (uuid.UUID, ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]),
    (UUID4, ["123e4567-e89b-42d3-a456-426614174000"], ["123e4567-e89b-12d3-a456-426614174000"]),
    (HttpUrl, ["https://example.com/a?b=c#d"], ["example.com", "ftp://example.com"]),
    (ipaddress.IPv4Address, ["127.0.0.1"], ["256.0.0.1"]),
    (ipaddress.IPv4Network, ["10.0.0.1/32"], ["10.0.0.1/33"]),
    (dt.date, ["2024-02-29"], ["2023-02-29", "x"]),
    (dt.datetime, ["2024-02-29T12:00:00Z"], ["2024-02-29 x"]),
    (bytes, ["abc"], [1]),
    (Path, ["folder/x"], [1]),
]


@pytest.mark.parametrize(("source", "good", "bad"), CASES, ids=[str(case[0])[:40] for case in CASES])
def test_admitted_texts_validate(source: Any, good: list[Any], bad: list[Any]) -> None:
    schema, validate = schema_of(source)
    recognizer = ReferenceRecognizer(json_schema_grammar(schema))
    for value in good:
        text = json.dumps(value)
        assert recognizer.accepts(text.encode()), text
        validate(text)
    for value in bad:
        assert not recognizer.accepts(json.dumps(value).encode()), value


def test_values_are_instances() -> None:
    outer = schema_of(Outer).validate('{"name": "n", "inner": [{"x": 1}], "theAlias": 2}')
    assert outer == Outer(name="n", inner=[Inner(x=1)], theAlias=2)
    assert schema_of(Point).validate('{"x": 1}') == Point(x=1.0)
    assert schema_of(set[str]).validate('["a", "a"]') == {"a"}


def test_schemas_come_as_dict_text_or_file(tmp_path: Path) -> None:
    schema = {"type": "integer"}
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema))
    for source in (schema, json.dumps(schema), file, str(file)):
        found, validate = schema_of(source)
        assert found == schema
        assert validate("[1]") == [1]
    assert schema_of(True).schema is True


NEITHER = [3, None, "nope", "missing.json", Path("missing"), len, typing.Callable, type, "[1]"]


@pytest.mark.parametrize("source", NEITHER)
def test_what_is_no_type_and_no_schema(source: Any) -> None:
    with pytest.raises(InvalidSchemaError):
        schema_of(source)


@pytest.mark.parametrize("source", [FilePath, Json[int], list[Json[int]]])
def test_types_that_no_schema_can_stand_for(source: Any) -> None:
    with pytest.raises(UnsupportedSchemaError):
        schema_of(source)


@pytest.mark.parametrize(
    ("of", "held", "not_held"),
    [
        (dt.datetime, "2024-02-29T23:59:59Z", "2016-12-31T23:59:60Z"),
        (dt.date, "2024-02-29", "0000-01-01"),
        (dt.time, "23:59:59Z", "23:59:60Z"),
    ],
)
def test_what_python_cannot_hold_is_not_offered(of: type, held: str, not_held: str) -> None:
    schema, validate = schema_of(of)
    recognizer = ReferenceRecognizer(json_schema_grammar(schema))
    assert isinstance(validate(json.dumps(held)), of)
    assert recognizer.accepts(json.dumps(held).encode())
    assert not recognizer.accepts(json.dumps(not_held).encode())
