"""How the automata of formats are built, each from its definition (``formats.py`` lists them).

What a format is made of stands in ``format_patterns.py`` (as patterns) and ``format_machines.py`` (what counts).
The results are kept as data (``format_store.py``), so that this module is needed to write and to test them only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from types import MappingProxyType

from grammar_engine.compiler import format_patterns as patterns
from grammar_engine.compiler.automaton import MATCH
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.char_states import EMPTY_LANGUAGE, Edge, trim
from grammar_engine.compiler.charset import CharSet
from grammar_engine.compiler.format_machines import hostname, ipv6, leap_seconds
from grammar_engine.compiler.idn_hostname import idn_hostname

_HOLE = patterns.PLACEHOLDER
_OTHER_HOLES = ("\ufffe", "\ufdd0")
_NEW_YEARS_EVE, _NEW_YEAR = "(?:06-30|12-31)", "(?:07-01|01-01)"


def _regex(pattern: str) -> CharAutomaton:
    return CharAutomaton.from_regex(pattern).minimize()


def _filled(whole: CharAutomaton, parts: Mapping[str, CharAutomaton]) -> CharAutomaton:
    """``whole`` with its holes filled: edges that read nothing but keys of ``parts`` become the texts of the part.

    Of several holes in one place the first key's is filled. Deterministic if all are, and if what may follow a hole
    cannot be read by its part where that may end.
    """
    elsewhere = CharSet.from_chars(parts).complement()
    states = [list(edges) for edges in whole.states]
    bases: dict[tuple[str, int], int] = {}
    for state, edges in enumerate(whole.states):
        kept: list[Edge] = []
        empty: list[Edge] = []
        for edge in edges:
            reads = edge.target == MATCH or edge.label.intersect(elsewhere)
            (kept if reads else empty).append(edge)
        hole = next((char for char in parts if any(char in edge.label for edge in empty)), "")
        for edge in empty:
            if hole not in edge.label:
                continue
            base = bases.get((hole, edge.target))
            if base is None:
                base = bases[hole, edge.target] = len(states)
                states.extend(_copied(parts[hole], base, whole.states[edge.target]))
            kept.extend(states[base])
        states[state] = kept
    return CharAutomaton(trim(tuple(map(tuple, states))), deterministic=True)


def _copied(part: CharAutomaton, base: int, after: tuple[Edge, ...]) -> list[list[Edge]]:
    """The states of ``part`` numbered from ``base``, with ``after`` where the text could end."""
    copies: list[list[Edge]] = []
    for edges in part.states:
        copy = [edge._replace(target=base + edge.target) for edge in edges if edge.target != MATCH]
        copies.append(copy + list(after) if len(copy) < len(edges) else copy)
    return copies


# -- dates and times --------------------------------------------------------------------------------------------------


@cache
def _plain_time() -> CharAutomaton:
    return _regex(patterns.TIME)


def _time_with_leaps(*, signs: str, step: int) -> CharAutomaton:
    leaps = leap_seconds(signs=signs, step=step, fraction=_HOLE)
    return _plain_time().union(_filled(leaps, {_HOLE: _regex(patterns.FRACTION)}))


def _date(*, python_values: bool) -> CharAutomaton:
    return _regex(patterns.date(year_zero=not python_values))


def _date_time(*, python_values: bool) -> CharAutomaton:
    """Leap seconds stand at the end of 30 June or 31 December, UTC (RFC 3339, appendix D): east of it, a day later."""
    date = patterns.date(year_zero=not python_values)
    if python_values:
        return _filled(_regex(f"{date}[Tt]{_HOLE}"), {_HOLE: _plain_time()})
    west, east = _OTHER_HOLES
    dates = _regex(f"{date}[Tt]{_HOLE}|[0-9]{{4}}-{_NEW_YEARS_EVE}[Tt]{west}|[0-9]{{4}}-{_NEW_YEAR}[Tt]{east}")
    # Where a leap second may come, that hole is filled, with the ordinary times among its texts.
    parts = {
        west: _time_with_leaps(signs="-", step=60),
        east: _time_with_leaps(signs="+", step=60),
        _HOLE: _plain_time(),
    }
    return _filled(dates, parts)


# -- regular expressions ----------------------------------------------------------------------------------------------

_REGEX_DEPTH = 3


def _regular_expressions() -> CharAutomaton:
    """Nested parentheses are no regular language, but those of bounded depth are."""
    level = _regex(patterns.REGEX_INSIDE)
    nothing = CharAutomaton(EMPTY_LANGUAGE, deterministic=True)
    flat = _filled(level, {_HOLE: nothing, patterns.LOOK_AROUND: nothing})
    nested = _filled(level, {_HOLE: nothing, patterns.LOOK_AROUND: flat})
    for _ in range(_REGEX_DEPTH - 1):
        nested = _filled(level, {_HOLE: nested, patterns.LOOK_AROUND: flat})
    return _filled(_regex(patterns.REGEX), {_HOLE: nested, patterns.LOOK_AROUND: flat})


# -- the table --------------------------------------------------------------------------------------------------------


def _with_ipv6(pattern: str) -> CharAutomaton:
    return _filled(_regex(pattern), {_HOLE: ipv6()})


def _either_address(four: str, six: str) -> CharAutomaton:
    return _regex(four).union(_with_ipv6(six))


_HELD_BY_PYTHON: Mapping[str, Callable[[], CharAutomaton]] = MappingProxyType(
    {
        "date-time": partial(_date_time, python_values=True),
        "date": partial(_date, python_values=True),
        "time": _plain_time,
    }
)

_BUILDERS: Mapping[str, Callable[[], CharAutomaton]] = MappingProxyType(
    {
        # Names of our own, for schemas made from Python types (``grammar_engine.types``).
        **{f"python-{name}": builder for name, builder in _HELD_BY_PYTHON.items()},
        "date-time": partial(_date_time, python_values=False),
        "date": partial(_date, python_values=False),
        "time": partial(_time_with_leaps, signs="+-", step=30),
        "duration": partial(_regex, patterns.DURATION),
        "email": partial(_with_ipv6, patterns.EMAIL),
        "idn-email": partial(_with_ipv6, patterns.IDN_EMAIL),
        "hostname": hostname,
        "idn-hostname": idn_hostname,
        "ipv4": partial(_regex, patterns.IPV4),
        "ipv6": ipv6,
        "uri": partial(_with_ipv6, patterns.URI),
        "uri-reference": partial(_with_ipv6, patterns.URI_REFERENCE),
        "iri": partial(_with_ipv6, patterns.IRI),
        "iri-reference": partial(_with_ipv6, patterns.IRI_REFERENCE),
        "uri-template": partial(_regex, patterns.URI_TEMPLATE),
        "regex": _regular_expressions,
        "uuid": partial(_regex, patterns.UUID),
        "json-pointer": partial(_regex, patterns.JSON_POINTER),
        "relative-json-pointer": partial(_regex, patterns.RELATIVE_JSON_POINTER),
        **{f"uuid{version}": partial(_regex, patterns.uuid(version)) for version in range(1, 9)},
        "ipv4interface": partial(_regex, f"{patterns.IPV4}{patterns.IPV4_PREFIX}"),
        "ipv6interface": partial(_with_ipv6, f"{_HOLE}{patterns.IPV6_PREFIX}"),
        "ipvanyaddress": partial(_either_address, patterns.IPV4, _HOLE),
        "ipvanyinterface": partial(
            _either_address, f"{patterns.IPV4}{patterns.IPV4_PREFIX}", f"{_HOLE}{patterns.IPV6_PREFIX}"
        ),
        "base64": partial(_regex, patterns.BASE64),
        "base64url": partial(_regex, patterns.BASE64URL),
    }
)


def format_names() -> tuple[str, ...]:
    """Every name that has a definition."""
    return tuple(_BUILDERS)


def build_format(name: str) -> CharAutomaton:
    """The values of a format, built from its definition. KeyError for a name that has none."""
    return _BUILDERS[name]()
