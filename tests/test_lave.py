"""LAVE: lookahead against enumeration, its false answers against a plain canvas, and what it promises all the same."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from diffusion_language import COMPILER, MASK, PAD, STOP, TOKENS, filled, is_json, language, model

from grammar_engine.diffusion import LaveSettings, Schedule
from grammar_engine.diffusion.lookahead import Gap, Prefix, find_witness, lookaheads, most_probable
from grammar_engine.errors import InvalidArgumentError
from grammar_engine.matcher import Matcher


@pytest.fixture(scope="module")
def compiled() -> Any:
    return language()


def random_gaps(rng: np.random.Generator, count: int, top: int) -> list[Gap]:
    return [
        Gap(token_ids=rng.permutation(9)[:top], logps=np.sort(np.log(rng.dirichlet(np.ones(top))))[::-1])
        for _ in range(count)
    ]


def logp(gaps: list[Gap], tokens: tuple[int, ...]) -> float:
    return sum(float(g.logps[list(g.token_ids).index(t)]) for g, t in zip(gaps, tokens, strict=True))


@pytest.mark.parametrize(("count", "top", "wanted"), [(1, 5, 3), (3, 3, 5), (4, 2, 16), (2, 2, 10)])
def test_the_most_probable_sequences(count: int, top: int, wanted: int) -> None:
    rng = np.random.default_rng(count)
    for _ in range(20):
        gaps = random_gaps(rng, count, top)
        everything = sorted(
            (logp(gaps, tokens) for tokens in itertools.product(*(map(int, g.token_ids) for g in gaps))), reverse=True
        )
        found = most_probable(gaps, wanted)
        assert len(set(found)) == len(found) == min(wanted, top**count)
        assert [logp(gaps, tokens) for tokens in found] == pytest.approx(everything[:wanted])


def test_half_are_drawn() -> None:
    """What is drawn comes as often as the gaps' distributions say, where it is not among the best."""
    rng = np.random.default_rng(0)
    gaps = random_gaps(rng, 3, 4)
    best = most_probable(gaps, 5)
    counts: dict[tuple[int, ...], int] = {}
    for seed in range(3000):
        found = lookaheads(gaps, 6, np.random.default_rng(seed))
        assert found[:3] == best[:3]
        assert len(set(found)) == len(found) <= 6
        for tokens in found[3:]:
            counts[tokens] = counts.get(tokens, 0) + 1
    for tokens in best[3:5]:
        chance = 1 - (1 - math.exp(logp(gaps, tokens))) ** 3
        assert counts[tokens] / 3000 == pytest.approx(chance, abs=4 * math.sqrt(chance / 3000))
    assert lookaheads([], 6, rng) == [()]


def test_a_witness_is_a_proof(compiled: Any) -> None:
    """With as many beams as there are sequences, lookahead finds a filling exactly if there is one."""
    rng = np.random.default_rng(1)
    found_some = 0
    for _ in range(150):
        ids = [MASK if rng.random() < 0.5 else int(rng.integers(0, STOP + 2)) for _ in range(int(rng.integers(1, 5)))]
        ids[-1] = int(rng.integers(0, STOP + 1))
        gaps = random_gaps(rng, ids.count(MASK), 3)
        fillings = []
        for sequence in itertools.product(*(g.token_ids for g in gaps)):
            rest = iter(sequence)
            fillings.append([int(next(rest)) if token == MASK else token for token in ids])
        viable = [filling for filling in fillings if begins_a_text(compiled, filling)]
        prefix = Prefix(Matcher(compiled), frozenset({STOP, PAD}))
        witness = find_witness(prefix, ids, gaps, MASK, 2 * 3**4, rng)
        assert (witness is not None) == bool(viable)
        if witness is not None:
            assert witness in viable
            found_some += 1
        assert not prefix.is_text  # it has not moved
    assert found_some > 20


def begins_a_text(compiled: Any, filling: list[int]) -> bool:
    matcher = Matcher(compiled)
    for i, token in enumerate(filling):
        if matcher.is_terminated():
            return set(filling[i:]) <= {STOP, PAD}
        if not matcher.accept_token(token):
            return False
    return True


def test_what_is_filled_begins_a_text_at_every_step(compiled: Any) -> None:
    """Of the slots before the first open one; complete texts are texts by another parser's verdict."""
    complete = 0
    for seed in range(12):
        for name in ("low-confidence", "random", "local"):
            result = filled(model(seed), [""], compiled, method="lave", slots=10, schedule=name, seed=seed)[0]
            for step in result.history:
                known = list(itertools.takewhile(lambda token: token != MASK, step.token_ids))
                assert begins_a_text(compiled, known)
            complete += result.complete
            assert result.complete == (result.value is not None)
            assert not result.complete or is_json(result.text)
            assert MASK not in result.canvas
    assert complete > 5


def test_false_answers_are_counted(compiled: Any) -> None:
    """Against plain canvases of the same moments: rejected though possible, accepted though not."""
    from plain_canvas import PlainCanvas

    from grammar_engine.diffusion import lave

    told = []

    class Watched(lave.LaveRow):
        def _judge(self, slot: int, token: int, *, accepted: bool) -> None:
            ids = list(self.ids)
            ids[slot] = token
            possible = PlainCanvas(compiled, ids, mask_token_id=MASK, pad_token_id=PAD).is_completable()
            told.append((accepted, possible))
            super()._judge(slot, token, accepted=accepted)

    from unittest import mock

    totals = [0, 0]
    with mock.patch("grammar_engine.diffusion.loop.LaveRow", Watched):
        for seed in range(6):
            told.clear()
            options = {"method": "lave", "slots": 7, "schedule": "random", "seed": seed, "audit": True}
            counters = filled(model(seed), [""], compiled, **options)[0].counters
            assert counters.verifications == len(told)
            assert counters.rejects == sum(not accepted for accepted, _ in told)
            assert counters.false_rejects == told.count((False, True))
            assert counters.false_accepts == told.count((True, False))
            totals[0] += counters.false_rejects
            totals[1] += counters.false_accepts
    assert all(totals)


def test_the_audit_changes_nothing(compiled: Any) -> None:
    for seed in range(4):
        options = {"method": "lave", "slots": 8, "seed": seed}
        plain = filled(model(seed), [""], compiled, **options)[0]
        audited = filled(model(seed), [""], compiled, audit=True, **options)[0]
        assert plain.canvas == audited.canvas
        assert plain.history == audited.history


def test_recovery(compiled: Any) -> None:
    """With one reject in a row allowed, gaps are filled from the witness: their tokens are those that proved it."""
    recovered = 0
    for seed in range(20):
        result = filled(
            model(seed), [""], compiled, method="lave", slots=9, schedule="random", seed=seed,
            lave=LaveSettings(rejects=1),
        )[0]  # fmt: skip
        states = [slot.state for step in result.history for slot in step.slots]
        assert ("recovered" in states) == bool(result.counters.recoveries)
        recovered += states.count("recovered")
        assert result.counters.rejects >= result.counters.recoveries
    assert recovered


def test_rows_are_seeded_and_independent(compiled: Any) -> None:
    options = {"method": "lave", "slots": 8, "temperature": 1.0}
    batch = filled(model(5), ["", "abc"], compiled, seed=7, **options)
    again = filled(model(5), ["", "abc"], compiled, seed=7, **options)
    assert [r.canvas for r in batch] == [r.canvas for r in again]
    alone = filled(model(5), ["abc"], compiled, seed=8, **options)[0]
    assert alone.canvas == batch[1].canvas
    assert alone.history[0].slots == batch[1].history[0].slots


def test_slots_are_not_counted() -> None:
    """The published method's blind spot: it opens brackets that the canvas has no room to close."""
    nested = COMPILER.compile_gbnf('root ::= "[" root? "]"')
    favoured = {0: 20.0}
    free = filled(model(0, favoured=favoured), [""], nested, method="lave", slots=8, schedule="left-to-right")[0]
    assert free.text == "[" * 8
    assert not free.complete
    exact = filled(model(0, favoured=favoured), [""], nested, slots=8, schedule="left-to-right")[0]
    assert exact.text == "[[[[]]]]"


def test_infilling_with_gaps_behind_the_block(compiled: Any) -> None:
    """What a caller has put behind open slots of later blocks is not asked about, and stays."""
    given = [MASK, MASK, MASK, 2, MASK, MASK, MASK, 1]
    result = filled(model(1), [""], compiled, method="lave", canvas=given, schedule=Schedule(block=3))[0]
    assert all(a in (MASK, b) for a, b in zip(given, result.canvas, strict=True))


@pytest.mark.parametrize("options", [{"top": 0}, {"beams": 0}, {"rejects": True}])
def test_settings_without_meaning(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        LaveSettings(**options)


def test_vocabulary_of_the_tests() -> None:
    assert TOKENS[STOP] is TOKENS[MASK] is None
