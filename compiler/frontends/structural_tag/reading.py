"""A structural tag as JSON → formats; everything that is not known is refused with its place.

The fields and their meanings are those of XGrammar's structural tags (docs/structural_tags.md says where they differ),
and the older form with ``structures`` and ``triggers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from grammar_engine.compiler.errors import (
    InvalidSchemaError,
    UnsupportedGrammarError,
)
from grammar_engine.compiler.frontends.gbnf.grammar import gbnf_grammar
from grammar_engine.compiler.frontends.json_schema.options import JsonSchemaOptions
from grammar_engine.compiler.frontends.regex import regex_grammar
from grammar_engine.compiler.frontends.structural_tag.fields import Fields
from grammar_engine.compiler.frontends.structural_tag.formats import (
    EMPTY,
    Choice,
    Dispatch,
    Format,
    Free,
    Repeat,
    Rule,
    Sequence,
    Text,
    Trigger,
)
from grammar_engine.compiler.frontends.structural_tag.parts import Parts
from grammar_engine.compiler.frontends.structural_tag.special_names import Segments, SpecialNames
from grammar_engine.compiler.frontends.structural_tag.triggers import comes_first, text_behind, trigger_of
from grammar_engine.compiler.frontends.structural_tag.xml_parameters import STYLES, XmlParameters

MAX_REPEAT = 10_000
"""Repetitions that are counted; each costs a rule."""
_COUNT_CHARACTERS = "A grammar sees text, not tokens: give max_chars, or limit the tokens where they are generated."


@dataclass(frozen=True, kw_only=True)
class _Tag:
    """A tag: the readings of its begin, and what follows them."""

    begins: list[Segments]
    rest: Format
    pointer: str


class Reader:
    """Reads one structural tag."""

    def __init__(self, names: SpecialNames, options: JsonSchemaOptions) -> None:
        self._names = names
        self._options = options
        self._parts = Parts()

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
        tags = [self._structure(value, f"/structures/{i}") for i, value in enumerate(fields.array("structures"))]
        if not tags:
            raise InvalidSchemaError("it is empty", pointer="/structures")
        return self._triggered(fields, tags, (), at_least_one=False, stop_after_first=False)

    # -- formats

    def _format(self, value: object, pointer: str, ends: tuple[str, ...]) -> Format:
        """ends: of the tag around it, which its free text does not hold."""
        fields = Fields(value, pointer)
        kind = fields.string("type")
        readers: dict[str, Callable[[Fields, tuple[str, ...]], Format]] = {
            "const_string": self._const_string,
            "json_schema": self._json_schema,
            "qwen_xml_parameter": self._json_schema,
            "any_text": self._any_text,
            "any_tokens": self._any_tokens,
            "token": self._token,
            "grammar": self._grammar,
            "regex": self._regex,
            "sequence": self._sequence,
            "or": self._or,
            "tag": self._lone_tag,
            "triggered_tags": self._triggered_tags,
            "token_triggered_tags": self._token_triggered_tags,
            "tags_with_separator": self._tags_with_separator,
            "optional": self._repeated,
            "plus": self._repeated,
            "star": self._repeated,
            "repeat": self._repeated,
            "dispatch": self._dispatch,
            "token_dispatch": self._token_dispatch,
        }
        if kind not in readers:
            advice = f"Known are {', '.join(sorted(readers))}."
            if kind == "exclude_token":
                advice = "Which token spells a text is left to the model: exclude the text instead."
            raise UnsupportedGrammarError(f"the format {kind!r}", place=pointer or "the root", advice=advice)
        return readers[kind](fields, ends)

    def _const_string(self, fields: Fields, _ends: tuple[str, ...]) -> Format:
        fields.only("type", "value")
        return self._literal(fields.string("value"))

    def _any_text(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        fields.only("type", "excludes", "max_chars", "max_tokens")
        self._refuse_max_tokens(fields)
        excludes = fields.strings("excludes")
        return Free(excludes=_distinct(*excludes, *ends), max_chars=fields.count("max_chars"))

    def _any_tokens(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        fields.only("type", "exclude_tokens", "max_tokens")
        self._refuse_max_tokens(fields)
        self._excluded_tokens(fields)
        return Free(excludes=ends)

    def _token(self, fields: Fields, _ends: tuple[str, ...]) -> Format:
        return Text(texts=(self._names.spelled(self._token_id(fields)),))

    def _grammar(self, fields: Fields, _ends: tuple[str, ...]) -> Format:
        fields.only("type", "grammar")
        source = fields.string("grammar")
        if "::=" not in source:
            advice = "Write it as GBNF or EBNF, from the rule root; Lark grammars are no part of structural tags."
            raise UnsupportedGrammarError("a grammar of this kind", place=fields.pointer + "/grammar", advice=advice)
        return self._parts.part(("grammar", source), fields.pointer, "grammar", lambda: gbnf_grammar(source))

    def _regex(self, fields: Fields, _ends: tuple[str, ...]) -> Format:
        fields.only("type", "pattern")
        pattern = fields.string("pattern")
        return self._parts.part(("regex", pattern), fields.pointer, "pattern", lambda: regex_grammar(pattern))

    def _json_schema(self, fields: Fields, _ends: tuple[str, ...]) -> Format:
        style = "qwen_xml"
        if fields.string("type") == "json_schema":
            fields.only("type", "json_schema", "style", "any_order", "max_whitespace_cnt", "excludes")
            style = fields.string("style", default="json")
            fields.unsupported("excludes", (None, []), "Say it in the schema, as a pattern.")
        else:
            fields.only("type", "json_schema")
        options = self._options
        if fields.boolean("any_order"):
            options = replace(options, property_order="any")
        most = fields.count("max_whitespace_cnt")
        if most is not None:
            options = replace(options, max_whitespace=most)
        schema, pointer = fields["json_schema"], fields.pointer + "/json_schema"
        if style in STYLES:
            space = rf"[ \t\r\n]{{0,{options.max_whitespace}}}"
            gap = self._parts.part(("regex", space), pointer, "", lambda: regex_grammar(space))
            parameters = XmlParameters(STYLES[style], gap, lambda part, at: self._parts.json(part, at, options))
            return parameters.arguments(schema, pointer)
        if style != "json":
            advice = f"Known are json, {', '.join(STYLES)}."
            raise UnsupportedGrammarError(f"the style {style!r}", place=fields.pointer + "/style", advice=advice)
        return self._parts.json(schema, pointer, options)

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

    # -- tags

    def _lone_tag(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        return self._whole(self._tag(fields, ends))

    def _whole(self, tag: _Tag) -> Format:
        begin = Text(texts=tuple(dict.fromkeys(self._names.bytes_of(begin) for begin in tag.begins)))
        return Sequence(elements=(begin, tag.rest))

    def _tag(self, fields: Fields, ends: tuple[str, ...]) -> _Tag:
        fields.constant("type", "tag")
        fields.only("type", "begin", "content", "end")
        pointer = fields.pointer
        begin = fields["begin"]
        if isinstance(begin, Mapping):
            begins: list[Segments] = [(self._token_id(Fields(begin, pointer + "/begin")),)]
        else:
            begins = self._names.readings(fields.string("begin"))
        end = fields["end"]
        if isinstance(end, Mapping):
            end_texts: tuple[bytes, ...] = (self._names.spelled(self._token_id(Fields(end, pointer + "/end"))),)
        else:
            literals = [fields.string("end")] if isinstance(end, str) else fields.strings("end", may_be_empty=True)
            if not literals:
                raise InvalidSchemaError("it is empty", pointer=pointer + "/end")
            end_texts = _distinct(*(text for literal in literals for text in self._names.texts(literal)))
            ends = _distinct(*filter(None, literals)) or ends
        content = self._format(fields["content"], pointer + "/content", ends)
        rest = content if end_texts == (b"",) else Sequence(elements=(content, Text(texts=end_texts)))
        return _Tag(begins=begins, rest=rest, pointer=pointer)

    def _tags(self, fields: Fields, ends: tuple[str, ...]) -> list[_Tag]:
        found = fields.array("tags")
        if not found:
            raise InvalidSchemaError("it is empty", pointer=fields.pointer + "/tags")
        return [self._tag(Fields(one, f"{fields.pointer}/tags/{i}"), ends) for i, one in enumerate(found)]

    def _structure(self, value: object, pointer: str) -> _Tag:
        fields = Fields(value, pointer)
        fields.only("begin", "schema", "end")
        content = self._parts.json(fields["schema"], pointer + "/schema", self._options)
        end = Text(texts=self._names.texts(fields.string("end")))
        begins = self._names.readings(fields.string("begin"))
        return _Tag(begins=begins, rest=Sequence(elements=(content, end)), pointer=pointer)

    def _triggered_tags(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        fields.only("type", "triggers", "tags", "at_least_one", "stop_after_first", "excludes")
        excludes = fields.strings("excludes")
        return self._triggered(
            fields,
            self._tags(fields, ends),
            _distinct(*excludes, *ends),
            at_least_one=fields.boolean("at_least_one"),
            stop_after_first=fields.boolean("stop_after_first"),
        )

    def _triggered(
        self, fields: Fields, tags: list[_Tag], excludes: tuple[str, ...], *, at_least_one: bool, stop_after_first: bool
    ) -> Format:
        pointer = fields.pointer
        triggers: dict[Trigger, list[Format]] = {}
        places: dict[Trigger, str] = {}
        heads: dict[Trigger, Segments] = {}
        letters: list[str] = []
        for i, text in enumerate(fields.strings("triggers")):
            for reading in self._names.readings(text):
                trigger, head = trigger_of(reading)
                triggers.setdefault(trigger, [])
                places.setdefault(trigger, f"{pointer}/triggers/{i}")
                heads[trigger] = head
                if trigger.token is not None and self._names.mode == "tokens":
                    letters.append(text)  # what is no trigger must not look like one
        if not triggers:
            raise InvalidSchemaError("it is empty", pointer=pointer + "/triggers")
        for tag in tags:
            found = False
            for begin in tag.begins:
                for trigger, head in heads.items():
                    behind = text_behind(begin, head)
                    if behind is not None:
                        found = True
                        rest = Text(texts=(self._names.bytes_of(behind),))
                        triggers[trigger].append(Sequence(elements=(rest, tag.rest)))
            if not found:
                raise InvalidSchemaError("no trigger is the beginning of its begin", pointer=tag.pointer)
        for trigger, ways in triggers.items():
            if not ways:
                raise InvalidSchemaError(
                    "no tag begins with it; a text that may not stand at all belongs into excludes",
                    pointer=places[trigger],
                )
            if trigger.token is not None:
                self._names.spelled(trigger.token)
        first = Choice(elements=tuple(self._whole(tag) for tag in tags))
        if at_least_one and stop_after_first:
            return first
        rules = tuple(
            Rule(trigger=trigger, ways=tuple(ways), pointer=places[trigger])
            for trigger, ways in triggers.items()
            if not any(comes_first(other, trigger) for other in triggers)
        )
        after = Dispatch(rules=rules, loop=not stop_after_first, excludes=_distinct(*excludes, *letters))
        return Sequence(elements=(first, after)) if at_least_one else after

    def _token_triggered_tags(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        fields.only("type", "trigger_tokens", "tags", "exclude_tokens", "at_least_one", "stop_after_first")
        self._excluded_tokens(fields)
        tags = self._tags(fields, ends)
        tokens = fields.array("trigger_tokens")
        named = [self._special(token, f"{fields.pointer}/trigger_tokens/{i}") for i, token in enumerate(tokens)]
        ways: dict[int, list[Format]] = {token: [] for token in named}
        for tag in tags:
            begin = tag.begins[0]
            if len(tag.begins) > 1 or len(begin) != 1 or begin[0] not in ways:
                raise InvalidSchemaError("its begin is none of trigger_tokens", pointer=tag.pointer + "/begin")
            ways[int(begin[0])].append(tag.rest)
        places = {token: f"{fields.pointer}/trigger_tokens/{i}" for i, token in enumerate(named)}
        first = Choice(elements=tuple(self._whole(tag) for tag in tags))
        stop = fields.boolean("stop_after_first")
        if fields.boolean("at_least_one"):
            return first if stop else Sequence(elements=(first, self._by_token(ways, places, ends, loop=True)))
        return self._by_token(ways, places, ends, loop=not stop)

    def _tags_with_separator(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        fields.only("type", "tags", "separator", "at_least_one", "stop_after_first")
        one = Choice(elements=tuple(self._whole(tag) for tag in self._tags(fields, ends)))
        least = 1 if fields.boolean("at_least_one") else 0
        if fields.boolean("stop_after_first"):
            return Repeat(content=one, least=least, most=1)
        separator = self._literal(fields.string("separator"))
        more = Repeat(content=Sequence(elements=(separator, one)), least=0, most=None)
        return Repeat(content=Sequence(elements=(one, more)), least=least, most=1)

    def _dispatch(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        fields.only("type", "rules", "loop", "excludes")
        rules: list[Rule] = []
        letters: list[str] = []
        for i, (pattern, content, pointer) in enumerate(self._pairs(fields)):
            if not isinstance(pattern, str) or not pattern:
                raise InvalidSchemaError(
                    "a pattern is a text that is not empty", pointer=f"{fields.pointer}/rules/{i}/0"
                )
            way = self._format(content, pointer, ends)
            for reading in self._names.readings(pattern):
                trigger, head = trigger_of(reading)
                rest = text_behind(reading, head) or ()
                if trigger.token is not None:
                    self._names.spelled(trigger.token)
                    if self._names.mode == "tokens":
                        letters.append(pattern)
                elements = (Text(texts=(self._names.bytes_of(rest),)), way)
                rules.append(Rule(trigger=trigger, ways=(Sequence(elements=elements),), pointer=pointer))
        joined: dict[Trigger, Rule] = {}
        for rule in rules:
            known = joined.get(rule.trigger)
            joined[rule.trigger] = rule if known is None else replace(known, ways=known.ways + rule.ways)
        excludes = _distinct(*fields.strings("excludes"), *ends, *letters)
        return Dispatch(rules=tuple(joined.values()), loop=fields.boolean("loop", default=True), excludes=excludes)

    def _token_dispatch(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        fields.only("type", "rules", "loop", "exclude_tokens")
        self._excluded_tokens(fields)
        ways: dict[int, list[Format]] = {}
        places: dict[int, str] = {}
        for token, content, pointer in self._pairs(fields):
            number = self._special(token, pointer[:-1] + "0")
            ways.setdefault(number, []).append(self._format(content, pointer, ends))
            places[number] = pointer
        return self._by_token(ways, places, ends, loop=fields.boolean("loop", default=True))

    def _by_token(
        self, ways: Mapping[int, list[Format]], places: Mapping[int, str], ends: tuple[str, ...], *, loop: bool
    ) -> Format:
        rules = []
        for token, found in ways.items():
            if not found:
                raise InvalidSchemaError("no tag begins with it", pointer=places[token])
            self._names.spelled(token)
            rules.append(Rule(trigger=Trigger(text="", token=token), ways=tuple(found), pointer=places[token]))
        return Dispatch(rules=tuple(rules), loop=loop, excludes=ends)

    def _pairs(self, fields: Fields) -> list[tuple[object, object, str]]:
        """The rules of a dispatch: pattern, format, and where that stands."""
        out: list[tuple[object, object, str]] = []
        for i, rule in enumerate(fields.array("rules")):
            pointer = f"{fields.pointer}/rules/{i}"
            if not isinstance(rule, (list, tuple)) or len(rule) != 2:
                raise InvalidSchemaError("a rule is a pair of a pattern and a format", pointer=pointer)
            out.append((rule[0], rule[1], pointer + "/1"))
        if not out:
            raise InvalidSchemaError("it is empty", pointer=fields.pointer + "/rules")
        return out

    # -- what formats are made of --------------------------------------------------------------------------------------

    def _literal(self, text: str) -> Format:
        return Text(texts=self._names.texts(text)) if text else EMPTY

    def _token_id(self, fields: Fields) -> int:
        fields.constant("type", "token")
        fields.only("type", "token")
        return self._special(fields["token"], fields.pointer + "/token")

    def _special(self, token: object, pointer: str) -> int:
        """The id of a special token."""
        if isinstance(token, bool) or not isinstance(token, (int, str)):
            raise InvalidSchemaError("a token is an id or a name", pointer=pointer)
        found = self._names.token(token)
        if found is None:
            advice = "Tokens that are text are matched by their text: write it as a string instead."
            raise UnsupportedGrammarError(f"{token!r}, which is no special token,", place=pointer, advice=advice)
        return found

    def _excluded_tokens(self, fields: Fields) -> None:
        """Special tokens are not in free text anyway; others cannot be excluded as tokens."""
        for i, token in enumerate(fields.array("exclude_tokens", default=())):
            self._special(token, f"{fields.pointer}/exclude_tokens/{i}")

    def _refuse_max_tokens(self, fields: Fields) -> None:
        fields.unsupported("max_tokens", (None,), _COUNT_CHARACTERS)


def _distinct(*items: Any) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(items))
