"""Dates, times and durations of Python types as schemas: the bounds and time zones that pydantic only checks.

Where there are bounds, texts keep to one layout (UTC or without an offset; durations in seconds), in which they are
ordered as their digits are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from grammar_engine import type_patterns as patterns
from grammar_engine.type_parts import JsonSchemaValue, earlier, later, nothing, refused, with_all

_SECOND, _DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)


def date_schema(schema: Mapping[str, Any]) -> JsonSchemaValue:
    """ISO 8601, within the bounds; "past" and "future" at two days' distance from today."""
    low, high = schema.get("ge"), schema.get("le")
    try:
        if (bound := schema.get("gt")) is not None:
            low = later(low, bound + _DAY)
        if (bound := schema.get("lt")) is not None:
            high = earlier(high, bound - _DAY)
    except OverflowError:
        return nothing()
    today = dt.datetime.now(dt.timezone.utc).date()
    if schema.get("now_op") == "past":
        high = earlier(high, today - 2 * _DAY)
    if schema.get("now_op") == "future":
        low = later(low, today + 2 * _DAY)
    asked = [f"^{patterns.not_below(low.isoformat())}$"] if low is not None else []
    asked += [f"^{patterns.not_above(high.isoformat())}$"] if high is not None else []
    return with_all({"type": "string", "format": "python-date"}, [{"pattern": text} for text in asked])


def datetime_schema(schema: Mapping[str, Any]) -> JsonSchemaValue:
    """RFC 3339, or the same without an offset. Where there are bounds, only in UTC or naive, as they are."""
    zone = schema.get("tz_constraint")
    bounds = [schema.get(bound) for bound in ("ge", "gt", "le", "lt")]
    aware = {bound.tzinfo is not None for bound in bounds if bound is not None}
    if schema.get("now_op"):
        aware.add(zone != "naive")
    if (
        len(aware) == 2
        or (aware and zone in ("aware", "naive") and aware != {zone == "aware"})
        or isinstance(zone, int)
    ):
        raise refused("datetime with bounds in different time zones", "Give all bounds in UTC, or all without.")
    offset_free: JsonSchemaValue = {"type": "string", "pattern": patterns.NAIVE_DATE_TIME}
    if not aware:
        with_offset: JsonSchemaValue = {"type": "string", "format": "python-date-time"}
        both: JsonSchemaValue = {"anyOf": [with_offset, offset_free]}
        return {"aware": with_offset, "naive": offset_free}.get(str(zone), both)
    utc = aware == {True}
    now = dt.datetime.now(dt.timezone.utc) if utc else dt.datetime.now()  # noqa: DTZ005 - naive, as the bounds are
    if schema.get("now_op") == "past":
        bounds[2] = earlier(bounds[2], now - _DAY)
    if schema.get("now_op") == "future":
        bounds[0] = later(bounds[0], now + _DAY)
    if utc:
        bounds = [bound if bound is None else bound.astimezone(dt.timezone.utc) for bound in bounds]
        offset_free["pattern"] = patterns.UTC_DATE_TIME
    asked = _moments(bounds, suffix="Z" if utc else "")
    return nothing() if asked is None else with_all(offset_free, [{"pattern": text} for text in asked])


def time_schema(schema: Mapping[str, Any]) -> JsonSchemaValue:
    """RFC 3339, or the same without an offset; where there are bounds, without."""
    bounds = [schema.get(bound) for bound in ("ge", "gt", "le", "lt")]
    zone = schema.get("tz_constraint")
    offset_free: JsonSchemaValue = {"type": "string", "pattern": patterns.NAIVE_TIME}
    if bounds == [None] * 4:
        with_offset: JsonSchemaValue = {"type": "string", "format": "python-time"}
        both: JsonSchemaValue = {"anyOf": [with_offset, offset_free]}
        return {"aware": with_offset, "naive": offset_free}.get(str(zone), both)
    if zone == "aware" or isinstance(zone, int) or any(b is not None and b.tzinfo is not None for b in bounds):
        raise refused("time with bounds and a time zone", "Give the bounds without a time zone.")
    day = dt.date(2000, 1, 1)
    asked = _moments([b if b is None else dt.datetime.combine(day, b) for b in bounds], suffix="", day=day)
    return nothing() if asked is None else with_all(offset_free, [{"pattern": text} for text in asked])


def timedelta_schema(schema: Mapping[str, Any]) -> JsonSchemaValue:
    """ISO 8601; where there are bounds (but for "not negative"), in seconds only."""
    bounds: dict[str, Any] = {
        bound: schema[bound] for bound in ("ge", "gt", "le", "lt") if schema.get(bound) is not None
    }
    if not bounds:
        return {"type": "string", "pattern": patterns.DURATION}
    if bounds == {"ge": dt.timedelta(0)}:
        return {"type": "string", "pattern": patterns.POSITIVE_DURATION}
    lows = [-(-bounds["ge"] // _SECOND)] if "ge" in bounds else []
    lows += [bounds["gt"] // _SECOND + 1] if "gt" in bounds else []
    highs = [bounds["le"] // _SECOND] if "le" in bounds else []
    highs += [-(-bounds["lt"] // _SECOND) - 1] if "lt" in bounds else []
    pattern = patterns.seconds(max(lows, default=None), min(highs, default=None))
    return nothing() if pattern is None else {"type": "string", "pattern": pattern}


def _moments(bounds: list[Any], *, suffix: str, day: dt.date | None = None) -> list[str] | None:
    """Patterns of the moments within bounds (ge, gt, le, lt); of those on one day, as times. None: there are none."""
    at_least, above, at_most, below = bounds
    low = high = last = None
    try:
        if at_least is not None:
            low = at_least.replace(microsecond=0) + (_SECOND if at_least.microsecond else 0 * _SECOND)
        if above is not None:
            low = later(low, above.replace(microsecond=0) + _SECOND)
        for bound, included in ((at_most, True), (below, False)):
            if bound is None:
                continue
            whole = bound.replace(microsecond=0)
            exact = whole if included or bound.microsecond else None
            if high is None or whole - _SECOND < high:
                high, last = whole - _SECOND, exact
    except OverflowError:
        return None
    if day is not None and ((low is not None and low.date() > day) or (high is not None and high.date() < day)):
        return None

    def text(moment: dt.datetime | None) -> str | None:
        if moment is None:
            return None
        return moment.replace(tzinfo=None).isoformat() if day is None else moment.time().isoformat()

    return patterns.moments(text(low), text(high), text(last), suffix=suffix)
