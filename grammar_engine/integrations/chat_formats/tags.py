"""The formats of structural tags, as JSON (docs/structural_tags.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Tag = dict[str, Any]


def text(value: str) -> Tag:
    """This text."""
    return {"type": "const_string", "value": value}


def pattern(value: str) -> Tag:
    """The texts that a regular expression matches."""
    return {"type": "regex", "pattern": value}


def any_text(excludes: Sequence[str] = ()) -> Tag:
    """Any text in which none of some texts stands."""
    return {"type": "any_text", "excludes": list(excludes)}


def json_schema(schema: Any) -> Tag:
    """The JSON texts of a schema."""
    return {"type": "json_schema", "json_schema": schema}


def sequence(*elements: Tag) -> Tag:
    """One after the other."""
    return elements[0] if len(elements) == 1 else {"type": "sequence", "elements": list(elements)}


def either(elements: Sequence[Tag]) -> Tag:
    """One of them."""
    return elements[0] if len(elements) == 1 else {"type": "or", "elements": list(elements)}


def optional(content: Tag) -> Tag:
    """It, or nothing."""
    return {"type": "optional", "content": content}


def star(content: Tag) -> Tag:
    """It, any number of times."""
    return {"type": "star", "content": content}


def tag(begin: str, content: Tag, end: str) -> Tag:
    """It, between two texts."""
    return {"type": "tag", "begin": begin, "content": content, "end": end}


def dispatch(rules: Sequence[tuple[str, Tag]], *, loop: bool, excludes: Sequence[str] = ()) -> Tag:
    """Free text until one of some texts is complete, then what belongs to that."""
    return {"type": "dispatch", "rules": [list(rule) for rule in rules], "loop": loop, "excludes": list(excludes)}
