"""Random structural tags against a recognizer that follows the words of docs/structural_tags.md, by brute force.

The recognizer knows nothing of automata: free text is searched for its forbidden texts, triggers are looked for at
every place, JSON is what ``json`` reads and ``jsonschema`` accepts, and no object names a property twice.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import numpy as np
import pytest
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.errors import UnsatisfiableGrammarError, UnsupportedGrammarError
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

LETTERS = "ab<"
Format = dict[str, Any]


class Recognizer:
    """Where the parts of a tag may end in one text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def ends(self, tag: Format, at: int, stops: tuple[str, ...] = ()) -> set[int]:
        text, kind = self.text, tag["type"]
        if kind == "const_string":
            return {at + len(tag["value"])} if text.startswith(tag["value"], at) else set()
        if kind == "regex":
            return {end for end in range(at, len(text) + 1) if re.fullmatch(tag["pattern"], text[at:end])}
        if kind == "json_schema":
            return {end for end in range(at + 1, len(text) + 1) if is_valid(text[at:end], tag["json_schema"])}
        if kind == "any_text":
            return set(self.free(at, [*tag.get("excludes", ()), *stops], tag.get("max_chars")))
        if kind == "sequence":
            found = {at}
            for element in tag["elements"]:
                found = {end for begin in found for end in self.ends(element, begin, stops)}
            return found
        if kind == "or":
            return {end for element in tag["elements"] for end in self.ends(element, at, stops)}
        if kind in ("optional", "star", "plus"):
            found = set() if kind == "plus" else {at}
            todo = [at]
            while todo:
                for end in self.ends(tag["content"], todo.pop(), stops) - found:
                    found.add(end)
                    if kind != "optional":
                        todo.append(end)
            return found
        if kind == "tag":
            return self.rest_of_tag(tag, at + len(tag["begin"]), stops) if text.startswith(tag["begin"], at) else set()
        if kind == "tags_with_separator":
            first = {end for one in tag["tags"] for end in self.ends(one, at, stops)}
            found = first | (set() if tag.get("at_least_one") else {at})
            todo = [] if tag.get("stop_after_first") else sorted(first)
            seen = set(todo)
            while todo:
                end = todo.pop()
                if text.startswith(tag["separator"], end):
                    begin = end + len(tag["separator"])
                    behind = {further for one in tag["tags"] for further in self.ends(one, begin, stops)}
                    todo += sorted(behind - seen)
                    seen |= behind
            return found | seen
        assert kind == "triggered_tags"
        return self.triggered(tag, at, stops)

    def rest_of_tag(self, tag: Format, at: int, stops: tuple[str, ...]) -> set[int]:
        ends = [tag["end"]] if isinstance(tag["end"], str) else tag["end"]
        inner = tuple(filter(None, ends)) or stops
        return {
            stop + len(end)
            for stop in self.ends(tag["content"], at, inner)
            for end in ends
            if self.text.startswith(end, stop)
        }

    def free(self, at: int, barred: list[str], longest: int | None = None) -> Iterator[int]:
        for end in range(at, len(self.text) + 1):
            if any(text in self.text[at:end] for text in barred) or (longest is not None and end - at > longest):
                return
            yield end

    def triggered(self, tag: Format, at: int, stops: tuple[str, ...]) -> set[int]:
        text = self.text
        barred = [*tag.get("excludes", ()), *stops]
        found: set[int] = set()
        seen = {at}
        todo = [at]
        if tag.get("at_least_one"):
            todo = sorted({end for one in tag["tags"] for end in self.ends(one, at, stops)})
            seen = set(todo)
            if tag.get("stop_after_first"):
                return seen
        while todo:
            begin = todo.pop()
            found.update(self.free(begin, [*barred, *tag["triggers"]]))
            for end in range(begin, len(text) + 1):
                complete = [t for t in tag["triggers"] if text[begin:end].endswith(t)]
                if any(bar in text[begin:end] for bar in barred):
                    break
                if complete:
                    trigger = max(complete, key=len)
                    for one in tag["tags"]:
                        if not one["begin"].startswith(trigger):
                            continue
                        if text.startswith(one["begin"], end - len(trigger)):
                            behind = self.rest_of_tag(one, end - len(trigger) + len(one["begin"]), stops)
                            if tag.get("stop_after_first"):
                                found |= behind
                            else:
                                todo += sorted(behind - seen)
                                seen |= behind
                    break
        return found


def is_valid(text: str, schema: Any) -> bool:
    if text.strip() != text:
        return False

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(members)) < len(members):
            raise ValueError
        return dict(members)

    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except ValueError:
        return False
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def word(rng: random.Random, least: int = 1, most: int = 3) -> str:
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(least, most)))


def random_format(rng: random.Random, depth: int) -> Format:
    simple = ["const_string", "any_text", "regex"]
    kind = rng.choice(simple if depth == 0 else [*simple, *COMPOSED])
    if kind == "const_string":
        return {"type": kind, "value": word(rng, 0)}
    if kind == "regex":
        return {"type": kind, "pattern": rng.choice(["a+", "(ab|b)*", "<?a", "[^a]{1,2}"])}
    if kind == "any_text":
        made: Format = {"type": kind, "excludes": [word(rng) for _ in range(rng.randint(0, 2))]}
        if rng.random() < 0.3:
            made["max_chars"] = rng.randint(0, 3)
        return made
    if kind in ("sequence", "or"):
        return {"type": kind, "elements": [random_format(rng, depth - 1) for _ in range(rng.randint(1, 3))]}
    if kind in ("optional", "star", "plus"):
        return {"type": kind, "content": random_format(rng, depth - 1)}
    if kind == "tag":
        return random_tag(rng, depth)
    flags = {name: True for name in ("at_least_one", "stop_after_first") if rng.random() < 0.3}
    tags = [random_tag(rng, depth) for _ in range(rng.randint(1, 3))]
    if kind == "tags_with_separator":
        return {"type": kind, "tags": tags, "separator": word(rng, 0, 1), **flags}
    triggers = sorted({tag["begin"][: rng.randint(1, len(tag["begin"]))] for tag in tags})
    excludes = [word(rng, 2) for _ in range(rng.randint(0, 1))]
    return {"type": kind, "triggers": triggers, "tags": tags, "excludes": excludes, **flags}


COMPOSED = ("sequence", "or", "optional", "star", "plus", "tag", "triggered_tags", "tags_with_separator")


def random_tag(rng: random.Random, depth: int) -> Format:
    end: Any = word(rng, 0, 2) if rng.random() < 0.8 else [word(rng, 1, 2), word(rng, 1, 2)]
    return {"type": "tag", "begin": word(rng), "content": random_format(rng, depth - 1), "end": end}


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    rng = random.Random(7)
    tokens = {word(rng, 1, 4).encode() for _ in range(60)} | {bytes([b]) for b in b'ab<{}[]",:1 '}
    tokens |= {
        b'"a"',
        b'{"a":1,"a":',
        b'<{"a"',
        b"}<",
        b',"b":1,"a"',
        b"}}",
        b"1,1",
        b"[1",
        b'":',
        b',"a":1',
        b'<<{"a":1}<',
    }
    tokens |= {b'}<<<{"a":1,"a":1', b'}<<<{"a":1,"b":1', b"<<[1,1", b"<<[1,11", b"]<<<[1,1"}
    return GrammarCompiler(Vocabulary([*sorted(tokens), None], stop_token_ids=[len(tokens)]), cache_dir="")


def accepts(compiled: CompiledGrammar, text: str) -> bool:
    matcher = Matcher(compiled)
    return matcher.accept_bytes(text.encode()) and matcher.is_accepting()


@pytest.mark.parametrize("seed", range(60))
def test_texts_over_three_letters(seed: int, compiler: GrammarCompiler) -> None:
    rng = random.Random(seed)
    texts = ["".join(letters) for size in range(6) for letters in itertools.product(LETTERS, repeat=size)]
    compiled_any = 0
    while compiled_any < 3:
        tag = random_format(rng, 2)
        try:
            compiled = compiler.compile_structural_tag({"type": "structural_tag", "format": tag})
        except (UnsatisfiableGrammarError, UnsupportedGrammarError):
            # Nothing, or a trigger that nothing can complete: then no text has it.
            continue
        compiled_any += 1
        chosen = [*texts[:121], *rng.sample(texts[121:], 120), *(word(rng, 6, 9) for _ in range(40))]
        for text in chosen:
            expected = len(text) in Recognizer(text).ends(tag, 0)
            assert accepts(compiled, text) == expected, (tag, text)


OPEN = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "integer"}}
THIN = {"type": "object", "patternProperties": {"^[ab]$": {"type": "integer"}}, "additionalProperties": False}
DISTINCT = {"type": "array", "items": {"enum": [1, 11, "a", "b"]}, "uniqueItems": True}
NESTED = {"type": "object", "additionalProperties": {"anyOf": [OPEN, {"type": "integer"}]}}


def guarded_tag(schema: Any) -> Format:
    content = {"type": "json_schema", "json_schema": schema}
    tags = [
        {"type": "tag", "begin": "<{", "content": content, "end": "}<"},
        {"type": "tag", "begin": "<<", "content": content, "end": "<"},
    ]
    return {"type": "triggered_tags", "triggers": ["<{", "<<"], "tags": tags}


NAMES = {"type": "object", "propertyNames": {"enum": ["a", "b", "ab"]}, "minProperties": 1}


@pytest.mark.parametrize(
    "schema",
    [OPEN, THIN, DISTINCT, NESTED, NAMES, True],
    ids=["open", "thin", "distinct", "nested", "names", "any value"],
)
def test_guarded_json_between_texts(schema: Any, compiler: GrammarCompiler) -> None:
    """Random walks by tokens: each mask is what brute force says, and each complete text is in the language."""
    tag = guarded_tag(schema)
    compiled = compiler.compile_structural_tag({"type": "structural_tag", "format": tag}, max_whitespace=1)
    tokens = compiler.vocabulary.tokens
    rng = random.Random(str(schema))
    complete = refused = 0
    for _ in range(60):
        matcher = Matcher(compiled)
        text = b""
        for _ in range(rng.randint(1, 22)):
            allowed = matcher.allowed_token_ids().tolist()
            for token_id, token in enumerate(tokens):
                if token is not None:
                    fork = matcher.fork()
                    assert fork.accept_bytes(token) == (token_id in allowed), (text, token)
                    fork = matcher.fork()
                    assert fork.accept_token(token_id) == (token_id in allowed), (text, token)
            spelled = [token_id for token_id in allowed if tokens[token_id] is not None]
            assert spelled
            longest = sorted(spelled, key=lambda t: -len(tokens[t] or b""))
            matcher.accept_token(token_id := rng.choice(longest[:8] if rng.random() < 0.7 else spelled))
            text += tokens[token_id] or b""
            expected = len(text) in Recognizer(text.decode()).ends(tag, 0)
            assert matcher.is_accepting() == expected, text
            complete += expected
        # Mutants of the text: a piece of it again, or left out.
        for _ in range(10):
            begin, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
            mutant = (text[:end] + text[begin:] if rng.random() < 0.5 else text[:begin] + text[end:]).decode()
            expected = len(mutant) in Recognizer(mutant).ends(tag, 0)
            assert accepts(compiled, mutant) == expected, mutant
            refused += not expected
    assert complete > 50
    assert refused > 30


def test_state_beside_the_engine_goes_back(compiler: GrammarCompiler) -> None:
    compiled = compiler.compile_structural_tag({"type": "structural_tag", "format": guarded_tag(OPEN)})
    matcher = Matcher(compiled)
    for piece in (b'"b <<', b'{"b":1', b',"c":1'):
        assert matcher.accept_bytes(piece)
    assert not matcher.accept_bytes(b',"b":1')
    matcher.rollback(1)
    assert not matcher.accept_bytes(b',"b":1')
    other = matcher.fork()
    assert matcher.accept_bytes(b',"c":1}<')
    assert matcher.is_accepting()
    assert matcher.accept_bytes(b',"b":1,"b":1')
    matcher.rollback(2)
    assert other.position == matcher.position
    assert other.accept_bytes(b',"c":1}< <<{"b":1')
    assert not other.accept_bytes(b',"b":1')


def test_masks_are_bit_for_bit_those_of_every_token(compiler: GrammarCompiler) -> None:
    compiled = compiler.compile_structural_tag({"type": "structural_tag", "format": guarded_tag(NESTED)})
    matcher = Matcher(compiled)
    assert matcher.accept_bytes(b'"<<{"a":{"a":1,"b":')
    bitmask = np.full((2, (compiler.vocabulary.size + 31) // 32), -1, np.int32)
    matcher.fill_next_token_bitmask(bitmask, 1)
    assert (bitmask[0] == -1).all()
    bits = np.unpackbits(bitmask[1].view(np.uint8), bitorder="little")[: compiler.vocabulary.size]
    for token_id, token in enumerate(compiler.vocabulary.tokens):
        assert bool(bits[token_id]) == (token is not None and matcher.fork().accept_bytes(token))
