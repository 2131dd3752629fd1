"""What front ends produce and the engine consumes: a grammar as nonterminals that are expanded on demand.

A **symbol** is an int: ``t >= 0`` is terminal t, ``~n`` (negative) is nonterminal n. Ids are dense, chosen by the
front end, and may be handed out while expansion goes on, so a front end can name a subschema without looking inside
it: `a JSON Schema costs what is visited, not what is written`.

Contract of ``productions(n)``: pure (same answer every time), ε-free (no empty production; a grammar whose language
holds the empty text says so in ``accepts_empty``), at least one production (the start may have none if only the
empty text is left), and every nonterminal named in it is
productive (derives some text). Unit productions, unit cycles, ambiguity, left and right recursion are all welcome;
left recursion is the cheaper of the two, because the stack returns to the same configuration after every element.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.last_character import Classes

if TYPE_CHECKING:
    from grammar_engine.compiler.errors import NotEnforced
    from grammar_engine.compiler.prelude import Prelude

Int32Array = npt.NDArray[np.int32]
Symbol = int
Production = tuple[Symbol, ...]


class Lexing(Enum):
    """How the end of a lexeme is found.

    UNORDERED: all tokenizations (JSON Schema, regexes, choices): a lexeme may end wherever its automaton matches, and
    every terminal that the parser offers runs in parallel.
    LEFTMOST: Lark's basic and contextual lexers: the terminals that the parser offers form one ordered alternation
    (by terminal id, lowest first), the first match in backtracking order wins, and there is no re-lexing.
    ONE_BY_ONE: Lark's dynamic lexers: every terminal that the parser offers runs in parallel, and has one match, the
    first in backtracking order (unless ``Terminal.all_matches``).
    """

    UNORDERED = 0
    LEFTMOST = 1
    ONE_BY_ONE = 2


@dataclass(frozen=True)
class JsonStrings:
    """The automaton of the JSON strings, quotes included, whose values are given texts (at least one), in each of their
    spellings: not built, because it is written much faster from the texts. ``given_strings.py`` builds it.
    """

    texts: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """A lexical rule. ``automaton``: bytes for a literal (the common case, kept cheap), else an automaton.

    ``unless``: for LEFTMOST lexing, the ids of regex terminals over which this literal wins when they match exactly
    its text (Lark's keyword rule); empty otherwise.

    ``excluded``: for UNORDERED lexing, texts that the terminal does not match although its automaton does (any property
    name but the declared ones). Cheaper than subtracting them: the automaton stays one that other grammars know. There
    must be a longer match behind every prefix of an excluded text that the automaton reads.

    ``reserved``: for LEFTMOST lexing, texts that are no match of the terminal although its automaton prefers them:
    there the text ends, unless an expected keyword takes the match. (Words that are no identifiers.)

    ``longer``: the same for texts that the automaton does not read, all longer than what it matches. (``--`` for a
    ``-`` that is never read where a second one follows.)

    ``all_matches``: for ONE_BY_ONE lexing, the first match of each beginning of the text is a match too: wherever the
    ordered threads find one. The automaton has no conditions then, and no key.
    """

    name: str
    automaton: bytes | ByteAutomaton | JsonStrings
    unless: tuple[int, ...] = ()
    excluded: tuple[bytes, ...] = ()
    reserved: ByteAutomaton | None = None
    longer: ByteAutomaton | None = None
    all_matches: bool = False


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Indentation as in Lark's Indenter: newlines outside of parentheses are followed by what their column means.

    newline: the terminal of newlines, whose matches tell columns (see ``layout.by_column``). indent, dedent: terminals
    that no text stands for. opens, closes: terminals between which newlines are no symbols. tab_len: columns that a
    tab counts for. columns: how many there are, from 0 on.
    """

    newline: int
    indent: int
    dedent: int
    opens: tuple[int, ...]
    closes: tuple[int, ...]
    tab_len: int
    columns: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ParseTable:
    """An LR table that is followed as it is, its conflicts resolved: Lark's LALR(1) tables.

    actions: int32 ``(A, 3)``: state, terminal, and ``s >= 0`` to shift to state s or ``~r`` to reduce by rule r. At the
    end of the text the terminal is -1. Sorted.
    gotos: int32 ``(G, 3)``: state, nonterminal, state. Sorted.
    rules: int32 ``(R, 2)``: nonterminal, length.
    start, end: the first state, and the one after the start symbol.
    everywhere: terminals that the lexer tries in every state; in each state it tries those with an action too.
    silent: terminals that the lexer never tries.
    layout: indentation, if it matters.
    """

    actions: Int32Array
    gotos: Int32Array
    rules: Int32Array
    num_states: int
    num_terminals: int
    start: int
    end: int
    everywhere: tuple[int, ...] = ()
    silent: tuple[int, ...] = ()
    layout: Layout | None = None


@dataclass(kw_only=True, eq=False)
class Guarding:
    """What the texts of a grammar of JSON must satisfy beside its rules; see ``guard.py``. A front end sets a flag when
    it names the first terminal that needs it, so that grammars without one pay nothing.

    names: a property name may stand that some automaton, not a rule of its own, allows: no object has two of one name.
    thin: the names of such an automaton may run out, or those behind some beginning. fewest: a lower bound of how many
    names some of them have.
    distinct: terminals that open an array whose items must differ. narrow: the items of such an array may run out, or
    those behind some beginning of their text. scarce: they may run out before one has begun.
    counted: more such properties may have to come, because their number counts or what they hold.
    opens: of texts that are JSON in some places only: does a terminal open an object or an array there?
    """

    names: bool = False
    thin: bool = False
    fewest: int = 1 << 60
    counted: bool = False
    distinct: set[int] = field(default_factory=set)
    narrow: bool = False
    scarce: bool = False
    opens: Callable[[int], bool] | None = None


class Members(NamedTuple):
    """Members of an object in a given order, each of which may be left out unless it is required: two families of
    nonterminals that nothing else names, but for MEMBERS(0).

        MEMBERS(i)  = heads[j] AFTER(j) for i <= j < stops[i] | last, where stops[i] > n, the number of heads
        AFTER(j)    = separator MEMBERS(j + 1) | closer, where j >= closable
        MEMBERS(n)  = last, which stands in AFTER(n - 1) itself; there is no such production where it is ()

    heads: name, colon and value of each member, at least one. last: what may come behind them all. A production for
    each pair of members would be written otherwise; see ``production_writer.py``.
    """

    heads: Sequence[tuple[Symbol, Symbol, Symbol]]
    stops: Sequence[int]
    last: Production
    separator: Symbol
    closer: Symbol
    closable: int


class Grammar(ABC):
    """A context-free grammar over byte terminals, expanded on demand.

    start: id of the start nonterminal.
    lexing: see ``Lexing``.
    accepts_empty: the empty text is in the language.
    ignored: ids of terminals that may stand anywhere between lexemes, leading and trailing (Lark's %ignore).
    tried: for LEFTMOST lexing, ids of terminals that take part in it wherever a lexeme begins, even if the parser does
    not expect them; then their match is none (Lark's basic lexer).
    behind: all characters divided into classes, where terminals ask for the last character before a lexeme
    (``ByteAutomaton.starts``): class 0 is the start of the text, class k a member of number k - 1. Then the bounds of
    matches are minus the class of their last character. For lexing that is not UNORDERED.
    prelude: a smaller grammar whose symbols this one begins with (see ``compiler.prelude``).
    table: an LR table that decides instead of the productions, which nobody asks for then.
    guarding: what must hold of the texts beside the rules, if anything ever may.
    not_enforced: what was left out of the language's definition on request, so that the language is larger.
    """

    start: int
    lexing: Lexing = Lexing.UNORDERED
    accepts_empty: bool = False
    ignored: tuple[int, ...] = ()
    tried: tuple[int, ...] = ()
    behind: Classes = ()
    prelude: Prelude | None = None
    table: ParseTable | None = None
    guarding: Guarding | None = None
    not_enforced: tuple[NotEnforced, ...] = ()

    def begin_step(self) -> None:  # noqa: B027 (most front ends do nothing here)
        """One operation of the engine begins to ask for productions and terminals: limits per step start anew."""

    @abstractmethod
    def productions(self, nonterminal: int) -> Sequence[Production]:
        """The right-hand sides of a nonterminal; called once, when a parser state first needs them."""

    @abstractmethod
    def terminal(self, terminal: int) -> Terminal:
        """The lexical rule of a terminal; called once, when a lexer state first needs it."""

    def expand(self, nonterminal: int) -> Sequence[tuple[int, Sequence[Production] | Members]]:
        """The productions of a nonterminal, with its number, and of any others that are at hand and soon needed.

        They mean what ``productions`` says of each.
        """
        return [(nonterminal, self.productions(nonterminal))]

    def literal(self, terminal: int) -> bytes | None:  # noqa: ARG002 (the default knows of none)
        """The text of a terminal that is a plain literal, if that is known without building anything."""
        return None


@dataclass(frozen=True, kw_only=True)
class EagerGrammar(Grammar):
    """A grammar that is written out in full: regexes, choices, Lark grammars, tests."""

    start: int
    rules: Sequence[Sequence[Production]]
    terminals: Sequence[Terminal]
    lexing: Lexing = Lexing.UNORDERED
    accepts_empty: bool = False
    ignored: tuple[int, ...] = ()
    tried: tuple[int, ...] = ()
    behind: Classes = ()
    table: ParseTable | None = None

    def productions(self, nonterminal: int) -> Sequence[Production]:
        """See ``Grammar``."""
        return self.rules[nonterminal]

    def terminal(self, terminal: int) -> Terminal:
        """See ``Grammar``."""
        return self.terminals[terminal]
