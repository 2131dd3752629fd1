"""Keywords that JSON Schema lacks and its negation needs; enum members, so that no document can contain them."""

from __future__ import annotations

from enum import Enum


class Internal(Enum):
    """Keywords of schemas that ``negation.py`` makes."""

    TYPES = "types left, as bits"
    EXCLUDED = "strings that the value is not"
    NOT_PATTERN = "a pattern that does not match"
    NOT_FORMAT = "a format that the string does not have"
    NOT_MULTIPLE = "a number that the value is no multiple of"
    SOME_PROPERTY = "(which names, schema): some property among them has a value that satisfies the schema"
    PREFIX_AND_REST = "(schemas of the first items, schema of the rest)"
    SOME_ITEM = "(first index, schema, least, most): so many items from there on satisfy the schema"
