"""A short differential fuzzing of Lark grammars (at length: ``benchmarks/fuzz_lark.py``)."""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from typing import Any

import pytest
from grammar_engine.compiler.frontends.lark_source import LarkGrammar
from lark_fuzzing import campaign as campaigns
from lark_fuzzing.campaign import Campaign
from lark_fuzzing.grammars import PATTERNS, GrammarGenerator, RandomGrammar


@pytest.fixture(autouse=True)
def _quiet_lark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lark asks interegular whether terminals collide, only to warn, and interegular fails on some look-aheads."""
    monkeypatch.setattr("lark.lexer.has_interegular", False)
    logging.getLogger("lark").setLevel(logging.CRITICAL)


@pytest.mark.parametrize("seed", range(3))
def test_verdicts_and_masks_are_equal(seed: int) -> None:
    report = Campaign(seed, max_differences=3).run(500)
    assert not report.differences, "\n".join(map(str, report.differences))
    assert 0.1 * report.verdicts < report.accepted < 0.9 * report.verdicts
    assert report.masks > 30


def test_every_construct_is_written() -> None:
    """Of a few hundred grammars; each feature of the lists of patterns, each operator and directive."""
    generator = GrammarGenerator(random.Random(0))
    features = set().union(*(generator.generate().features for _ in range(300)))
    assert features >= set(PATTERNS)
    assert features >= {"?", "*", "+", "~", "[x]", "group", "alias", "template", "priority", "rule priority", "?rule"}
    assert features >= {"!rule", "%import", "%override", "%extend", "%ignore", "terminals of terminals", "indented"}


def test_a_wrong_grammar_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A front end that forgets what is ignored."""
    right = campaigns._ours

    def forgetful(grammar: RandomGrammar) -> LarkGrammar:
        return replace(right(grammar), ignored=())

    monkeypatch.setattr(campaigns, "_ours", forgetful)
    (difference,) = Campaign(0, max_differences=1).run(2000).differences
    assert difference.kind == "verdict"
    assert "%ignore" in difference.grammar.source
    assert len(difference.grammar.source) < 400, difference


def test_a_wrong_mask_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine whose masks lack a token."""
    from grammar_engine.matcher import Matcher

    whole = Matcher.allowed_token_ids

    def without_a(matcher: Matcher) -> Any:
        mask = whole(matcher)
        return mask[mask != ord("a")]

    monkeypatch.setattr(Matcher, "allowed_token_ids", without_a)
    (difference,) = Campaign(0, max_differences=1).run(2000).differences
    assert difference.kind == "mask"
