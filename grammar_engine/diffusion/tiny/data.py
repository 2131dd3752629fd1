"""What the tiny model was trained on: generated pairs of a prompt and an answer in JSON, arithmetic or code.

Tasks are small, so that a small model learns their form and much of their content: it copies names and numbers from the
prompt, writes brackets and quotes that mostly match, and ends texts of many lengths.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _words(
    "Ada Alan Anna Ben Carl Clara Dana David Ella Emma Finn Frida Grace Hugo Ida Ines Jan Jonas Kai Lea Leo Lina "
    "Lotte Mara Max Mia Milo Nina Noah Nora Olga Otto Paul Rosa Ruth Sara Theo Tom Vera Zoë José Jürgen"
)
CITIES = _words(
    "Athens Berlin Bern Bonn Cairo Delhi Dublin Lagos Lima Lisbon London Madrid Milan Oslo Paris Porto Prague Quito "
    "Riga Rome Seoul Tokyo Turin Vienna Warsaw Zürich Köln Malmö"
)
WORDS = _words(
    "apple bear bird blue book boat cat chair cloud cup dog door fish flower fox green gray hat horse house key lamp "
    "leaf lemon moon mouse orange owl pear pen plum rain red river road rose ship shoe snow song star stone sun table "
    "tree wind wolf yellow"
)
KEYS = _words(
    "name age city id type value count color size width height title label items tags price total active enabled "
    "description status code date email address unit x y"
)
VERBS = ("add", "sub", "mul", "area", "mean", "scale", "diff", "join", "double", "square")
VARIABLES = ("a", "b", "c", "n", "x", "y")

Pair = tuple[str, str]


def person(rng: random.Random) -> Pair:
    """A name, an age and a city, in a random order in the prompt."""
    name, age, city = rng.choice(NAMES), rng.randint(1, 99), rng.choice(CITIES)
    prompt = f"person: {name}, {age}, {city}" if rng.random() < 0.5 else f"person: {name} from {city}, {age} years old"
    return prompt, _dumps({"name": name, "age": age, "city": city})


def point(rng: random.Random) -> Pair:
    """Two or three coordinates."""
    values = {axis: rng.randint(-99, 99) for axis in "xyz"[: rng.randint(2, 3)]}
    return "point: " + " ".join(f"{axis}={value}" for axis, value in values.items()), _dumps(values)


def word_list(rng: random.Random) -> Pair:
    """Words to be quoted."""
    words = rng.sample(WORDS, rng.randint(1, 6))
    return "list: " + " ".join(words), _dumps(words)


def number_list(rng: random.Random) -> Pair:
    """Numbers to be put into brackets."""
    numbers = [rng.randint(0, 200) for _ in range(rng.randint(1, 8))]
    return "numbers: " + " ".join(map(str, numbers)), _dumps(numbers)


def order(rng: random.Random) -> Pair:
    """An array of objects."""
    items = [{"name": word, "count": rng.randint(1, 20)} for word in rng.sample(WORDS, rng.randint(1, 3))]
    return "order: " + ", ".join(f"{item['count']} {item['name']}" for item in items), _dumps({"items": items})


def fields(rng: random.Random) -> Pair:
    """Key-value pairs of several types."""
    values: dict[str, Any] = {}
    for key in rng.sample(KEYS, rng.randint(1, 5)):
        kind = rng.randrange(4)
        values[key] = (
            (rng.choice(WORDS) if kind == 0 else rng.randint(0, 999) if kind == 1 else rng.random() < 0.5)
            if kind < 3
            else None
        )
    shown = " ".join(f"{key}={_plain(value)}" for key, value in values.items())
    return f"fields: {shown}", _dumps(values)


def any_json(rng: random.Random) -> Pair:
    """Nested JSON that the prompt says nothing about."""
    return "json:", _dumps(_container(rng, 2, smallest=1))


def arithmetic(rng: random.Random) -> Pair:
    """An expression with as many numbers as the prompt says."""
    count = rng.randint(1, 8)
    return f"arith: {count} numbers", _expression(rng, count)


def code(rng: random.Random) -> Pair:
    """A function of a line or two."""
    verb, arguments = rng.choice(VERBS), rng.sample(VARIABLES, rng.randint(1, 3))
    body = f" {rng.choice('+-*')} ".join([*arguments, *([str(rng.randint(1, 9))] if rng.random() < 0.3 else [])])
    lines = [f"def {verb}({', '.join(arguments)}):"]
    if rng.random() < 0.4:
        lines += [f"    if {arguments[0]} > {rng.randint(0, 9)}:", f"        return {rng.choice(arguments)}"]
    return f"code: {verb} {' '.join(arguments)}", "\n".join([*lines, f"    return {body}", ""])


TASKS: Mapping[str, Callable[[random.Random], Pair]] = {
    "person": person,
    "point": point,
    "list": word_list,
    "numbers": number_list,
    "order": order,
    "fields": fields,
    "json": any_json,
    "arith": arithmetic,
    "code": code,
}
"""Task → generator; each prompt begins with its task's name and a colon."""


def pair(rng: random.Random, *, without_prompt: float = 0.1) -> Pair:
    """A pair of a random task; with probability ``without_prompt`` its prompt is empty."""
    prompt, answer = TASKS[rng.choice(tuple(TASKS))](rng)
    return ("" if rng.random() < without_prompt else prompt), answer


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else _dumps(value)


def _value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(7 if depth else 5)
    if kind == 0:
        return rng.choice((*WORDS, *NAMES, *CITIES))
    if kind == 1:
        return rng.randint(-99, 999)
    if kind == 2:
        return round(rng.uniform(0, 100), rng.randint(1, 2))
    if kind == 3:
        return rng.random() < 0.5
    if kind == 4:
        return None if rng.random() < 0.3 else " ".join(rng.sample(WORDS, 2))
    return _container(rng, depth, smallest=0)


def _container(rng: random.Random, depth: int, *, smallest: int) -> Any:
    size = rng.randint(smallest, 4 if smallest else 3)
    if rng.random() < 0.3:
        return [_value(rng, depth - 1) for _ in range(size)]
    return {key: _value(rng, depth - 1) for key in rng.sample(KEYS, size)}


def _expression(rng: random.Random, count: int) -> str:
    if count == 1:
        return str(rng.randint(0, 99))
    left = rng.randint(1, count - 1)
    text = f"{_expression(rng, left)} {rng.choice('+-*/')} {_expression(rng, count - left)}"
    return f"({text})" if rng.random() < 0.3 else text
