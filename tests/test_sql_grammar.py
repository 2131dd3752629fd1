"""The shipped grammar ``sql`` beside SQLite's own parser, and what it makes of words.

Statements that SQLite can run, and what is left of each when one word or sign is taken out, written twice, or put in
another's place. The statements must be accepted. What SQLite cannot parse must mostly be refused, though not always,
for the grammar takes PostgreSQL's and MySQL's syntax too (and not all of SQLite's leniency: NOT NOT NULL).
"""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Iterator

import pytest
from corpora_verdicts import Judge

TABLES = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c REAL); CREATE TABLE u (a INTEGER UNIQUE, d TEXT);"

STATEMENTS = (
    "SELECT a, b AS x FROM t WHERE c > 1.5 AND b LIKE 'k%' ORDER BY a DESC, x LIMIT 10 OFFSET 2",
    "SELECT count(DISTINCT b), max(c) FROM t GROUP BY b HAVING count(*) >= 2",
    "SELECT t.a, u.d FROM t JOIN u ON t.a = u.a LEFT OUTER JOIN t AS v USING (a) WHERE u.d IS NOT NULL",
    "SELECT a FROM t UNION ALL SELECT a FROM u EXCEPT SELECT 3",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n",
    "SELECT CASE WHEN a BETWEEN 1 AND 3 THEN 'low' ELSE NULL END FROM t WHERE a IN (SELECT a FROM u)",
    "SELECT max(a) - 1 FROM t WHERE a > 1 OR NOT EXISTS (SELECT 1)",
    "SELECT row_number() OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
    "SELECT sum(c) FILTER (WHERE a > 1) OVER w FROM t WINDOW w AS (ORDER BY a)",
    "INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y') ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING a",
    "UPDATE t SET b = 'z', c = c * 2 WHERE a = 1",
    "DELETE FROM t WHERE a IN (1, 2, 3)",
    "CREATE TABLE IF NOT EXISTS w (k INTEGER NOT NULL DEFAULT 0, v TEXT REFERENCES t (b) ON DELETE CASCADE)",
    "CREATE TEMP TABLE w (k INT, v VARCHAR(10), CONSTRAINT c CHECK (k > 0), PRIMARY KEY (k, v)) WITHOUT ROWID",
    "CREATE UNIQUE INDEX i ON t (b COLLATE NOCASE, c DESC) WHERE a > 0",
    "CREATE VIEW q AS SELECT a, CAST(c AS TEXT) FROM t",
    "CREATE TRIGGER r AFTER UPDATE OF b ON t WHEN new.a > 1 BEGIN DELETE FROM u WHERE a = old.a; END",
    "ALTER TABLE t ADD COLUMN e TEXT",
    "DROP TABLE IF EXISTS t",
    "BEGIN IMMEDIATE TRANSACTION",
)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge("sql")


def sqlite_parses(text: str) -> bool:
    """Does SQLite's parser take a statement, whatever it says of its meaning?"""
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(TABLES)
        connection.execute("EXPLAIN " + text)
    except sqlite3.Error as error:
        return not re.search(r"syntax error|incomplete input|unrecognized token", str(error))
    finally:
        connection.close()
    return True


def damaged(text: str, rng: random.Random) -> Iterator[str]:
    """Texts with one word or sign less, twice, or in another's place."""
    words = re.findall(r"'[^']*'|\w+|[<>=!|]+|\S", text)
    for index in range(len(words)):
        yield " ".join(words[:index] + words[index + 1 :])
        yield " ".join(words[: index + 1] + words[index:])
        yield " ".join([*words[:index], rng.choice(words), *words[index + 1 :]])


def test_what_sqlite_refuses(judge: Judge) -> None:
    rng = random.Random(5)
    refused = invalid = 0
    for statement in STATEMENTS:
        assert sqlite_parses(statement)
        assert judge.accepted(statement.encode()) == (True, True)
        for text in damaged(statement, rng):
            if not sqlite_parses(text):
                invalid += 1
                refused += not judge.accepted(text.encode())[0]
    assert invalid > 400
    assert refused > 0.93 * invalid, f"{refused} of {invalid}"


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("select A From T wHeRe b", True),
        ("SELECT key, value, type, row, rows, time, name FROM match", True),
        ("SELECT year, month, first, last, filter, data FROM public.version", True),
        ("SELECT from FROM t", False),
        ("SELECT a FROM where", False),
        ('SELECT "from" FROM `where`', True),
        ("SELECT t.order, 1 AS select FROM t", True),
        ("SELECTa FROM t", False),
        ("SELECT a FROM t GROUP BYb", False),
        ("SELECT a FROM t WHEREb", True),  # a table with an alias
        ("INSERTINTO t VALUES (1)", False),
        ("SELECT $$it's$$, E'it\\'s', 'it''s', $q$ $$ $q$", True),
        ("SELECT a->>'b', c @> d, e || f, - -g, ~h, i::int[] FROM t -- end", True),
        ("SELECT a /* b */ FROM t; -- c\nSELECT 2;", True),
        ("SELECT = 1", False),
        ("SELECT a b c", False),
    ],
)
def test_words_and_signs(judge: Judge, text: str, valid: bool) -> None:
    assert judge.accepted(text.encode())[0] is valid
