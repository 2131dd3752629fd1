"""The grammars of other front ends in a structural tag, and their errors with their place in it."""

from __future__ import annotations

from collections.abc import Callable

from grammar_engine.compiler.errors import (
    GrammarSyntaxError,
    InvalidSchemaError,
    UnsatisfiableGrammarError,
    UnsupportedGrammarError,
    UnsupportedSchemaError,
)
from grammar_engine.compiler.frontends.json_schema.grammar import json_schema_grammar
from grammar_engine.compiler.frontends.json_schema.options import JsonSchemaOptions
from grammar_engine.compiler.frontends.structural_tag.closed_schemas import first_bytes, needs_no_guard
from grammar_engine.compiler.frontends.structural_tag.formats import (
    Part,
)
from grammar_engine.compiler.ir import Grammar
from grammar_engine.compiler.reading import copy_json


class Parts:
    """The parts of one tag: equal ones are one."""

    def __init__(self) -> None:
        self._parts: dict[tuple[object, ...], Part] = {}

    def json(self, schema: object, pointer: str, options: JsonSchemaOptions) -> Part:
        """The JSON texts of a schema that stands at ``pointer``."""

        def build() -> Grammar:
            return json_schema_grammar(data, options)

        try:
            text, data = copy_json(schema)
        except InvalidSchemaError as error:
            raise InvalidSchemaError(error.reason, pointer=pointer + error.pointer) from error
        if not isinstance(data, (dict, bool)):
            raise InvalidSchemaError("a schema is an object, true or false", pointer=pointer)
        return self.part(("json", object() if text is None else text, options), pointer, "", build, schema=data)

    def part(
        self, key: tuple[object, ...], pointer: str, field: str, build: Callable[[], Grammar], *, schema: object = None
    ) -> Part:
        """The texts of another front end's grammar; equal ones are one part. ``schema``: if it is of a JSON Schema."""
        found = self._parts.get(key)
        if found is None:
            place = f"{pointer}/{field}" if field else pointer
            grammar = _placed(build, place)
            is_json = schema is not None
            closed, first = is_json and needs_no_guard(schema), first_bytes(schema) if is_json else b""
            found = Part(grammar=grammar, is_json=is_json, is_closed=closed, first=first, pointer=place)
            self._parts[key] = found
        return found


def _placed(build: Callable[[], Grammar], place: str) -> Grammar:
    """What a front end builds; its errors with their place in the tag."""
    try:
        return build()
    except InvalidSchemaError as error:
        raise InvalidSchemaError(error.reason, pointer=place + error.pointer) from error
    except UnsupportedSchemaError as error:
        raise UnsupportedSchemaError(error.keyword, pointer=place + error.pointer, advice=error.advice) from error
    except UnsupportedGrammarError as error:
        where = f"{place}: {error.place}"
        raise UnsupportedGrammarError(error.construct, place=where, advice=error.advice) from error
    except UnsatisfiableGrammarError as error:
        raise UnsatisfiableGrammarError(error.why, place=f"{error.place or 'the grammar'} at {place}") from error
    except GrammarSyntaxError as error:
        raise GrammarSyntaxError(
            f"{error.reason} in {place}", source=error.source, line=error.line, column=error.column
        ) from error
