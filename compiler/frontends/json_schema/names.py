"""Property names: their one spelling, and the terminal of all names but some.

A name is spelled as ``json.dumps(name, ensure_ascii=False)`` spells it: escapes only where JSON asks for them. Then
a name has one spelling, and "any other name" is one automaton, the same in every schema (so that its mask rows are
shared), less a few excluded texts (``Terminal.excluded``). String *values* have every spelling that JSON
allows, but for those that ``enum`` and ``const`` give (``literals.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from json.encoder import encode_basestring as _encode

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.ir import Terminal
from grammar_engine.compiler.spelling import to_utf8

# A quote, characters that stand for themselves or need an escape and have it, a quote (RFC 8259, section 7).
_NAME = r'"(?:[^"\\\x00-\x1f]|\\(?:["\\bfnrt]|u00(?:0[0-7bef]|1[0-9a-f])))*"'


def spelling_of(name: str) -> bytes:
    """The plain JSON spelling of a string, with quotes: escapes only where JSON asks for them."""
    return _encode(name).encode()


def is_spellable(name: str) -> bool:
    """Is there a spelling at all? A lone surrogate has none in UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@cache
def any_name() -> ByteAutomaton:
    """Every property name in its plain spelling."""
    return to_utf8(CharAutomaton.from_regex(_NAME), key="json-name")


def other_names(excluded: Iterable[str]) -> Terminal:
    """Every property name in its plain spelling, except some."""
    texts = sorted(spelling_of(name) for name in set(excluded) if is_spellable(name))
    return Terminal(name="property name", automaton=any_name(), excluded=tuple(texts))
