"""Shipped grammars over real texts: the shares of valid texts accepted and of invalid ones refused.

A sample with a fixed seed; ``python benchmarks/corpora.py --mutants`` prints the figures over everything.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from corpora_verdicts import Judge, judge_corpus

SHARES = {
    ("go", ""): (0.985, 0.985),
}
"""Per language and dialect the least share of valid texts accepted, and of invalid ones refused."""

SAMPLE = 300


@pytest.fixture(scope="module")
def judges() -> dict[str, Judge]:
    return {}


@pytest.mark.parametrize(("language", "dialect"), SHARES, ids=lambda part: part or "plain")
def test_shares_of_a_corpus(language: str, dialect: str, shared_data: Path, judges: dict[str, Judge]) -> None:
    judge = judges.setdefault(language, Judge(language))
    for label, least in zip((True, False), SHARES[language, dialect], strict=True):
        right = total = 0
        for name in (language, f"{language}_mutants"):
            scores, _ = judge_corpus(shared_data, name, judge, dialect=dialect, limit=SAMPLE)
            score = scores[dialect]
            assert score.alive == score.truncated
            right += score.share(label=label)[0]
            total += score.share(label=label)[1]
        assert total
        assert right >= least * total, f"{right} of {total} labelled {label}"


def test_a_fragment_begins_at_a_rule() -> None:
    for name, start, text in (("go", "statement", b"if x := f(); x == (T{1}) {\n\treturn\n}"),):
        judge = Judge(name, start=start)
        assert judge.accepted(text) == (True, True)
        assert judge.accepted(text + b"}") == (False, False)
