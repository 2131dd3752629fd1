"""Conditions on unfinished texts, and what of an unfinished JSON text is complete, against ``json`` on every prefix."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.sampling import MonotoneError, OnFields, OnText, OnTexts, OnValue, Partial, check_monotone
from grammar_engine.sampling.conditions import as_condition
from grammar_engine.sampling.json_fields import completed_values


def all_values(value: Any, pointer: str = "") -> dict[str, Any]:
    """Every value of a document by JSON pointer."""
    found = {pointer: value}
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        name = str(key).replace("~", "~0").replace("/", "~1")
        found |= all_values(item, f"{pointer}/{name}")
    return found


def random_value(rng: random.Random, depth: int = 3) -> Any:
    kind = rng.randrange(8 if depth else 5)
    if kind == 0:
        return rng.choice(["", "a", 'q"\\', "é日", "a/b~c", "{[,:]}"])
    if kind == 1:
        return rng.choice([0, -12, 3.5, 1e30])
    if kind < 5:
        return rng.choice([True, False, None])
    if kind < 7:
        return {
            rng.choice(["a", "b/c", "~", "", 'x"']) + str(i): random_value(rng, depth - 1)
            for i in range(rng.randrange(4))
        }
    return [random_value(rng, depth - 1) for _ in range(rng.randrange(4))]


def test_completed_values_of_every_prefix() -> None:
    """What is found is in the document, grows with the prefix, and is complete where the value's text is behind us."""
    rng = random.Random(4)
    for _ in range(150):
        value = random_value(rng)
        text = json.dumps(value, ensure_ascii=False, indent=rng.choice([None, 1]))
        expected = all_values(value)
        before: dict[str, Any] = {}
        for end in range(len(text) + 1):
            found = completed_values(text[:end])
            assert all(expected[pointer] == item for pointer, item in found.items())
            assert before.items() <= found.items() if end else not found
            before = dict(json.loads(json.dumps(list(found.items()))))
            before = {pointer: found[pointer] for pointer in before}
        assert completed_values(text, complete=True) == expected
        assert completed_values(text + " ") == expected


@pytest.mark.parametrize(
    ("text", "pointers"),
    [
        ('{"a": 1', {}),
        ('{"a": 1,', {"/a": 1}),
        ('{"a": "x', {}),
        ('{"a": "x"', {"/a": "x"}),
        ('{"a": [1, tru', {"/a/0": 1}),
        ('{"a": {}', {"/a": {}}),
        ("[[1], ", {"/0/0": 1, "/0": [1]}),
        ("] 1", {}),
        (", 1", {}),
        ("", {}),
    ],
)
def test_completed_values(text: str, pointers: dict[str, Any]) -> None:
    assert completed_values(text) == pointers


def test_conditions_see_what_they_ask_for() -> None:
    on_text = OnText(lambda text: "b" not in text, at_end=lambda text: text.endswith("a"))
    assert on_text.accepts(Partial(b"ax"))
    assert not on_text.accepts(Partial(b"axb"))
    assert not on_text.accepts(Partial(b"ax", complete=True))
    on_value = OnValue(lambda value: value["n"] > 3)
    assert on_value.accepts(Partial(b'{"n": 1}'))
    assert not on_value.accepts(Partial(b'{"n": 1}', complete=True))
    on_fields = OnFields(lambda fields: fields.get("/n", 9) > 3)
    assert on_fields.accepts(Partial(b'{"n": 1'))
    assert not on_fields.accepts(Partial(b'{"n": 1}'))
    both = on_fields & (lambda text: "x" not in text)
    assert both.accept_many([Partial(b'{"x'), Partial(b'{"n": 5}'), Partial(b'{"n": 1}')]) == [False, True, False]
    assert Partial("é".encode()[:1]).text == ""


def test_many_texts_in_one_call() -> None:
    calls: list[list[str]] = []

    def judge(texts: list[str]) -> list[bool]:
        calls.append(texts)
        return [len(text) < 3 for text in texts]

    condition = OnTexts(judge)
    assert condition.accept_many([Partial(b"a"), Partial(b"abc")]) == [True, False]
    assert calls == [["a", "abc"]]
    with pytest.raises(InvalidArgumentError, match="0 verdicts for 1 texts"):
        OnTexts(lambda _: []).accepts(Partial(b"a"))
    with pytest.raises(InvalidArgumentError, match="expected a function"):
        as_condition(3)  # type: ignore[arg-type]


def test_witness_against_monotony() -> None:
    assert check_monotone(lambda text: "b" not in text, ["aab", "日b"]) == 4 + 1 + 5 + 1
    with pytest.raises(MonotoneError) as caught:
        check_monotone(lambda text: len(text) % 2 == 0, ["abcd"])
    assert (caught.value.refused, caught.value.accepted) == ("a", "ab")
    with pytest.raises(MonotoneError):
        check_monotone(OnText(lambda _: False, at_end=lambda _: True), ["a"])
