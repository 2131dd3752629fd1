"""How much work the engine does, in counts that do not depend on the machine: regressions that times would hide.

Trie nodes visited, nonterminals expanded and automata built, for schemas whose counts or lists are large: nothing is
unrolled, nothing is done twice. benchmarks/json_schema_micro.py prints the same counts beside times.
"""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

STRING = {"type": "string"}


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    """All bytes, and 3,000 words as a tokenizer has them: with and without a blank, some with punctuation."""
    rng = random.Random(0)
    words = {"".join(rng.choices("etaoinshrdlucm", k=rng.randrange(2, 8))) for _ in range(1500)}
    tokens = {bytes([byte]) for byte in range(256)} | {b'{"', b'":', b'",', b'"}', b"],", b"]}", b': "', b', "'}
    tokens |= {word.encode() for word in words} | {b" " + word.encode() for word in words}
    tokens |= {str(number).encode() for number in range(10, 1000, 7)}
    return Vocabulary([*sorted(tokens), b""], stop_token_ids=[len(tokens)])


class Counts:
    """A schema compiled by a compiler of its own, and what each text and mask costs."""

    def __init__(self, vocabulary: Vocabulary, schema: Any, **options: Any) -> None:
        self.compiled: CompiledGrammar = GrammarCompiler(vocabulary, cache_dir="").compile_json_schema(
            schema, **options
        )
        self.matcher = Matcher(self.compiled)
        self._bitmask = np.zeros((1, (vocabulary.size + 31) // 32), np.int32)
        self.fill()

    def __getitem__(self, name: str) -> int:
        return self.compiled.statistics[name]

    def fill(self) -> int:
        """Fill the mask; how many trie nodes were visited for it."""
        before = self["trie_nodes_visited"]
        self.matcher.fill_next_token_bitmask(self._bitmask)
        return self["trie_nodes_visited"] - before

    def read(self, text: str) -> int:
        """Read a text, a mask before each byte; how many trie nodes were visited."""
        visited = 0
        for byte in text.encode():
            visited += self.fill()
            assert self.matcher.accept_bytes(bytes([byte])), text
        return visited + self.fill()


def test_a_position_in_a_string_is_computed_once(vocabulary: Vocabulary) -> None:
    counts = Counts(vocabulary, {"type": "array", "items": STRING})
    counts.read('["some words')
    assert counts.read(" and more of them") == 0
    counts.read('","')
    assert counts.read("again, words") == 0


def test_structure_met_again_costs_nothing(vocabulary: Vocabulary) -> None:
    item = {"type": "object", "properties": {"a": {"type": "integer"}, "b": STRING}, "required": ["a", "b"]}
    counts = Counts(vocabulary, {"type": "array", "items": item})
    text = '{"a":12,"b":"x"},'
    first = counts.read("[" + text + text)
    positions, expansions = counts["positions"], counts["expansions"]
    assert first > 0
    assert counts.read(text * 5) == 0
    assert (counts["positions"], counts["expansions"]) == (positions, expansions)


def test_recursion_met_again_visits_nothing(vocabulary: Vocabulary) -> None:
    schema = {"type": "object", "properties": {"c": {"type": "array", "items": {"$ref": "#"}}}}
    counts = Counts(vocabulary, schema)
    counts.read('{"c":[{"c":[{"c":[')
    expansions = counts["expansions"]
    assert counts.read('{"c":[' * 20) == 0
    assert counts["expansions"] == expansions


@pytest.mark.parametrize("bound", [1000, 100_000, 10**9])
@pytest.mark.parametrize("keyword", ["minLength", "maxLength"])
def test_lengths_are_not_unrolled(vocabulary: Vocabulary, keyword: str, bound: int) -> None:
    small, large = (Counts(vocabulary, {"type": "string", keyword: limit}) for limit in (100, bound))
    for name in ("expansions", "lr_states", "walks", "trie_nodes_visited"):
        assert large[name] <= small[name], name
    text = '"' + "a word or two " * 5
    assert large.read(text) <= small.read(text)
    assert large["arena_bytes_used"] <= small["arena_bytes_used"] + 4096


def test_pattern_counts_are_not_unrolled(vocabulary: Vocabulary) -> None:
    small, large = (Counts(vocabulary, {"type": "string", "pattern": f"^.{{1,{n}}}$"}) for n in (100, 100_000))
    assert large["trie_nodes_visited"] <= small["trie_nodes_visited"]
    assert large["arena_bytes_used"] <= small["arena_bytes_used"] + 4096


def test_item_counts_are_expanded_one_by_one(vocabulary: Vocabulary) -> None:
    small, large = (
        Counts(vocabulary, {"type": "array", "items": {"type": "integer"}, "maxItems": limit}) for limit in (10, 10_000)
    )
    assert large["expansions"] <= small["expansions"]
    assert large.read("[1,2,3,4") <= small.read("[1,2,3,4")
    assert large["expansions"] <= small["expansions"]
    before = large["expansions"]
    large.read(",5" * 50)
    assert large["expansions"] - before <= 51


@pytest.mark.parametrize("order", ["declared", "any"])
def test_only_the_properties_met_are_expanded(vocabulary: Vocabulary, order: str) -> None:
    names = [f"name{index}" for index in range(1000)]
    nested = {"type": "object", "properties": {"deep": {"type": "object", "properties": {"x": STRING}}}}
    schema = {"type": "object", "properties": dict.fromkeys(names, nested), "additionalProperties": False}
    counts = Counts(vocabulary, schema, property_order=order)
    first = counts["expansions"]
    assert first <= 150
    counts.read('{"name0":{"deep":{}},"name1":{}')
    assert counts["expansions"] <= first + 150


def test_names_of_additional_properties_are_one_state(vocabulary: Vocabulary) -> None:
    counts = Counts(vocabulary, {"type": "object", "additionalProperties": {"type": "integer"}})
    counts.read('{"one":1,"two":2')
    expansions = counts["expansions"]
    assert counts.read("".join(f',"property {index}":{index}' for index in range(50))) <= 500
    assert counts["expansions"] == expansions


def test_a_long_enum_is_one_terminal(vocabulary: Vocabulary) -> None:
    members = [f"member {index}" for index in range(20_000)]
    counts = Counts(vocabulary, {"type": "array", "items": {"enum": members}})
    visited = counts.read(json.dumps(members[::4000]))
    assert counts["expansions"] <= 5
    assert visited <= 60 * len(vocabulary.tokens) // 10


def test_grammars_share_what_they_walk(vocabulary: Vocabulary) -> None:
    compiler = GrammarCompiler(vocabulary, cache_dir="")
    visited = []
    for schema in (STRING, {"type": "object", "properties": {"a": STRING}, "additionalProperties": False}):
        matcher = Matcher(compiler.compile_json_schema(schema))
        matcher.accept_bytes(b'"x' if schema is STRING else b'{"a":"x')
        matcher.allowed_token_ids()
        visited.append(matcher.compiled.statistics["trie_nodes_visited"])
    assert visited[1] <= visited[0]
