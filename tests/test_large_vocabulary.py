"""Masks of real vocabularies of 128,000 tokens and more, against trying every token byte by byte.

``accept_bytes`` steps position by position and knows nothing of walks, rows, exits and caches, so it is an oracle for
all of them. Tokens are tried in byte order; when the first bytes of one are refused, so are those that begin alike.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.limits import Limits
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

Compile = Callable[[GrammarCompiler], CompiledGrammar]


def schema(value: Any, **options: Any) -> Compile:
    return lambda compiler: compiler.compile_json_schema(value, **options)


def regex(pattern: str) -> Compile:
    return lambda compiler: compiler.compile_regex(pattern)


def lark(source: str, **options: Any) -> Compile:
    return lambda compiler: compiler.compile_lark(source, **options)


def strings(*names: str, **rest: Any) -> dict[str, Any]:
    """An object of required string members."""
    members = {name: rest.get(name, {"type": "string"}) for name in names}
    return {"type": "object", "properties": members, "required": list(names)}


CALC = r"""
    start: sum
    sum: product | sum ("+" | "-") product
    product: atom | product ("*" | "/") atom
    atom: NUMBER | "-" atom | NAME | "(" sum ")"
    NAME: /[a-z_]\w*/
    %import common.NUMBER
    %import common.WS_INLINE
    %ignore WS_INLINE
"""
JSON = r"""
    start: value
    ?value: object | array | ESCAPED_STRING | SIGNED_NUMBER | "true" | "false" | "null"
    array: "[" [value ("," value)*] "]"
    object: "{" [pair ("," pair)*] "}"
    pair: ESCAPED_STRING ":" value
    %import common.ESCAPED_STRING
    %import common.SIGNED_NUMBER
    %import common.WS
    %ignore WS
"""
WORDS = r"""
    start: statement+
    statement: "if" NAME "then" statement | "return" NAME ";" | NAME "=" (NAME | STRING) ";"
    NAME: /[^\W\d]\w*/
    STRING: /"[^"\n]*"|'[^'\n]*'/
    COMMENT: /#[^\n]*/
    %ignore /\s+/
    %ignore COMMENT
"""
AMBIGUOUS = r"""
    start: (WORD | SPACE | "(" start ")")+
    WORD: /\w+/
    SPACE: /[ \n]+/
"""

CHARACTERS = r"""
    start: quoted+
    quoted: "'" (CHAR | "\\" /./)* "'"
    CHAR: /[^'\\]/
"""
# Every token is a way of its own through this one: too many to follow one by one (see kernels.steps).
PALINDROMES = "start: " + " | ".join(f'"{c}" start "{c}"' for c in "etaoinshrdlu ") + r" | /[^\x00]/"

GRAMMARS: dict[str, Compile] = {
    "plain": schema(strings("name", "city") | {"additionalProperties": False}),
    "nested": schema({
        "type": "object",
        "properties": {
            "people": {"type": "array", "items": strings("first", "last"), "minItems": 1},
            "where": {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "number"}}},
        },
        "required": ["people"],
    }),
    "compact": schema(strings("a", "b"), any_whitespace=False),
    "open": schema({"type": "object", "additionalProperties": {"type": ["integer", "string"]}}),
    "prefixes": schema({
        "type": "object",
        "properties": {"a": {"type": "null"}, "ab": {"type": "boolean"}, "abc": {"const": 1}, "the": {}, "then": {}},
        "additionalProperties": {"type": "integer"},
    }),
    "any order": schema(strings("a", "ab") | {"additionalProperties": False}, property_order="any"),
    "short strings": schema({"type": "array", "items": {"type": "string", "maxLength": 5}}),
    "long strings": schema({"type": "array", "items": {"type": "string", "minLength": 3, "maxLength": 5000}}),
    "least": schema({"type": "array", "items": {"type": "string", "minLength": 40}, "minItems": 2}),
    "anchored": schema({"type": "array", "items": {"type": "string", "pattern": "^[A-Z][a-z]+( [A-Z][a-z]+)*$"}}),
    "unanchored": schema({"type": "array", "items": {"type": "string", "pattern": "foo|b.r"}}),
    "pattern and length": schema({"type": "array", "items": {"type": "string", "pattern": "^a.*z$", "maxLength": 12}}),
    "words and length": schema({
        "type": "array",
        "items": {"type": "string", "pattern": r"^(?:\S+\s+){0,9}\S+$", "minLength": 4, "maxLength": 70},
    }),
    "found and length": schema({
        "type": "array", "items": {"pattern": "[a-z0-9_.-]+", "minLength": 3, "maxLength": 40, "type": "string"},
    }),
    "lines": schema({"type": "array", "items": {"pattern": "^.+: .*(foo|bar).+-x", "type": "string"}}),
    "counts of counts": schema({
        "type": "array", "items": {"pattern": "^([a-z]{20,40}-)*[0-9]{18,30}(é|x{17,}|.{2,30}!)$", "type": "string"},
    }),
    "formats": schema(
        strings("t", "u", "e", t={"format": "date-time", "type": "string"}, u={"format": "uuid", "type": "string"},
                e={"format": "email", "type": "string"})
    ),
    "distinct": schema({"type": "array", "uniqueItems": True}),
    "distinct strings": schema({"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
    "enum": schema({
        "type": "array",
        "items": {"enum": ["red", "green", "grey", "日本", 'a"b\\c', "", 17, None, [1, {"k": 2}]]},
    }),
    "numbers": schema({
        "type": "array",
        "prefixItems": [
            {"type": "integer", "minimum": -17, "maximum": 1234},
            {"type": "number", "exclusiveMinimum": 0, "maximum": 2.5},
            {"type": "integer", "multipleOf": 7},
        ],
        "items": {"type": "number"},
    }),
    "counts": schema({"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 5}),
    "recursive": schema({
        "$ref": "#/$defs/tree",
        "$defs": {"tree": {
            "type": "object",
            "properties": {"v": {"type": "string"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
            "required": ["v"], "additionalProperties": False,
        }},
    }),
    "anything": schema(True),
    "prose": regex("[a-z ,]{150,250}"),
    "alternatives": regex("(foo|bar)*baz"),
    "a line": regex(".*"),
    "all": regex(r"[\s\S]*"),
    "unicode": regex(r"\w+ [α-ωА-я]{2,}[^\x00-\x7f]*\d"),
    "lazy": regex(r"(?i:select)\s+.+?;"),
    "calculator": lark(CALC),
    "json in lark": lark(JSON),
    "keywords": lark(WORDS, parser="lalr"),
    "ambiguous": lark(AMBIGUOUS, parser="earley", lexer="dynamic_complete"),
    "a lexeme per character": lark(CHARACTERS, parser="lalr"),
    "palindromes": lark(PALINDROMES, parser="earley"),
    "choices": lambda compiler: compiler.compile_choices(["yes", "no", "not sure", "nothing", "", "日本語", "no\n"]),
}  # fmt: skip

PLACES: dict[str, list[str]] = {
    "short strings": ['["', '["a', '["ab', '["abc', '["abcd', '["abcde', '["日本', '["\\u65e5\\ud83d', '["ab", "abcd'],
    "long strings": ['["a', '["' + "a" * 4980, '["' + "ab " * 1666, '["' + "é" * 4999, '["' + "a" * 5000],
    "least": ['["' + "a" * 30, '["' + "a" * 39, '["' + "a" * 40],
    "prefixes": ['{"', '{"a', '{"ab', '{"abc', '{"abcd', '{"th', '{"the', '{"a": null, "', '{"the": 1, "the'],
    "open": [
        '{"a": 1, "',
        '{"the": 1, "th',
        '{"the": 1, "the',
        '{"the": 1, "": 2, "',
        '{",": 1, ":": 2, "a": "',
        '{"é": 1, "',
    ],
    "distinct": ['["the", ', '["the", "th', "[12, 1, 1", '[{"a": 1}, {"a": ', "[[], true, ", "[1, 2.50, 2.5"],
    "distinct strings": ['["the", "', '["the", "th', '["the", "the', '["a\\u0062", "a', '["", ",", ", "'],
    "anything": ['{"a": [{"name": 1, ', '{"a": [{"name": 1, "n', '{"\\"": 1, "\\', '{",": {":": 0}, "x"', '{"][": "'],
    "pattern and length": ['["a', '["abcdefghi', '["abcdefghijz'],
    "words and length": [
        *('["' + ("some " * 9)[:length] for length in (3, 29, 44)),
        *('["' + "x" * length for length in (44, 57, 58, 66, 69)),
        '["a b c d e f g h i ',
        '["日本 日本',
    ],
    "found and length": ['["é', *('["é!' + "a" * length for length in (1, 20, 27, 36)), '["' + 39 * "é"],
    "lines": ['["the: ', '["a: b foo', '["a: b foo-x日', '["日本: bar\\u20'],
    "counts of counts": [
        *('["' + "a" * length for length in (3, 20, 27, 39)),
        *('["' + "a" * 20 + "-" + "1" * length for length in (0, 17, 18)),
        *('["' + "1" * 18 + "x" * length for length in (1, 16, 29)),
    ],
    "formats": ['{"t": "', '{"t": "2024-02', '{"t": "2023-02-2', '{"t":"2024-02-29T12:00:00Z","u":"0a'],
    "numbers": ["[", "[12", "[-1", "[1234, 2", "[0, 2.5", "[0, 1.5, 1"],
    "prose": ["a" * 140, "a" * 149, "a" * 150, "a" * 240, "a" * 249, "a" * 250],
    "keywords": ["i", "if", "if if then ret", 'a = "b', "# if\n"],
    "palindromes": ["e", "the "],
    "a lexeme per character": ["'", "'a", "'a\\"],
    "calculator": ["1", "1.", "x1 + (", "(1"],
}


class Tokens:
    """A vocabulary for walking through it: tokens in byte order, and first bytes."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.sorted = sorted((data, token) for token, data in enumerate(vocabulary.tokens) if data)
        self.first_byte = np.array([data[0] if data else -1 for data in vocabulary.tokens])

    def choose(self, rng: random.Random, allowed: Any) -> int:
        """Any allowed text token: first its first byte, so that rare ones (quotes, brackets) are not drowned."""
        first = self.first_byte[allowed]
        byte = rng.choice(sorted({int(value) for value in first if value >= 0}) or [-1])
        return int(rng.choice(allowed[first == byte].tolist())) if byte >= 0 else -1

    def allowed_by_trial(self, matcher: Matcher) -> set[int]:
        """Every token tried byte by byte; stop ids by whether the text is complete."""
        probe = matcher.fork()
        allowed: set[int] = set(self.vocabulary.stop_token_ids) if matcher.is_accepting() else set()
        refused = b""
        for data, token in self.sorted:
            if refused and data.startswith(refused):
                continue
            if probe.accept_bytes(data):
                probe.rollback(1)
                allowed.add(token)
                continue
            for end in range(1, len(data) + 1):
                refused = data[:end]
                if not probe.accept_bytes(refused):
                    break
                probe.rollback(1)
        return allowed


def brute_force(matcher: Matcher, vocabulary: Vocabulary) -> set[int]:
    """The same with nothing left out: a fresh fork per token."""
    allowed = {token for token, data in enumerate(vocabulary.tokens) if data and matcher.fork().accept_bytes(data)}
    return allowed | (set(vocabulary.stop_token_ids) if matcher.is_accepting() else set())


def walk(tokens: Tokens, matcher: Matcher, rng: random.Random, steps: int) -> list[int]:
    """Token ids of a random walk, the matcher moved along."""
    taken = []
    for _ in range(steps):
        token = tokens.choose(rng, matcher.allowed_token_ids())
        if token < 0:
            break
        assert matcher.accept_token(token)
        taken.append(token)
    return taken


def explain(tokens: Tokens, mask: set[int], expected: set[int]) -> str:
    def some(ids: set[int]) -> list[bytes | None]:
        return [tokens.vocabulary.tokens[token] for token in sorted(ids)[:10]]

    return f"allowed but impossible: {some(mask - expected)}, possible but masked: {some(expected - mask)}"


@pytest.fixture(scope="module")
def deepseek(shared_data: Path) -> Tokens:
    return Tokens(Vocabulary.from_huggingface(shared_data / "tokenizers" / "deepseek_tokenizer.json.gz"))


@pytest.fixture(scope="module")
def compiler(deepseek: Tokens) -> GrammarCompiler:
    """One for all grammars, so that what they share through the store is tested too."""
    return GrammarCompiler(deepseek.vocabulary, cache_dir="", cache_size=0)


@pytest.mark.parametrize("name", GRAMMARS)
def test_masks_equal_trying_every_token(deepseek: Tokens, compiler: GrammarCompiler, name: str) -> None:
    compiled = GRAMMARS[name](compiler)
    for seed in range(2):
        rng = random.Random(f"{name} {seed}")
        matcher = Matcher(compiled)
        text = deepseek.vocabulary.decode(walk(deepseek, matcher, rng, rng.randrange(30) if seed else 0))
        mask, expected = set(matcher.allowed_token_ids().tolist()), deepseek.allowed_by_trial(matcher)
        assert mask, f"dead end after {text!r}"
        assert mask == expected, f"after {text!r}: {explain(deepseek, mask, expected)}"


@pytest.mark.parametrize("name", PLACES)
def test_masks_at_chosen_places(deepseek: Tokens, compiler: GrammarCompiler, name: str) -> None:
    """Where counts run out, declared names begin alike, keywords may end: random texts seldom come there."""
    compiled = GRAMMARS[name](compiler)
    for text in PLACES[name]:
        matcher = Matcher(compiled)
        assert matcher.accept_bytes(text.encode()), text
        mask, expected = set(matcher.allowed_token_ids().tolist()), deepseek.allowed_by_trial(matcher)
        assert mask == expected, f"after {text[-60:]!r}: {explain(deepseek, mask, expected)}"


@pytest.mark.parametrize("name", ["plain", "alternatives", "calculator"])
def test_nothing_is_lost_by_trying_common_prefixes_once(deepseek: Tokens, compiler: GrammarCompiler, name: str) -> None:
    matcher = Matcher(GRAMMARS[name](compiler))
    walk(deepseek, matcher, random.Random(name), 4)
    assert deepseek.allowed_by_trial(matcher) == brute_force(matcher, deepseek.vocabulary)


def masks_along(compiled: CompiledGrammar, token_ids: list[int]) -> list[bytes]:
    """The mask before each token and behind the last."""
    matcher = Matcher(compiled)
    masks = [matcher.allowed_token_ids().tobytes()]
    for token in token_ids:
        assert matcher.accept_token(token)
        masks.append(matcher.allowed_token_ids().tobytes())
    return masks


def test_shared_and_stored_rows_change_nothing(deepseek: Tokens, tmp_path: Path) -> None:
    """Alone in a compiler; second in a compiler that knows all rows; in a compiler that read them from the disk."""
    vocabulary = deepseek.vocabulary
    names = list(GRAMMARS)
    warm = GrammarCompiler(vocabulary, cache_dir=tmp_path, cache_size=0)
    walks: dict[str, list[int]] = {}
    first: dict[str, list[bytes]] = {}
    for name in names:
        compiled = GRAMMARS[name](warm)
        walks[name] = walk(deepseek, Matcher(compiled), random.Random(f"stored {name}"), 25)
        first[name] = masks_along(compiled, walks[name])
    hits = warm.store.walks.hits, warm.store.counted.hits
    for name in names:
        assert masks_along(GRAMMARS[name](warm), walks[name]) == first[name], name
    assert warm.store.walks.hits > hits[0]
    assert warm.store.counted.hits > hits[1]
    kept = len(warm.store.walks.items()), len(warm.store.counted.items())
    assert warm.save_cache() == sum(kept)
    assert min(kept) > 0

    reloaded = GrammarCompiler(vocabulary, cache_dir=tmp_path, cache_size=0)
    assert (len(reloaded.store.walks.items()), len(reloaded.store.counted.items())) == kept
    for name in reversed(names):
        assert masks_along(GRAMMARS[name](reloaded), walks[name]) == first[name], name
    assert reloaded.store.walks.hits > 0

    for name in names[::4]:
        alone = GrammarCompiler(vocabulary, cache_dir="", cache_size=0)
        assert masks_along(GRAMMARS[name](alone), walks[name]) == first[name], name


def test_a_damaged_cache_file_is_a_miss(deepseek: Tokens, tmp_path: Path) -> None:
    make, words = GRAMMARS["long strings"], [b'["', b"abc", b'"']
    compiler = GrammarCompiler(deepseek.vocabulary, cache_dir=tmp_path)
    token_ids = [deepseek.vocabulary.tokens.index(word) for word in words]
    expected = masks_along(make(compiler), token_ids)
    assert compiler.save_cache() > 0
    (path,) = (tmp_path / "masks").iterdir()
    data = path.read_bytes()
    rng = random.Random(0)
    damages = [b"", b"not an archive", data[: len(data) // 2], data[:-30]]
    for _ in range(12):
        at = rng.choice([rng.randrange(400), rng.randrange(len(data)), len(data) - rng.randrange(1, 400)])
        damages.append(data[:at] + bytes([data[at] ^ 0x5A]) + data[at + 1 :])
    for damaged in damages:
        path.write_bytes(damaged)
        assert masks_along(make(GrammarCompiler(deepseek.vocabulary, cache_dir=tmp_path)), token_ids) == expected


def test_rows_are_evicted_within_their_budget(deepseek: Tokens) -> None:
    """With room for a few rows only, masks are built again and again, and stay the same."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"
    # (Were the letter before not forbidden, most masks would be equal, and equal rows are kept once.)
    make = regex("".join(f"[^{letter}{letters[at - 1]}]*{letter}" for at, letter in enumerate(letters)))
    plenty = Matcher(make(GrammarCompiler(deepseek.vocabulary, cache_dir="")))
    tight = Matcher(make(GrammarCompiler(deepseek.vocabulary, cache_dir="", limits=Limits(mask_bytes=1))))
    for _ in range(2):
        for letter in letters:
            assert tight.allowed_token_ids().tolist() == plenty.allowed_token_ids().tolist()
            assert tight.accept_bytes(letter.encode())
            assert plenty.accept_bytes(letter.encode())
        tight.reset()
        plenty.reset()
    assert plenty.compiled.statistics["evictions"] == 0
    assert tight.compiled.statistics["evictions"] > 0


def test_equal_rows_are_kept_once(deepseek: Tokens) -> None:
    """Masks of many stacks with equal tokens, and walks of many lexer states, have one row."""
    matcher = Matcher(GrammarCompiler(deepseek.vocabulary, cache_dir="").compile_lark("python"))
    for depth in range(8):
        text = "    " * depth + f"if {'(' * depth}a[b] + c{')' * depth} in x.y or not {{d: -e for f in g}}:\n"
        for byte in text.encode():
            matcher.allowed_token_ids()
            assert matcher.accept_bytes(bytes([byte]))
    used = matcher.compiled.statistics["rows"]
    distinct = {row.tobytes() for row in matcher.compiled.engine.rows[:used]}
    assert 50 < used <= 1.1 * len(distinct)


@pytest.mark.parametrize("name", ["prefixes", "long strings", "formats", "prose", "unicode", "keywords"])
def test_a_vocabulary_of_ranks(shared_data: Path, name: str) -> None:
    """Qwen's 151,643 ranks from a tiktoken file: other tokens, other boundaries."""
    path = shared_data / "tokenizers" / "qwen.tiktoken.gz"
    tokens = Tokens(Vocabulary.from_tiktoken(path, special_tokens={"<|endoftext|>": 151_643}))
    rng = random.Random(name)
    matcher = Matcher(GRAMMARS[name](GrammarCompiler(tokens.vocabulary, cache_dir="")))
    for steps in (3, 10):
        walk(tokens, matcher, rng, steps)
        mask, expected = set(matcher.allowed_token_ids().tolist()), tokens.allowed_by_trial(matcher)
        assert mask == expected, explain(tokens, mask, expected)
