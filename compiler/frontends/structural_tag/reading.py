"""A structural tag as JSON → formats; everything that is not known is refused with its place.

The fields and their meanings are those of XGrammar's structural tags (docs/structural_tags.md says where they differ),
and the older form with ``structures`` and ``triggers``. Formats without others in them are read by ``contents.py``,
tags and what opens them by ``tags.py``; here is the root, and what joins formats.
"""

from __future__ import annotations

from collections.abc import Callable

from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.json_schema.options import JsonSchemaOptions
from grammar_engine.compiler.frontends.structural_tag.contents import Contents
from grammar_engine.compiler.frontends.structural_tag.fields import Fields
from grammar_engine.compiler.frontends.structural_tag.formats import Choice, Format, Repeat, Sequence
from grammar_engine.compiler.frontends.structural_tag.special_names import SpecialNames
from grammar_engine.compiler.frontends.structural_tag.tags import Tags

MAX_REPEAT = 10_000
"""Repetitions that are counted; each costs a rule."""


class Reader:
    """Reads one structural tag."""

    def __init__(self, names: SpecialNames, options: JsonSchemaOptions) -> None:
        contents = Contents(names, options)
        tags = Tags(names, contents, self._format)
        self._tags = tags
        self._readers: dict[str, Callable[[Fields, tuple[str, ...]], Format]] = {
            "const_string": contents.const_string,
            "json_schema": contents.json_schema,
            "qwen_xml_parameter": contents.json_schema,
            "any_text": contents.any_text,
            "any_tokens": contents.any_tokens,
            "token": contents.token,
            "grammar": contents.grammar,
            "regex": contents.regex,
            "sequence": self._sequence,
            "or": self._or,
            "tag": tags.lone_tag,
            "triggered_tags": tags.triggered_tags,
            "token_triggered_tags": tags.token_triggered_tags,
            "tags_with_separator": tags.tags_with_separator,
            "optional": self._repeated,
            "plus": self._repeated,
            "star": self._repeated,
            "repeat": self._repeated,
            "dispatch": tags.dispatch,
            "token_dispatch": tags.token_dispatch,
        }

    def read(self, tag: object) -> Format:
        """The whole tag: ``{"type": "structural_tag", "format": {…}}``, or with ``structures`` and ``triggers``."""
        fields = Fields(tag, "")
        if "format" in fields:
            fields.constant("type", "structural_tag")
            fields.only("type", "format")
            return self._format(fields["format"], "/format", ())
        if "structures" not in fields:
            raise InvalidSchemaError('a structural tag has "format", or "structures" and "triggers"')
        if "type" in fields:
            fields.constant("type", "structural_tag")
        fields.only("type", "structures", "triggers")
        return self._tags.structures(fields)

    def _format(self, value: object, pointer: str, ends: tuple[str, ...]) -> Format:
        """ends: of the tag around it, which its free text does not hold."""
        fields = Fields(value, pointer)
        kind = fields.string("type")
        if kind not in self._readers:
            advice = f"Known are {', '.join(sorted(self._readers))}."
            if kind == "exclude_token":
                advice = "Which token spells a text is left to the model: exclude the text instead."
            raise UnsupportedGrammarError(f"the format {kind!r}", place=pointer or "the root", advice=advice)
        return self._readers[kind](fields, ends)

    def _sequence(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        fields.only("type", "elements")
        return Sequence(elements=self._elements(fields, ends))

    def _or(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        fields.only("type", "elements")
        return Choice(elements=self._elements(fields, ends))

    def _elements(self, fields: Fields, ends: tuple[str, ...]) -> tuple[Format, ...]:
        elements = fields.array("elements")
        if not elements:
            raise InvalidSchemaError("it is empty", pointer=fields.pointer + "/elements")
        return tuple(self._format(one, f"{fields.pointer}/elements/{i}", ends) for i, one in enumerate(elements))

    def _repeated(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        kind = fields.string("type")
        least, most = {"optional": (0, 1), "plus": (1, None), "star": (0, None), "repeat": (0, 0)}[kind]
        fields.only("type", "content", *(("min", "max") if kind == "repeat" else ()))
        if kind == "repeat":
            least, upper = fields.integer("min"), fields.integer("max")
            most = None if upper == -1 else upper
            if least < 0 or (most is not None and most < least):
                raise InvalidSchemaError(f"from {least} to {upper} times is no range", pointer=fields.pointer)
            if max(least, most or 0) > MAX_REPEAT:
                advice = f"At most {MAX_REPEAT} repetitions are counted; max -1 counts none."
                raise UnsupportedGrammarError("such a large count", place=fields.pointer, advice=advice)
        content = self._format(fields["content"], fields.pointer + "/content", ends)
        return Repeat(content=content, least=least, most=most)
