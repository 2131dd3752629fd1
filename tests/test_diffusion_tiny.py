"""The trained model that comes along, decoded: values of types, and texts of a language that it alone gets wrong."""

from __future__ import annotations

import json
from typing import Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

torch = pytest.importorskip("torch", reason="needs the extra hf")

import grammar_engine as ge
from grammar_engine.diffusion.tiny.files import FOLDER


class Person(BaseModel):
    name: str = Field(max_length=12)
    age: int = Field(ge=10, le=99)
    city: Literal["Oslo", "Paris", "Tokyo"]


@pytest.fixture(scope="module")
def tiny() -> Any:
    if not (FOLDER / "model.safetensors").is_file():
        pytest.skip("the tiny model is not trained: make train-tiny-dlm")
    return ge.load_model("tiny-dlm")


def test_generate_just_works(tiny: Any) -> None:
    person = ge.generate("person: Ida, 52, Warsaw", schema=Person, model=tiny, max_tokens=48)
    assert isinstance(person, Person)
    *pieces, last = ge.stream("person: Tom, 31, Oslo", schema=Person, model=tiny, max_tokens=48)
    assert Person.model_validate_json("".join(pieces)) == last


def test_what_it_was_trained_on(tiny: Any) -> None:
    """Its own task: a list of numbers, with numbers in it (which ones, so small a model rarely copies right)."""
    schema = {"type": "array", "items": {"type": "integer"}}
    found = ge.generate("numbers: 7 12 5", schema=schema, model=tiny, max_tokens=32)
    assert len(found) > 1
    assert all(isinstance(number, int) for number in found)


def test_exact_is_valid_where_the_model_is_not(tiny: Any) -> None:
    """A schema that the prompts say nothing of: as many values as it demands, never an early end."""
    schema = {
        "type": "object",
        "properties": {"code": {"type": "array", "items": {"enum": [3, 5, "x"]}, "minItems": 3}, "ok": {"const": True}},
        "required": ["code", "ok"],
        "additionalProperties": False,
    }
    compiled = tiny.compiler.compile_json_schema(schema, max_whitespace=1)
    prompts = ["json:", "fields: name=cat", "list: owl key", ""]
    valid = {}
    for method in ("none", "exact"):
        found = ge.diffusion.generate(tiny, prompts, compiled, method, slots=40, seed=0)
        valid[method] = sum(result.complete for result in found)
        for result in found:
            if result.complete:
                jsonschema.validate(json.loads(result.text), schema)
    assert valid["exact"] == len(prompts) > valid["none"]
