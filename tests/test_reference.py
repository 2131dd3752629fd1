"""The reference recognizer against oracles that know nothing of it: ``re`` and ``lark``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

import lark
import numpy as np
import pytest
from grammar_engine.compiler.automaton import AGAIN, ENTER, EXIT, KEEP, MATCH, ByteAutomaton
from grammar_engine.compiler.conditions import open_automaton
from grammar_engine.compiler.ir import EagerGrammar, Lexing, Production, Terminal
from grammar_engine.compiler.python_regex import parse_python_regex
from grammar_engine.compiler.reference import ReferenceRecognizer
from hypothesis import example, given, settings
from hypothesis import strategies as st

# A regex is "char set" | ("seq", …) | ("alt", …) | ("star" | "plus" | "opt", regex, greedy).
Regex = str | tuple


def to_re(regex: Regex) -> str:
    if isinstance(regex, str):
        return f"[{regex}]"
    kind, *rest = regex
    if kind == "seq":
        return "".join(to_re(part) for part in rest)
    if kind == "alt":
        return "(?:" + "|".join(to_re(part) for part in rest) + ")"
    body, greedy = rest
    return f"(?:{to_re(body)})" + {"star": "*", "plus": "+", "opt": "?"}[kind] + ("" if greedy else "?")


def to_automaton(regex: Regex) -> ByteAutomaton:
    """By way of a backtracking program (read, split, jump), whose ordered ε-closures are the automaton's states."""
    program: list[tuple] = []
    leave: dict[int, int] = {}  # from greedy loops

    def emit(node: Regex) -> None:
        if isinstance(node, str):
            program.append(("read", node))
            return
        kind, *rest = node
        if kind == "seq":
            for part in rest:
                emit(part)
        elif kind == "alt":
            jumps = []
            for part in rest[:-1]:
                split = len(program)
                program.append(())
                emit(part)
                jumps.append(len(program))
                program.append(())
                program[split] = ("split", split + 1, len(program))
            emit(rest[-1])
            for jump in jumps:
                program[jump] = ("split", len(program))
        else:
            body, greedy = rest
            if kind == "plus":
                emit(body)
                kind = "star"
            split = len(program)
            program.append(())
            emit(body)
            if kind == "star":
                program.append(("split", split))
            ways = (split + 1, len(program))
            if kind == "star" and greedy:
                leave[split] = len(program)
            program[split] = ("split", *(ways if greedy else ways[::-1]))

    emit(regex)
    program.append(("match",))

    positions: list[tuple[int, int, int]] = []
    states: list[list[tuple[int, int, int]]] = []
    numbers: dict[int, int] = {}

    def closure(pc: int, seen: set[int]) -> Iterator[int]:
        if pc in seen:
            if pc in leave:  # an empty round ends a loop
                yield from closure(leave[pc], seen)
            return
        seen.add(pc)
        if program[pc][0] == "split":
            for target in program[pc][1:]:
                yield from closure(target, seen)
        else:
            yield pc

    def state(pc: int) -> int:
        if pc not in numbers:
            numbers[pc] = len(states)
            entries: list[tuple[int, int, int]] = []
            states.append(entries)
            for leaf in closure(pc, set()):
                if program[leaf][0] == "match":
                    entries.append((MATCH, KEEP, 0))
                    continue
                for char in program[leaf][1]:
                    index = len(positions)
                    positions.append((0, 0, 0))
                    entries.append((index, KEEP, 0))
                    positions[index] = (ord(char), ord(char), state(leaf + 1))
        return numbers[pc]

    state(0)
    automaton = ByteAutomaton(
        positions=np.array(positions, np.int32).reshape(-1, 3),
        offsets=np.cumsum([0, *map(len, states)], dtype=np.int32),
        entries=np.array([entry for entries in states for entry in entries], np.int32).reshape(-1, 3),
    )
    automaton.validate()
    return automaton


def texts(alphabet: str, longest: int) -> list[str]:
    return ["".join(chars) for n in range(longest + 1) for chars in itertools.product(alphabet, repeat=n)]


def grammar(
    rules: Sequence[Sequence[Production]], terminals: Sequence[bytes | ByteAutomaton | Terminal], **options: object
) -> ReferenceRecognizer:
    named = [t if isinstance(t, Terminal) else Terminal(name=f"T{i}", automaton=t) for i, t in enumerate(terminals)]
    return ReferenceRecognizer(EagerGrammar(start=0, rules=rules, terminals=named, **options))  # type: ignore[arg-type]


REGEXES = st.recursive(
    st.sampled_from(["a", "b", "ab"]),
    lambda inner: st.one_of(
        st.tuples(st.just("seq"), inner, inner),
        st.tuples(st.just("alt"), inner, inner),
        st.tuples(st.sampled_from(["star", "plus", "opt"]), inner, st.booleans()),
    ),
    max_leaves=5,
).filter(lambda regex: not re.fullmatch(to_re(regex), ""))


@settings(max_examples=60, deadline=None)
@given(REGEXES)
def test_one_terminal_is_its_regex(regex: Regex) -> None:
    recognizer = grammar([[(0,)]], [to_automaton(regex)])
    language = {text for text in texts("ab", 6) if re.fullmatch(to_re(regex), text)}
    for text in texts("ab", 4):
        assert recognizer.accepts(text.encode()) == (text in language)
        if any(word.startswith(text) for word in language):
            assert recognizer.is_viable(text.encode())
        elif recognizer.is_viable(text.encode()):
            completion = recognizer.find_completion(text.encode(), limit=10)
            assert completion is not None
            assert len(text) + len(completion) > 6
            assert re.fullmatch(to_re(regex), text + completion.decode())


@settings(max_examples=60, deadline=None)
@given(st.lists(REGEXES, min_size=1, max_size=3))
def test_leftmost_is_one_ordered_alternation(regexes: list[Regex]) -> None:
    """``start: (T0 | T1 | …)+`` accepts what ``re``, matching an alternation again and again, can cut up."""
    count = len(regexes)
    rules = [[(~0, ~1), (~1,)], [(index,) for index in range(count)]]
    recognizer = grammar(rules, [to_automaton(regex) for regex in regexes], lexing=Lexing.LEFTMOST)
    scanner = re.compile("|".join(to_re(regex) for regex in regexes))

    def cuts_up(text: str) -> bool:
        while text and (match := scanner.match(text)):
            text = text[match.end() :]
        return not text

    for text in texts("ab", 5)[1:]:
        assert recognizer.accepts(text.encode()) == cuts_up(text), text


@settings(max_examples=60, deadline=None)
@given(REGEXES)
def test_leftmost_does_not_lex_again(regex: Regex) -> None:
    recognizer = grammar([[(0, 1)]], [to_automaton(regex), b"b"], lexing=Lexing.LEFTMOST)
    for text in texts("ab", 5):
        match = re.match(to_re(regex), text)
        assert recognizer.accepts(text.encode()) == (match is not None and text[match.end() :] == "b"), text


@settings(max_examples=150, deadline=None)
@given(REGEXES)
@example(("seq", "a", ("star", ("star", "a", False), True)))
@example(("seq", ("star", ("opt", "a", False), True), ("seq", "a", ("opt", "b", True))))
def test_compiled_patterns_prefer_what_re_prefers(regex: Regex) -> None:
    """The compiled pattern's first match, lazy loops inside of greedy ones included: an empty round ends a loop."""
    automaton = open_automaton(parse_python_regex(to_re(regex)))
    assert automaton is not None
    recognizer = grammar([[(0, 1)]], [automaton, b"b"], lexing=Lexing.LEFTMOST)
    for text in texts("ab", 5):
        match = re.match(to_re(regex), text)
        assert recognizer.accepts(text.encode()) == (match is not None and text[match.end() :] == "b"), text


# -- lark ---------------------------------------------------------------------------------------------------------

CATALOGUE: dict[str, Regex] = {
    "A": "a",
    "B": "b",
    "C": "c",
    "AB": ("seq", "a", "b"),
    "AS": ("plus", "a", True),
    "WORD": ("plus", "ab", True),
    "BC": ("seq", "b", ("plus", "c", True)),
}
NAMES = list(CATALOGUE)


def lark_rules(rules: Sequence[Sequence[Production]], names: Sequence[str]) -> str:
    def side(production: Production) -> str:
        return " ".join(names[symbol] if symbol >= 0 else f"r{~symbol}" for symbol in production)

    return "\n".join(f"r{n}: " + " | ".join(map(side, productions)) for n, productions in enumerate(rules)) + "\n"


@st.composite
def random_rules(draw: st.DrawFn, terminals: int) -> list[list[Production]]:
    """ε-free rules; the last production of each is terminals only, so that every nonterminal is productive."""
    count = draw(st.integers(1, 3))
    symbol = st.one_of(st.integers(0, terminals - 1), st.integers(0, count - 1).map(lambda n: ~n))
    rules = []
    for _ in range(count):
        free = draw(st.lists(st.lists(symbol, min_size=1, max_size=3), max_size=2))
        ground = draw(st.lists(st.integers(0, terminals - 1), min_size=1, max_size=2))
        rules.append(list(dict.fromkeys(map(tuple, [*free, ground]))))
    return rules


@settings(max_examples=60, deadline=None)
@given(random_rules(len(NAMES)), st.booleans())
def test_unordered_is_lark_dynamic_complete(rules: list[list[Production]], ignore: bool) -> None:
    """Unit cycles, ambiguity, any recursion; ``_`` is ignored."""
    source = lark_rules(rules, NAMES) + "\n".join(f"{name}: /{to_re(CATALOGUE[name])}/" for name in NAMES)
    if ignore:
        source += '\n%ignore "_"'
    oracle = lark.Lark(source, start="r0", parser="earley", lexer="dynamic_complete", ambiguity="forest")
    automata: list[bytes | ByteAutomaton] = [*map(to_automaton, CATALOGUE.values()), b"_"]
    recognizer = grammar(rules, automata, ignored=(len(NAMES),) if ignore else ())
    for text in texts("abc", 3) + texts("ab_", 3) + ["abab", "aabb", "abcc", "_a_b", "aaaa", "abcab", "_ab_c_"]:
        assert recognizer.accepts(text.encode()) == parses(oracle, text), text


def parses(oracle: lark.Lark, text: str) -> bool:
    try:
        oracle.parse(text)
    except lark.exceptions.LarkError:
        return False
    return True


# Grammars that are LR(0) or nearly so: there the terminals that an LALR state accepts are those that Earley predicts.
CONTEXTUAL = {
    "keywords": (
        'start: (stmt ";")+\nstmt: "if" NAME | NAME "=" NAME\nNAME: /[a-z]+/\n%ignore " "',
        [[(~0, ~1), (~1,)], [(~2, 2)], [(0, 3), (3, 1, 3)]],
        [
            Terminal(name="IF", automaton=b"if", unless=(3,)),
            b"=",
            b";",
            ("plus", "abcdefghijklmnopqrstuvwxyz", True),
            b" ",
        ],
        (4,),
        ["if", "i", "f", "x", "=", ";", " "],
        5,
    ),
    "dots": (
        'start: "..." | dots "x"\ndots: dots "." | "."',
        [[(0,), (~1, 2)], [(~1, 1), (1,)]],
        [b"...", b".", b"x"],
        (),
        [".", "x"],
        7,
    ),
    "priority over length": (
        'start: (P | Q | R)+\nP.2: "a"\nQ: "ab"\nR: "b"',
        [[(~0, ~1), (~1,)], [(0,), (1,), (2,)]],
        [b"a", b"ab", b"b"],
        (),
        ["a", "b"],
        5,
    ),
    "lazy and monitored": (
        'start: (L | S | D)+\nL: /[<][<-]*?[>]/\nS: "<"\nD: "-"',
        [[(~0, ~1), (~1,)], [(0,), (1,), (2,)]],
        [("seq", "<", ("seq", ("star", "<-", False), ">")), b"-", b"<"],
        (),
        ["<", "-", ">"],
        6,
    ),
    "context decides": (
        'start: "a" WORD "!" | "b" NUM "!"\nWORD: /[xy]+/\nNUM: /[xz]+/',
        [[(0, 2, 4), (1, 3, 4)]],
        [b"a", b"b", ("plus", "xy", True), ("plus", "xz", True), b"!"],
        (),
        ["a", "b", "x", "y", "z", "!"],
        5,
    ),
}


@pytest.mark.parametrize("name", CONTEXTUAL)
def test_leftmost_is_lark_contextual(name: str) -> None:
    source, rules, terminals, ignored, pieces, longest = CONTEXTUAL[name]
    oracle = lark.Lark(source, parser="lalr", lexer="contextual")
    automata = [t if isinstance(t, bytes | Terminal) else to_automaton(t) for t in terminals]
    recognizer = grammar(rules, automata, ignored=ignored, lexing=Lexing.LEFTMOST)
    accepted = 0
    for count in range(longest + 1):
        for parts in itertools.product(pieces, repeat=count):
            text = "".join(parts)
            expected = parses(oracle, text)
            accepted += expected
            assert recognizer.accepts(text.encode()) == expected, text
            if expected:
                assert all(recognizer.is_viable(text[:end].encode()) for end in range(len(text)))
    assert accepted > 0


# -- counters, masks, ends ------------------------------------------------------------------------------------------


def counted(low: int, high: int) -> ByteAutomaton:
    """``[ab]{low,high}c`` with a counter; ``high < 0``: no upper bound."""
    again = high if high >= 0 else -low
    return ByteAutomaton(
        positions=np.array([(97, 98, 1), (99, 99, 2)], np.int32),
        offsets=np.array([0, 1, 3, 4], np.int32),
        entries=np.array([(0, ENTER, 0), (0, AGAIN, again), (1, EXIT, low), (MATCH, KEEP, 0)], np.int32),
    )


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 4), (1, -1), (3, -1), (300, 301)])
def test_counters_are_bounded_repeats(low: int, high: int) -> None:
    automaton = counted(low, high)
    automaton.validate()
    recognizer = grammar([[(0,)]], [automaton])
    pattern = re.compile(f"[ab]{{{low},{'' if high < 0 else high}}}c")
    for length in {*range(8), low - 1, low, low + 1, high + 1}:
        text = ("ab" * length)[: max(length, 0)]
        for ending in ("", "c", "cc"):
            expected = pattern.fullmatch(text + ending) is not None
            assert recognizer.accepts((text + ending).encode()) == expected
        assert recognizer.is_viable(text.encode()) == (high < 0 or length <= high)


@settings(max_examples=40, deadline=None)
@given(random_rules(4), st.text("ab", max_size=3))
def test_masks_are_the_prefixes_of_the_language(rules: list[list[Production]], prefix: str) -> None:
    """Against every sentence of the rules, derived by rewriting (finite: at most 7 bytes)."""
    words = [b"a", b"b", b"ab", b"ba"]
    recognizer = grammar(rules, words)
    language: set[bytes] = set()
    seen: set[Production] = {(~0,)}
    todo: list[Production] = [(~0,)]
    while todo:
        form = todo.pop()
        where = next((index for index, symbol in enumerate(form) if symbol < 0), None)
        if where is None:
            language.add(b"".join(words[symbol] for symbol in form))
            continue
        for production in rules[~form[where]]:
            longer = (*form[:where], *production, *form[where + 1 :])
            if sum(len(words[s]) if s >= 0 else 1 for s in longer) <= 7 and longer not in seen:
                seen.add(longer)
                todo.append(longer)
    tokens = [None, b"", *(text.encode() for text in texts("abc", 3)[1:])]
    allowed = recognizer.allowed_token_ids(tokens, prefix.encode())
    for index, token in enumerate(tokens):
        if not token:
            assert index not in allowed
            continue
        text = prefix.encode() + token
        assert recognizer.accepts(text) == (text in language)
        if any(word.startswith(text) for word in language):
            assert index in allowed
        elif index in allowed:  # then every completion is longer than the rewriting went
            completion = recognizer.find_completion(text, limit=3)
            assert completion is None or len(text + completion) > 7


@pytest.mark.parametrize("lexing", list(Lexing))
def test_empty_text_and_ignored_text(lexing: Lexing) -> None:
    for empty in (False, True):
        recognizer = grammar([[(0,)]], [b"x", b" "], accepts_empty=empty, ignored=(1,), lexing=lexing)
        assert recognizer.accepts(b"") is empty
        assert recognizer.accepts(b"  ") is empty
        assert recognizer.accepts(b" x ")
        assert not recognizer.accepts(b" xx")


def test_states_are_values() -> None:
    recognizer = grammar([[(0, ~0, 1), (0, 1)]], [b"(", b")"])
    start = recognizer.start()
    opened = recognizer.step(start, ord("("))
    assert recognizer.step(start, ord("(")) == opened
    assert not recognizer.is_live(recognizer.step(start, ord(")")))
    assert recognizer.is_accepting(recognizer.step(opened, ord(")")))
    assert not recognizer.is_accepting(opened)


def test_a_greedy_lexeme_swallows_its_twin() -> None:
    """``/a+/ /a+/`` has no leftmost text; viability is optimistic there and the search says so."""
    automaton = to_automaton(("plus", "a", True))
    leftmost = grammar([[(0, 0)]], [automaton], lexing=Lexing.LEFTMOST)
    assert not leftmost.accepts(b"aa")
    assert leftmost.is_viable(b"aa")
    assert leftmost.find_completion(b"aa", limit=6) is None
    assert grammar([[(0, 0)]], [automaton]).accepts(b"aa")
