"""Schedules: which slots are chosen, from numbers that a reader can follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from grammar_engine.diffusion.schedules import NAMED, Choices, Remasking, Schedule, as_schedule, quota, quotas
from grammar_engine.errors import InvalidArgumentError


def choices(confidence: list[float], *, ends: list[int] | None = None, **other: list[float]) -> Choices:
    count = len(confidence)
    return Choices(
        slots=np.arange(10, 10 + count),
        tokens=np.zeros(count, np.int64),
        confidence=np.array(confidence),
        entropy=np.array(other.get("entropy", [0.0] * count)),
        margin=np.array(other.get("margin", [0.0] * count)),
        ends=np.array([i in (ends or []) for i in range(count)]),
    )


def chosen(schedule: Schedule, given: Choices, count: int = 1, seed: int = 0) -> list[int]:
    return schedule.choose(given, count, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("order", "expected"), [("confidence", [2, 0]), ("entropy", [1, 3]), ("margin", [3, 1]), ("left", [0, 1])]
)
def test_orders(order: str, expected: list[int]) -> None:
    given = choices([0.5, 0.1, 0.9, 0.3], entropy=[3, 0.1, 2, 1], margin=[0, 0.2, 0.1, 0.4])
    assert chosen(Schedule(order=order), given, 2) == expected


def test_equals_go_from_left_to_right() -> None:
    assert chosen(Schedule(), choices([0.5, 0.5, 0.5]), 3) == [0, 1, 2]


def test_random_order_is_seeded_and_reaches_all() -> None:
    given = choices([0.5] * 5)
    schedule = Schedule(order="random")
    assert chosen(schedule, given, 5, 3) == chosen(schedule, given, 5, 3)
    assert {chosen(schedule, given, 1, seed)[0] for seed in range(60)} == set(range(5))


def test_threshold_adds_to_the_quota() -> None:
    given = choices([0.95, 0.2, 0.91, 0.1])
    schedule = Schedule(threshold=0.9)
    assert chosen(schedule, given, 1) == [0, 2]
    assert chosen(schedule, given, 3) == [0, 2, 1]
    assert chosen(schedule, choices([0.1, 0.2]), 1) == [1]


def test_neighbours_of_sure_slots_come_along() -> None:
    """Slot 2 is the anchor; 0 and 4 are within its radius, 5 is not; 1 is too doubtful."""
    given = choices([0.8, 0.5, 0.95, 0.7, 0.8, 0.8])
    assert chosen(Schedule(threshold=0.9, radius=2, relaxed=0.75), given) == [2, 0, 4]
    assert chosen(Schedule(threshold=0.9, radius=2, relaxed=0.75), choices([0.8, 0.85])) == [1]


def test_ends_wait_for_what_is_before_them() -> None:
    given = choices([0.1, 0.99, 0.3], ends=[1])
    assert chosen(Schedule(), given, 3) == [2, 0]
    assert chosen(Schedule(ends="any"), given, 1) == [1]
    assert chosen(Schedule(), choices([0.2, 0.9], ends=[0, 1]), 2) == [0]
    assert chosen(Schedule(threshold=0.9, radius=3), choices([0.95, 0.99], ends=[1])) == [0]


def test_remasking_takes_the_most_doubtful_a_bounded_number_of_times() -> None:
    schedule = Schedule(remasking=Remasking(times=2, below=0.5, share=0.25))
    confidence = {0: 0.4, 1: 0.1, 2: 0.2, 3: 0.9}
    assert schedule.reopened(0, 8, confidence, {}) == [1, 2]
    assert schedule.reopened(0, 8, confidence, {1: 2}) == [0, 2]
    assert schedule.reopened(2, 8, confidence, {}) == [2]
    assert Schedule().reopened(0, 8, confidence, {}) == []


def test_blocks_and_quotas() -> None:
    assert Schedule(block=4).blocks(10) == [(0, 4), (4, 8), (8, 10)]
    assert Schedule(block=None).blocks(10) == [(0, 10)]
    assert quotas(None, [(0, 4)]) is None
    assert quotas(7, [(0, 4), (4, 8), (8, 10)]) == 3
    assert [quota(10, 0, 3), quota(6, 1, 3), quota(3, 2, 3), quota(1, 3, 3)] == [4, 3, 3, 1]
    assert quota(10, 0, None) == 1
    with pytest.raises(InvalidArgumentError, match="3 blocks"):
        quotas(2, [(0, 4), (4, 8), (8, 10)])


@pytest.mark.parametrize(
    "options",
    [
        {"order": "best"},
        {"block": 0},
        {"threshold": 1.5},
        {"radius": 1},
        {"radius": 1, "threshold": 0.5, "relaxed": 0.6},
        {"ends": "never"},
        {"measure": "grammar"},
        {"remasking": 3},
        {"joint": True},
    ],
)
def test_settings_without_meaning(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        Schedule(**options)


def test_names() -> None:
    for name, schedule in NAMED.items():
        assert as_schedule(name) is schedule
        assert as_schedule(schedule) is schedule
    with pytest.raises(InvalidArgumentError, match="low-confidence"):
        as_schedule("fast")
