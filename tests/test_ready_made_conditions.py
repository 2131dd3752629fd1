"""Ready-made conditions against those who decide: jsonschema, ``re``, Python's compiler, SQLite, the tokenizer.

Each accepts every prefix of what it accepts (else texts are lost), and what it refuses at the end its oracle refuses.
"""

from __future__ import annotations

import ast
import json
import random
import sqlite3
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.sampling import Partial, check_monotone
from grammar_engine.sampling.ready_made import (
    bounded,
    canonical,
    compiles_as_python,
    known_to_sqlite,
    never_matches,
    validates,
)


def accepts(condition: Any, text: str) -> bool:
    """A finished text, every prefix of it included."""
    data = text.encode()
    prefixes = all(condition.accepts(Partial(data[:end])) for end in range(len(data) + 1))
    return prefixes and condition.accepts(Partial(data, complete=True))


def test_validates() -> None:
    pytest.importorskip("jsonschema", reason="the oracle")
    condition = validates({"type": "array", "uniqueItems": True, "items": {"multipleOf": 3}})
    for value, verdict in (([3, 6], True), ([3, 3], False), ([4], False), ({}, False)):
        assert accepts(condition, json.dumps(value)) == verdict
    with pytest.raises(InvalidArgumentError, match="the schema is invalid"):
        validates({"type": "nothing"})


def test_bounded() -> None:
    condition = bounded("/a/b", least=-1, most=20)
    verdicts = {
        '{"a": {"b": 20}}': True,
        '{"a": {"b": 20.5}}': False,
        '{"a": {"b": -2}}': False,
        '{"a": {"b": 200, "c"': False,
        '{"a": {"c": 5}}': False,
        '{"a": {"b": true}}': False,
        '{"x": 100, "a": {"c": [300], "b": 7}}': True,
    }
    for text, verdict in verdicts.items():
        assert accepts(condition, text) == verdict, text
    check_monotone(condition, verdicts)


def test_never_matches() -> None:
    texts = ["abcabc", "aab", "", "xyz b", "日本b"]
    for pattern in ("b", "a+b$", r"\bb", "(?<!a)b", "b(?!c)"):
        condition = never_matches(pattern)
        check_monotone(condition, texts)
        import re

        for text in texts:
            assert accepts(condition, text) == (re.search(pattern, text) is None), (pattern, text)
    with pytest.raises(InvalidArgumentError):
        never_matches("(")


def test_python_of_the_standard_library_is_accepted_line_by_line() -> None:
    condition = compiles_as_python()
    folder = Path(sysconfig.get_path("stdlib"))
    paths = sorted(path for path in folder.glob("*.py") if 500 < path.stat().st_size < 6000)
    checked = 0
    for path in random.Random(3).sample(paths, 15):
        text = path.read_text(encoding="utf-8")
        ast.parse(text)
        ends = [i + 1 for i, char in enumerate(text) if char == "\n"]
        for end in random.Random(1).sample(ends, min(len(ends), 40)):
            for cut in (end, min(end + 3, len(text))):
                assert condition.accepts(Partial(text[:cut].encode())), (path.name, text[:cut][-200:])
                checked += 1
        assert condition.accepts(Partial(text.encode(), complete=True))
    assert checked > 500


@pytest.mark.parametrize(
    "text", ["x = 1 +\ny", "return 3\n", "def f(:\n", "f(x) = 2\n", "if a:\nb\n", "x = 'a\n", "a b\n", "1 +\n"]
)
def test_python_that_does_not_compile(text: str) -> None:
    condition = compiles_as_python()
    assert not accepts(condition, text)
    assert not condition.accepts(Partial(text.encode(), complete=True))


SHOP = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, "Birth Day" TEXT);
CREATE TABLE orders (id INTEGER, customer_id INTEGER, total REAL);
CREATE VIEW rich AS SELECT name AS who FROM customer;
"""
STATEMENTS = [
    "SELECT name FROM customer",
    "SELECT c.name, sum(o.total) AS spent FROM customer AS c JOIN orders o ON o.customer_id = c.id GROUP BY c.id",
    "SELECT s.total_sum FROM (SELECT sum(total) AS total_sum FROM orders) AS s WHERE s.total_sum > 1",
    'SELECT c."Birth Day" FROM main.customer c WHERE c.rowid = 1 ORDER BY c.name',
    "WITH w AS (SELECT id AS k FROM orders) SELECT w.k FROM w WHERE w.k = 2",
    "SELECT rich.who FROM rich WHERE who LIKE 'a.b%'",
    "INSERT INTO orders (id, total) VALUES (1, 2.5)",
    "SELECT c.nam FROM customer c WHERE 1",
    "SELECT c.name FROM customers c WHERE 1",
    "SELECT nam FROM customer",
    "SELECT name FROM customer WHERE orders.id = 1",
    "SELECT sum(name, 2) FROM customer",
    "SELECT 1; SELECT 2",
]


def test_names_that_sqlite_knows() -> None:
    condition = known_to_sqlite(SHOP)
    database = sqlite3.connect(":memory:")
    database.executescript(SHOP)
    verdicts = []
    for statement in STATEMENTS:
        try:
            database.execute(f"EXPLAIN {statement}")
        except (sqlite3.Error, sqlite3.Warning):
            expected = False
        else:
            expected = True
        assert accepts(condition, statement) == expected, statement
        verdicts.append(expected)
    assert verdicts == [True] * 7 + [False] * 6
    check_monotone(condition, STATEMENTS)
    # Refused before the end, as soon as the tables are named.
    assert not condition.accepts(Partial(b"SELECT c.nam FROM customer c WHERE c"))
    with pytest.raises(InvalidArgumentError, match="SQLite"):
        known_to_sqlite("CREATE TABLE (")


def test_canonical_tokens(tiny_model: Any) -> None:
    """Prefixes of what the tokenizer writes are accepted; other spellings of the text are not."""
    condition = canonical(tiny_model.tokenizer, tiny_model.vocabulary)
    rng = random.Random(8)
    words = ["The quick", " brown", ' {"name": ', "日本", "é🎉", "12 34", "zz", " ", "\n"]
    refused = 0
    for _ in range(60):
        text = "".join(rng.choice(words) for _ in range(rng.randrange(1, 6)))
        ids = [int(i) for i in tiny_model.tokenizer.encode(text, add_special_tokens=False)]
        data = tiny_model.vocabulary.decode(ids)
        assert condition.accepts(Partial(data, complete=True, token_ids=tuple(ids)))
        for end in range(len(ids) + 1):
            part = tuple(ids[:end])
            assert condition.accepts(Partial(tiny_model.vocabulary.decode(part), token_ids=part)), (text, end)
        place = rng.randrange(len(ids))
        token = tiny_model.vocabulary.tokens[ids[place]] or b""
        if len(token) > 1 and token.isascii():
            singles = [tiny_model.vocabulary.tokens.index(bytes([byte])) for byte in token]
            other = (*ids[:place], *singles, *ids[place + 1 :])
            assert not condition.accepts(Partial(data, complete=True, token_ids=other))
            refused += 1
    assert refused > 10
