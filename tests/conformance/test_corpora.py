"""Shipped grammars over real texts: the shares of valid texts accepted and of invalid ones refused.

A sample with a fixed seed; ``python benchmarks/corpora.py --mutants`` prints the figures over everything.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from corpora_verdicts import Judge, Score, judge_corpus

SHARES = {
    ("c", "c"): (0.97, 0.99),
    ("csv", ""): (1.0, None),
    ("go", ""): (0.985, 0.985),
    ("graphql", ""): (0.99, 0.99),
    ("ini", ""): (0.95, 0.95),
    ("java", ""): (0.985, 0.96),
    ("javascript", "module"): (0.98, 0.95),
    ("javascript", "script"): (0.99, 0.95),
    ("json", ""): (1.0, 1.0),
    ("lark", ""): (0.99, 0.9),
    ("lua", ""): (0.99, 0.99),
    ("pddl", "domain"): (0.99, None),
    ("pddl", "problem"): (0.99, None),
    ("python", ""): (0.985, 0.99),
    ("smiles", ""): (0.99, 0.99),
    ("sql", "postgres"): (0.98, 0.95),
    ("sql", "sqlite"): (0.99, 0.95),
    ("sql", "mysql"): (0.95, None),
    ("sql", "duckdb"): (0.9, 0.95),
    ("sql", "sqlglot"): (0.92, None),
    ("toml", ""): (0.98, 0.98),
    ("xml", ""): (0.96, 0.98),
}
"""Per language and dialect the least share of valid texts accepted, and of invalid ones refused (None: none)."""

SAMPLE = 300


@pytest.fixture(scope="module")
def judges() -> dict[str, Judge]:
    return {}


@pytest.mark.parametrize(("language", "dialect"), SHARES, ids=lambda part: part or "plain")
def test_shares_of_a_corpus(language: str, dialect: str, shared_data: Path, judges: dict[str, Judge]) -> None:
    judge = judges.setdefault(language, Judge(language))
    for label, least in zip((True, False), SHARES[language, dialect], strict=True):
        if least is None:
            continue
        right = total = 0
        for name in (language, f"{language}_mutants"):
            if not (shared_data / "corpora" / f"{name}.jsonl.gz").exists():
                continue
            scores, _ = judge_corpus(shared_data, name, judge, dialect=dialect, limit=SAMPLE)
            score = scores.get(dialect, Score())
            assert score.alive == score.truncated
            right += score.share(label=label)[0]
            total += score.share(label=label)[1]
        assert total
        assert right >= least * total, f"{right} of {total} labelled {label}"


def test_a_fragment_begins_at_a_rule() -> None:
    for name, start, text in (
        ("c", "statement", b"for (int i = 0; i < n; i++) { a * b; }"),
        ("c", "expression", b"sizeof(struct s *[3]) + (x)(y)"),
        ("graphql", "selection_set", b"{ a: b(c: [$d, {e: 1}]) @f { ...g ... on H { i } } }"),
        ("graphql", "type_reference", b"[[A!]!]"),
        ("toml", "value", b'[1, {a.b = 1979-05-27, "c" = inf}, [\n]]'),
        ("xml", "element", b"<a b='&lt;'>c<d/><!-- e --></a>"),
        ("lark", "expansions", b'a{B, c}~2..3 | (D "e"i)? -> f'),
        ("smiles", "bracket_atom", b"[13CH3-:1]"),
        ("pddl", "condition", b"(forall (?x - (either a b)) (imply (p ?x) (not (q ?x))))"),
        ("regex", "group", b"(?P<a>b|[^]c-d]{2,3}?)"),
        ("go", "statement", b"if x := f(); x == (T{1}) {\n\treturn\n}"),
        ("go", "expression", b"map[string][]int{}"),
        ("java", "block_statement", b"M<S, List<List<A>>> m = x -> switch (x) { case R(A y) when y > 1 -> y; };"),
        ("java", "expression", b"(List<A>) a::<B>b"),
        ("javascript", "statement_item", b"for (const [a, {b = `${c}`}] of d)\n  a = b\n"),
        ("javascript", "expression_item", b"(x, ...y) => ({ async *[z]() {}, get q() { return /}/g } })"),
        ("lua", "statement", b"local x <const> = f{[ [[a]] ] = 1; b}:c [==[]]]==]"),
        (
            "sql",
            "select_statement",
            b"WITH a AS (SELECT 1) SELECT count(*) FROM a WHERE x IN (SELECT y FROM b) LIMIT 3",
        ),
        ("sql", "expression", b"a + b * count(DISTINCT c) > 3 AND NOT d BETWEEN 1 AND 2"),
        ("sql", "create_table", b"CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(10) NOT NULL DEFAULT 'x')"),
    ):
        judge = Judge(name, start=start)
        assert judge.accepted(text) == (True, True), name
        assert judge.accepted(text + b"}") == (False, False), (name, start)
