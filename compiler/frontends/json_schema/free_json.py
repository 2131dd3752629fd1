"""JSON values of which nothing is asked, and the terminals that most schemas use: numbered alike in every grammar.

    VALUE   = null | true | false | NUMBER | STRING | {} | { MEMBERS } | [] | [ ITEMS ]
    MEMBERS = NAME : VALUE | MEMBERS , NAME : VALUE
    ITEMS   = VALUE | ITEMS , VALUE

Left-recursive, so that the parser's stack is the same after each element. As these symbols mean the same in every
schema's grammar, what is known of them is carried from one to the next (``compiler.prelude``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from grammar_engine.compiler.frontends.json_schema.json_types import FRACTION, INTEGER
from grammar_engine.compiler.frontends.json_schema.options import JsonSchemaOptions
from grammar_engine.compiler.frontends.json_schema.scalars import NumberKey, StringKey
from grammar_engine.compiler.ir import EagerGrammar, Production, Symbol, Terminal
from grammar_engine.compiler.prelude import Prelude

VALUE, MEMBERS, ITEMS = 0, 1, 2
NUM_NONTERMINALS = 3

TERMINAL_KEYS: tuple[tuple[object, ...], ...] = (
    ("mark", "{", 0),
    ("mark", "}", 0),
    ("mark", "{}", 0),
    ("mark", "[", 0),
    ("mark", "]", 0),
    ("mark", "[]", 0),
    ("mark", ",", 0),
    ("mark", ":", 0),
    ("text", b"null"),
    ("text", b"true"),
    ("text", b"false"),
    ("name", frozenset[str]()),
    ("string", StringKey(0, None)),
    ("number", NumberKey(INTEGER | FRACTION, None, None)),
    ("number", NumberKey(INTEGER, None, None)),
)
(
    _OPEN,
    _CLOSE,
    _EMPTY,
    _FIRST,
    _LAST,
    _NONE,
    _COMMA,
    _COLON,
    _NULL,
    _TRUE,
    _FALSE,
    _NAME,
    _STRING,
    _NUMBER,
    _INTEGER,
) = range(len(TERMINAL_KEYS))

RULES: tuple[tuple[Production, ...], ...] = (
    (
        (_NULL,),
        (_TRUE,),
        (_FALSE,),
        (_NUMBER,),
        (_STRING,),
        (_EMPTY,),
        (_OPEN, ~MEMBERS, _CLOSE),
        (_NONE,),
        (_FIRST, ~ITEMS, _LAST),
    ),
    ((_NAME, _COLON, ~VALUE), (~MEMBERS, _COMMA, _NAME, _COLON, ~VALUE)),
    ((~VALUE,), (~ITEMS, _COMMA, ~VALUE)),
)

_SAMPLE = b'{"a": "b c\\u00e9", "": [1.5e3, {}, "x", [], true], "c": {"d": null, "e": -10}}'

# What a value may stand in, with a text of it.
_FRAMES: tuple[tuple[Callable[[Symbol], tuple[Production, ...]], bytes], ...] = (
    (lambda value: ((_OPEN, _NAME, _COLON, value, _CLOSE),), b'{"a": VALUE}'),
    (lambda value: ((_OPEN, _NAME, _COLON, value, _COMMA, _NAME, _COLON, value, _CLOSE),), b'{"a": VALUE, "b": VALUE}'),
    (
        lambda value: (
            (_OPEN, _NAME, _COLON, value, _CLOSE),
            (_OPEN, _NAME, _COLON, value, _COMMA, _NAME, _COLON, value, _CLOSE),
        ),
        b'{"a": VALUE, "b": VALUE}',
    ),
    (lambda value: ((_FIRST, value, _LAST), (_FIRST, value, _COMMA, value, _LAST)), b"[VALUE, VALUE]"),
)


def free_json_prelude(options: JsonSchemaOptions, terminal: Callable[[tuple[object, ...]], Terminal]) -> Prelude:
    """The prelude of the schemas with a layout. ``terminal`` makes the terminal of a key."""
    rules: list[Sequence[Production]] = list(RULES)
    terminals = [terminal(key) for key in TERMINAL_KEYS]
    begin: list[Production] = [(~VALUE,)]
    texts = [_SAMPLE]
    # A counted string, for the walk that all counted strings share; not among the numbered terminals.
    counted = len(rules)
    rules.append(((len(terminals),),))
    terminals.append(terminal(("string", StringKey(0, 64))))
    begin.append((len(terminals), ~counted))
    terminals.append(Terminal(name="kind", automaton=b"\x80"))
    texts.append(b'\x80"a"')
    # Behind a byte that JSON does not have: each kind of value as members and items, where nothing else may stand.
    kinds: tuple[tuple[tuple[Production, ...], bytes], ...] = (
        (((_STRING,),), b'"b"'),
        (((_INTEGER,),), b"10"),
        (((_INTEGER,),), b"25000"),  # the exponents offered depend on the first digit and the zeros at the end
        (((_NUMBER,),), b"-1.5"),
        (((_TRUE,), (_FALSE,)), b"true"),
        (((_EMPTY,), (_OPEN, ~MEMBERS, _CLOSE)), b"{}"),
        (((_OPEN, ~MEMBERS, _CLOSE),), b'{"a": 1}'),
        (((_NONE,), (_FIRST, ~ITEMS, _LAST)), b"[]"),
        (((_FIRST, ~ITEMS, _LAST),), b"[1]"),
    )
    for productions, text in kinds:
        for frame, sample in _FRAMES:
            value, framed, selector = len(rules), ~(len(rules) + 1), bytes([0x80 + len(texts)])
            rules += [productions, frame(~value)]
            begin.append((len(terminals), framed))
            terminals.append(Terminal(name="kind", automaton=selector))
            texts.append(selector + sample.replace(b"VALUE", text))
    return Prelude(
        key=("free JSON", options.any_whitespace, options.max_whitespace, options.separators, options.plain_integers),
        grammar=EagerGrammar(start=len(rules), rules=(*rules, begin), terminals=terminals),
        terminals=len(TERMINAL_KEYS),
        nonterminals=NUM_NONTERMINALS,
        texts=tuple(_laid_out(text, options) for text in texts),
    )


def _laid_out(text: bytes, options: JsonSchemaOptions) -> bytes:
    """A text of ``json.dumps`` in the layout asked for."""
    item, key = options.separators or (", ", ": ")
    if not options.exact and options.max_whitespace == 0:
        item, key = ",", ":"
    return text.replace(b", ", item.encode()).replace(b": ", key.encode())
