"""The string formats of JSON Schema: which there are, what is promised for each, and their automata.

    name       status       defined by
    date-time  exact        RFC 3339 §5.6, leap seconds at offsets of whole hours
    date       exact        RFC 3339 §5.6, true to the calendar
    time       exact        RFC 3339 §5.6, leap seconds at offsets of whole and half hours
    duration   exact        RFC 3339 appendix A
    email      exact        RFC 5321 §4.1.2          idn-email  exact  RFC 6531 §3.3
    hostname   restricted   RFC 1123 §2.1; without A-labels (xn--)
    idn-hostname restricted RFC 5890 to 5893; without A-labels, labels beyond ASCII of at most 10 characters
    ipv4       exact        RFC 2673 §3.2            ipv6       exact  RFC 4291 §2.2
    uri        exact        RFC 3986                 iri        exact  RFC 3987       and their -reference forms
    uri-template exact      RFC 6570
    uuid       exact        RFC 9562 §4
    json-pointer exact      RFC 6901 §5              relative-json-pointer  exact  (without index manipulation)
    regex      restricted   ECMA-262 §22.2.1; no back-references, groups at most 3 deep

and of pydantic: uuid1 … uuid8, ipv4interface, ipv6interface, ipvanyaddress, ipvanyinterface, base64, base64url.

*restricted* formats admit only true members, but not all of them. Where a format's document and Python's validators
differ, the document is followed: ``jsonschema`` and ``datetime`` know no leap seconds and no year 0000, which
``python_values=True`` leaves out; ``jsonschema`` takes any text with an ``@`` for an email address and P1Y2D for a
duration.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Literal

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.format_store import stored_json_strings, stored_texts

FormatStatus = Literal["exact", "restricted"]

_HELD_BY_PYTHON = ("date-time", "date", "time")
_EXACT = (
    # Names of our own, for schemas made from Python types (``grammar_engine.types``).
    *(f"python-{name}" for name in _HELD_BY_PYTHON),
    "date-time", "date", "time", "duration", "email", "idn-email", "ipv4", "ipv6", "uri", "uri-reference", "iri",
    "iri-reference", "uri-template", "uuid", "json-pointer", "relative-json-pointer",
    *(f"uuid{version}" for version in range(1, 9)),
    "ipv4interface", "ipv6interface", "ipvanyaddress", "ipvanyinterface", "base64", "base64url",
)  # fmt: skip

FORMAT_STATUS: Mapping[str, FormatStatus] = MappingProxyType(
    {**dict.fromkeys(_EXACT, "exact"), **dict.fromkeys(("hostname", "idn-hostname", "regex"), "restricted")}
)
"""What is promised for each format that has a definition; names that are not here constrain nothing."""

MAX_HOSTNAME = 253
"""Characters of a host name: RFC 1035's 255 octets, less the first length and the root."""

FORMAT_MAX_LENGTH: Mapping[str, int] = MappingProxyType({"hostname": MAX_HOSTNAME, "idn-hostname": MAX_HOSTNAME})
"""Lengths that an automaton keeps with a counter: tighten them with ``length.limit_length``, not by intersection."""


@cache
def format_automaton(name: str, *, python_values: bool = False) -> CharAutomaton | None:
    """The values of a format; None for a name without a definition, which constrains nothing.

    ``python_values``: leave out what ``datetime`` cannot hold (leap seconds, year 0000).
    """
    if name not in FORMAT_STATUS:
        return None
    return stored_texts(f"python-{name}" if python_values and name in _HELD_BY_PYTHON else name)


def format_json_strings(name: str, *, key: str) -> ByteAutomaton | None:
    """The values of a format as JSON strings in every spelling; None for a name without a definition."""
    return stored_json_strings(name, key=key) if name in FORMAT_STATUS else None
