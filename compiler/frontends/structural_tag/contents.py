"""Formats of a structural tag that hold no others: texts, free text, JSON, patterns, grammars, tokens."""

from __future__ import annotations

import re
from dataclasses import replace

from grammar_engine.compiler.errors import UnsupportedGrammarError
from grammar_engine.compiler.frontends.gbnf.grammar import gbnf_grammar, is_gbnf
from grammar_engine.compiler.frontends.json_schema.options import JsonSchemaOptions
from grammar_engine.compiler.frontends.lark_embedded import embedded_lark_grammar
from grammar_engine.compiler.frontends.regex import regex_grammar
from grammar_engine.compiler.frontends.structural_tag.fields import Fields
from grammar_engine.compiler.frontends.structural_tag.formats import Format, Free, Text
from grammar_engine.compiler.frontends.structural_tag.named_tokens import NamedTokens, distinct, literal
from grammar_engine.compiler.frontends.structural_tag.parts import Parts
from grammar_engine.compiler.frontends.structural_tag.special_names import SpecialNames
from grammar_engine.compiler.frontends.structural_tag.xml_parameters import XmlParameters
from grammar_engine.compiler.frontends.structural_tag.xml_styles import STYLES

_COUNT_CHARACTERS = "A grammar sees text, not tokens: give max_chars, or limit the tokens where they are generated."

_RELATIVE_IMPORT = re.compile(r"%import\s*\.")


class Contents:
    """Reads them. Each method takes the fields of one, and the ends of the tag around it: its free text holds none."""

    def __init__(self, names: SpecialNames, options: JsonSchemaOptions) -> None:
        self._names = names
        self._options = options
        self._tokens = NamedTokens(names)
        self._parts = Parts()

    def schema(self, schema: object, pointer: str) -> Format:
        """The JSON texts of a schema."""
        return self._parts.json(schema, pointer, self._options)

    def const_string(self, fields: Fields, _ends: tuple[str, ...]) -> Format:
        """This text."""
        fields.only("type", "value")
        return literal(self._names, fields.string("value"))

    def any_text(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        """Free text."""
        fields.only("type", "excludes", "max_chars", "max_tokens")
        self._refuse_max_tokens(fields)
        excludes = fields.strings("excludes")
        return Free(excludes=distinct(*excludes, *ends), max_chars=fields.count("max_chars"))

    def any_tokens(self, fields: Fields, ends: tuple[str, ...]) -> Format:
        """Free text too: special tokens are in none."""
        fields.only("type", "exclude_tokens", "max_tokens")
        self._refuse_max_tokens(fields)
        self._tokens.excluded(fields)
        return Free(excludes=ends)

    def token(self, fields: Fields, _ends: tuple[str, ...]) -> Format:
        """One special token."""
        return Text(texts=(self._names.spelled(self._tokens.of(fields)),))

    def grammar(self, fields: Fields, _ends: tuple[str, ...]) -> Format:
        """The texts of a grammar: GBNF or EBNF, or Lark."""
        fields.only("type", "grammar", "start", "parser", "lexer")
        source, place = fields.string("grammar"), fields.pointer + "/grammar"
        options = {name: fields.string(name) for name in ("start", "parser", "lexer") if name in fields}
        if is_gbnf(source) and not options:
            return self._parts.part(("grammar", source), fields.pointer, "grammar", lambda: gbnf_grammar(source))
        if ":" not in source:
            advice = "Write it as GBNF or EBNF, from the rule root, or as Lark, from the rule start."
            raise UnsupportedGrammarError("a grammar of this kind", place=place, advice=advice)
        if _RELATIVE_IMPORT.search(source):
            advice = "Nothing is read from files: write what is imported into the grammar."
            raise UnsupportedGrammarError("an import from beside the grammar", place=place, advice=advice)
        key = ("lark", source, *sorted(options.items()))
        return self._parts.part(key, fields.pointer, "grammar", lambda: embedded_lark_grammar(source, **options))

    def regex(self, fields: Fields, _ends: tuple[str, ...]) -> Format:
        """The texts that match a pattern."""
        fields.only("type", "pattern")
        pattern = fields.string("pattern")
        return self._parts.part(("regex", pattern), fields.pointer, "pattern", lambda: regex_grammar(pattern))

    def json_schema(self, fields: Fields, _ends: tuple[str, ...]) -> Format:
        """JSON that satisfies a schema, or its properties in the tags of a style."""
        style = "qwen_xml"
        if fields.string("type") == "json_schema":
            fields.only("type", "json_schema", "style", "any_order", "max_whitespace_cnt", "excludes")
            style = fields.string("style", default="json")
        else:
            fields.only("type", "json_schema")
        if style not in ("json", *STYLES):
            advice = f"Known are json, {', '.join(STYLES)}."
            raise UnsupportedGrammarError(f"the style {style!r}", place=fields.pointer + "/style", advice=advice)
        options = self._options
        most = fields.count("max_whitespace_cnt")
        if most is not None:
            options = replace(options, max_whitespace=most)
        schema, pointer = fields["json_schema"], fields.pointer + "/json_schema"
        if style == "json":
            fields.unsupported("excludes", (None, []), "Say it in the schema, as a pattern.")
            if fields.boolean("any_order"):
                options = replace(options, property_order="any")
            return self._parts.json(schema, pointer, options)
        fields.unsupported("any_order", (None, False), "Written as XML, properties are in the order of the schema.")
        if STYLES[style].is_nested:
            fields.unsupported("excludes", (None, []), "Objects and lists of this style have no texts of their own.")
        space = rf"[ \t\r\n]{{0,{options.max_whitespace}}}"
        gap = self._parts.part(("regex", space), pointer, "", lambda: regex_grammar(space))
        excludes = tuple(fields.strings("excludes"))
        parameters = XmlParameters(
            STYLES[style], gap, lambda part, at: self._parts.json(part, at, options), self._names, excludes
        )
        return parameters.arguments(schema, pointer)

    def _refuse_max_tokens(self, fields: Fields) -> None:
        fields.unsupported("max_tokens", (None,), _COUNT_CHARACTERS)
