"""Conditions and critics that raise or take too long: what they were asked about, and what had been written."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

import grammar_engine as ge
from grammar_engine.errors import ConditionError, ConditionTimeoutError, InvalidArgumentError
from grammar_engine.sampling import Condition, OnText, OnTexts, Partial, within
from grammar_engine.sampling.conditions import as_condition, ask

RECORD = r'\{"a": (0|[1-9][0-9]?), "b": "(x|yy|zzz)"\}'


def partials(*texts: str) -> list[Partial]:
    return [Partial(text.encode()) for text in texts]


def refuses_b(text: str) -> bool:
    if "b" in text:
        raise ZeroDivisionError(f"no {text}")
    return len(text) < 3


def test_the_text_is_named() -> None:
    for condition in (as_condition(refuses_b), as_condition(refuses_b) & (lambda _: True)):
        assert ask(condition, partials("a", "aaa")) == [True, False]
        with pytest.raises(ConditionError, match="ZeroDivisionError: no ab, asked about 'ab'") as caught:
            ask(condition, partials("a", "ab", "b"))
        assert caught.value.texts == ("ab",)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
    many = OnTexts(lambda texts: [refuses_b(text) for text in texts])
    with pytest.raises(ConditionError, match="3 texts, among them 'b'") as caught:
        ask(many, partials("a", "ab", "b"))
    assert caught.value.texts == ("a", "ab", "b")
    with pytest.raises(ConditionError, match="300 characters that ends 'bbb"):
        ask(as_condition(refuses_b), partials("b" * 300))


def slow_on_b(text: str) -> bool:
    if "b" in text:
        time.sleep(0.5)
    return len(text) < 3


def test_within() -> None:
    quick = within(0.2, slow_on_b)
    assert ask(quick, partials("a", "aaa")) == [True, False]
    with pytest.raises(ConditionTimeoutError, match=r"more than 0\.2 seconds, asked about 'ab'") as caught:
        ask(quick, partials("a", "ab"))
    assert (caught.value.seconds, caught.value.texts) == (0.2, ("ab",))
    many = within(0.2, OnTexts(lambda texts: [slow_on_b(text) for text in texts]))
    with pytest.raises(ConditionTimeoutError) as caught:
        ask(many, partials("a", "ab"))
    assert caught.value.texts == ("a", "ab")
    with pytest.raises(ConditionError, match="asked about 'ab'") as raised:
        ask(within(5, refuses_b), partials("a", "ab"))
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InvalidArgumentError, match="above 0"):
            within(seconds, slow_on_b)


def test_within_asks_as_the_condition_would_be_asked() -> None:
    """A batched condition gets its texts in one call; others one by one, each with a limit of its own."""
    calls: list[int] = []

    def many(texts: list[str]) -> list[bool]:
        calls.append(len(texts))
        return [True] * len(texts)

    assert ask(within(5, OnTexts(many)), partials("a", "b", "c")) == [True] * 3
    assert calls == [3]
    threads: set[int] = set()

    class Slow(Condition):
        def accepts(self, partial: Partial) -> bool:  # noqa: ARG002
            threads.add(threading.get_ident())
            time.sleep(0.15)
            return True

    assert ask(within(0.4, Slow()), partials("a", "b", "c", "d")) == [True] * 4
    assert threading.get_ident() not in threads


@pytest.fixture
def options(tiny_model: Any) -> dict[str, Any]:
    return {"regex": RECORD, "model": tiny_model, "seed": 1, "max_tokens": 100}


def raises_late(text: str) -> bool:
    if '"b": "' in text:
        raise RuntimeError("the service is gone")
    return True


def test_generate_keeps_what_there_is(options: dict[str, Any]) -> None:
    for sampler, count in ((ge.AWRS(condition=raises_late), 1), (ge.SMC(particles=3, condition=raises_late), 3)):
        with pytest.raises(ge.ConditionError, match="RuntimeError: the service is gone") as caught:
            ge.generate(["The", "Once"], sampler=sampler, **options)
        assert isinstance(caught.value.__cause__, RuntimeError)
        assert '"b": "' in caught.value.texts[-1]
        populations: Any = caught.value.populations
        assert len(populations) == 2
        for population in populations:
            assert len(population.particles) == count
            assert {particle.state for particle in population.particles} == {"writing"}
            assert all(particle.text.startswith("{") for particle in population.particles)
            assert population.posterior() == {}
            assert len(population.history) >= 1
            assert json.loads(population.to_json())["particles"][0]["state"] == "writing"
            assert "writing" in population.to_html()


@pytest.mark.parametrize("sampler", [ge.CARS, ge.Beam, ge.BestOf])
def test_all_samplers_keep_what_there_is(options: dict[str, Any], sampler: Any) -> None:
    def broken(text: str) -> bool:
        if len(text) > 3:
            raise RuntimeError
        return True

    with pytest.raises(ge.ConditionError, match="RuntimeError") as caught:
        ge.generate("The", sampler=sampler(condition=broken), **options)
    assert len(caught.value.texts[0]) > 3
    (population,) = caught.value.populations
    assert any(particle.state == "writing" and particle.text for particle in population.particles)


def test_slow_conditions_and_critics_that_raise(options: dict[str, Any]) -> None:
    def stuck(text: str) -> bool:
        if '"b"' in text:
            time.sleep(0.5)
        return True

    with pytest.raises(ge.ConditionTimeoutError) as caught:
        ge.generate("The", sampler=ge.SMC(particles=2, condition=within(0.2, stuck)), **options)
    assert '"b"' in caught.value.texts[0]
    assert len(caught.value.populations) == 1

    def broken(text: str) -> float:
        return 0.0 if len(text) < 5 else 1 // 0

    with pytest.raises(ge.ConditionError, match="the critic raised ZeroDivisionError"):
        ge.generate("The", sampler=ge.SMC(particles=2, critic=broken), **options)


def test_interrupts_are_not_conditions_errors() -> None:
    def interrupted(_: str) -> bool:
        raise KeyboardInterrupt

    for condition in (OnText(interrupted), within(5, interrupted)):
        with pytest.raises(KeyboardInterrupt):
            ask(condition, partials("a"))
