"""Tags, and what opens tags or other formats: triggers, separators, dispatches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from grammar_engine.compiler.errors import InvalidSchemaError
from grammar_engine.compiler.frontends.structural_tag.contents import Contents
from grammar_engine.compiler.frontends.structural_tag.fields import Fields
from grammar_engine.compiler.frontends.structural_tag.formats import (
    Choice,
    Dispatch,
    Format,
    Repeat,
    Rule,
    Sequence,
    Text,
    Trigger,
)
from grammar_engine.compiler.frontends.structural_tag.named_tokens import NamedTokens, distinct, literal
from grammar_engine.compiler.frontends.structural_tag.special_names import Segments, SpecialNames
from grammar_engine.compiler.frontends.structural_tag.triggers import comes_first, text_behind, trigger_of

ReadFormat = Callable[[object, str, tuple[str, ...]], Format]
"""Reads any format: its value, where it stands, the ends of the tag around it."""


@dataclass(frozen=True, kw_only=True)
class _Tag:
    """A tag: the readings of its begin, and what follows them."""

    begins: list[Segments]
    rest: Format
    pointer: str


class Tags:
    """Reads them. Each method takes the fields of a format, and the ends of the tag around it."""

    def __init__(self, names: SpecialNames, contents: Contents, read: ReadFormat) -> None:
        self._names = names
        self._tokens = NamedTokens(names)
        self._schema = contents.schema
        self._format = read

    def structures(self, fields: Fields) -> Format:
        """The older form: ``structures`` and ``triggers``."""
        tags = [self._structure(value, f"/structures/{i}") for i, value in enumerate(fields.array("structures"))]
        if not tags:
            raise InvalidSchemaError("it is empty", pointer="/structures")
        return self._triggered(fields, tags, (), at_least_one=False, stop_after_first=False)

    def lone_tag(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        """A tag that stands by itself."""
        return self._whole(self._tag(fields, ends))

    def _whole(self, tag: _Tag) -> Format:
        begin = Text(texts=tuple(dict.fromkeys(self._names.bytes_of(begin) for begin in tag.begins)))
        return Sequence(elements=(begin, tag.rest))

    def _tag(self, fields: Fields, ends: tuple[str, ...]) -> _Tag:
        if "type" in fields:  # in a list of tags nothing else can be meant, and XGrammar reads them without it
            fields.constant("type", "tag")
        fields.only("type", "begin", "content", "end")
        pointer = fields.pointer
        begin = fields["begin"]
        if isinstance(begin, Mapping):
            begins: list[Segments] = [(self._tokens.of(Fields(begin, pointer + "/begin")),)]
        else:
            begins = self._names.readings(fields.string("begin"))
        end = fields["end"]
        if isinstance(end, Mapping):
            end_texts: tuple[bytes, ...] = (self._names.spelled(self._tokens.of(Fields(end, pointer + "/end"))),)
        else:
            literals = [fields.string("end")] if isinstance(end, str) else fields.strings("end", may_be_empty=True)
            if not literals:
                raise InvalidSchemaError("it is empty", pointer=pointer + "/end")
            end_texts = distinct(*(text for literal in literals for text in self._names.texts(literal)))
            ends = distinct(*filter(None, literals)) or ends
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
        content = self._schema(fields["schema"], pointer + "/schema")
        end = Text(texts=self._names.texts(fields.string("end")))
        begins = self._names.readings(fields.string("begin"))
        return _Tag(begins=begins, rest=Sequence(elements=(content, end)), pointer=pointer)

    def triggered_tags(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        """Free text in which triggers open tags."""
        fields.only("type", "triggers", "tags", "at_least_one", "stop_after_first", "excludes")
        excludes = fields.strings("excludes")
        return self._triggered(
            fields,
            self._tags(fields, ends),
            distinct(*excludes, *ends),
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
        after = Dispatch(rules=rules, loop=not stop_after_first, excludes=distinct(*excludes, *letters))
        return Sequence(elements=(first, after)) if at_least_one else after

    def token_triggered_tags(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        """Free text in which special tokens open tags."""
        fields.only("type", "trigger_tokens", "tags", "exclude_tokens", "at_least_one", "stop_after_first")
        self._tokens.excluded(fields)
        tags = self._tags(fields, ends)
        tokens = fields.array("trigger_tokens")
        named = [self._tokens.special(token, f"{fields.pointer}/trigger_tokens/{i}") for i, token in enumerate(tokens)]
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

    def tags_with_separator(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        """Tags and nothing else but a separator between them."""
        fields.only("type", "tags", "separator", "at_least_one", "stop_after_first")
        one = Choice(elements=tuple(self._whole(tag) for tag in self._tags(fields, ends)))
        least = 1 if fields.boolean("at_least_one") else 0
        if fields.boolean("stop_after_first"):
            return Repeat(content=one, least=least, most=1)
        separator = literal(self._names, fields.string("separator"))
        more = Repeat(content=Sequence(elements=(separator, one)), least=0, most=None)
        return Repeat(content=Sequence(elements=(one, more)), least=least, most=1)

    def dispatch(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        """Free text in which patterns open formats."""
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
        excludes = distinct(*fields.strings("excludes"), *ends, *letters)
        return Dispatch(rules=tuple(joined.values()), loop=fields.boolean("loop", default=True), excludes=excludes)

    def token_dispatch(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        """Free text in which special tokens open formats."""
        fields.only("type", "rules", "loop", "exclude_tokens")
        self._tokens.excluded(fields)
        ways: dict[int, list[Format]] = {}
        places: dict[int, str] = {}
        for token, content, pointer in self._pairs(fields):
            number = self._tokens.special(token, pointer[:-1] + "0")
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
