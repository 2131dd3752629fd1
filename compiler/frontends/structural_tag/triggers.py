"""Where a trigger ends, and what a begin says behind it."""

from __future__ import annotations

from grammar_engine.compiler.frontends.structural_tag.formats import Trigger
from grammar_engine.compiler.frontends.structural_tag.special_names import Segments


def trigger_of(reading: Segments) -> tuple[Trigger, Segments]:
    """A trigger ends with its first special token: what it is, and the segments that it consists of."""
    first = reading[0]
    if isinstance(first, int):
        return Trigger(text="", token=first), reading[:1]
    if len(reading) > 1 and isinstance(reading[1], int):
        return Trigger(text=first, token=reading[1]), reading[:2]
    return Trigger(text=first), reading[:1]


def comes_first(trigger: Trigger, other: Trigger) -> bool:
    """Is a trigger complete before another one, whose tags are its own too?"""
    return trigger != other and trigger.token is None and other.text.startswith(trigger.text)


def text_behind(begin: Segments, head: Segments) -> Segments | None:
    """What follows a trigger in a begin; None if it does not begin so."""
    if len(begin) < len(head) or begin[: len(head) - 1] != head[:-1]:
        return None
    last, there = head[-1], begin[len(head) - 1]
    if isinstance(last, int) or isinstance(there, int):
        return begin[len(head) :] if last == there else None
    if not there.startswith(last):
        return None
    rest = there[len(last) :]
    return ((rest,) if rest else ()) + begin[len(head) :]
