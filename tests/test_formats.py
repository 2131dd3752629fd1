"""Formats against the JSON-Schema-Test-Suite, two validators, the standard library, and Python's ``re``."""

from __future__ import annotations

import base64
import calendar
import contextlib
import datetime as dt
import gzip
import ipaddress
import json
import random
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import idna
import jsonschema
import jsonschema_rs
import numpy as np
import pydantic
import pytest
from grammar_engine.compiler import format_patterns as patterns
from grammar_engine.compiler import format_store
from grammar_engine.compiler.automaton import MATCH
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.char_states import apply_counter
from grammar_engine.compiler.errors import UnsupportedGrammarError
from grammar_engine.compiler.format_builders import build_format, format_names
from grammar_engine.compiler.formats import FORMAT_MAX_LENGTH, FORMAT_STATUS, format_automaton, format_json_strings
from grammar_engine.compiler.regex_ast import parse_regex
from grammar_engine.compiler.spelling import to_json_string
from hypothesis import given, settings
from hypothesis import strategies as st

CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER
STANDARD = [
    "date-time", "date", "time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6", "uri",
    "uri-reference", "iri", "iri-reference", "uri-template", "uuid", "json-pointer", "relative-json-pointer", "regex",
]  # fmt: skip

UNICODE_FORMATS = ("idn-hostname",)


def members(name: str, **options: bool) -> CharAutomaton:
    automaton = format_automaton(name, **options)
    assert automaton is not None
    return automaton


class Reader:
    """Runs a deterministic automaton without counters quickly."""

    def __init__(self, automaton: CharAutomaton) -> None:
        self.states = automaton.states
        self.cache: dict[tuple[int, str], int] = {}

    def __call__(self, text: str) -> bool:
        state = 0
        for char in text:
            key = (state, char)
            if key not in self.cache:
                targets = [e.target for e in self.states[state] if e.target != MATCH and char in e.label]
                assert len(targets) <= 1, "not deterministic"
                self.cache[key] = targets[0] if targets else -1
            state = self.cache[key]
            if state < 0:
                return False
        return any(edge.target == MATCH for edge in self.states[state])


def python_says(name: str, text: str) -> bool:
    with contextlib.suppress(jsonschema.exceptions.FormatError):
        CHECKER.check(text, name)
        return True
    return False


def rust(name: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({"format": name}, validate_formats=True)


def suite(shared_data: Path, draft: str) -> Iterator[tuple[str, str, bool]]:
    """Format, instance, verdict."""
    with gzip.open(shared_data / f"jsts_{draft}_format.jsonl.gz", "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            for test in record["tests"]:
                if isinstance(test["data"], str) and "format" in record["schema"]:
                    yield record["schema"]["format"], test["data"], test["valid"]


@pytest.mark.parametrize("draft", ["draft2020-12", "draft7"])
def test_json_schema_test_suite(shared_data: Path, draft: str) -> None:
    """Exact formats agree with every verdict; restricted ones admit nothing that is invalid, and most that is valid."""
    missed = {"hostname": 0, "idn-hostname": 0, "regex": 0}
    checked = 0
    for name, text, valid in suite(shared_data, draft):
        if name not in FORMAT_STATUS:
            continue
        checked += 1
        admitted = members(name).accepts(text)
        if valid and not admitted and FORMAT_STATUS[name] == "restricted":
            missed[name] += 1
        else:
            assert admitted == valid, (name, text)
    assert checked > 500
    assert missed == {"hostname": 15, "idn-hostname": 5, "regex": 1}


def walk(automaton: CharAutomaton, generator: random.Random, longest: int = 60) -> str | None:
    """A random text of a deterministic automaton, or None if it gets too long."""
    state, text = 0, ""
    while len(text) <= longest:
        edge = generator.choice(automaton.states[state])
        if edge.target == MATCH:
            return text
        low, high = generator.choice(edge.label.ranges)
        text += chr(generator.randint(low, high))
        state = edge.target
    return None


# Members that a validator refuses, and why.
PYTHON_REFUSES = {
    "uri": r"\[[Vv]",  # rfc3987 misspells IPvFuture
    "uri-reference": r"\[[Vv]",
    "iri": r"\[[Vv]",
    "iri-reference": r"\[[Vv]",
    "uri-template": r".*",  # uri_template wants variables it can expand: no {%41}, no {v:1000}
    "relative-json-pointer": r"[1-9][0-9]",  # one digit only, in jsonschema
    "regex": r"\\[cpP]|\\u\{|\(\?<|\[\^?\]|\[.*(?:[\[&|~]|--)",  # what Python lacks or warns of
}
RUST_REFUSES = {
    "email": r'@\[|^"|@.*--',
    "idn-email": r".*",
    "uri-template": r".*",
    "idn-hostname": "\u0375[^\u0370-\u03ff]|\u30fb",  # knows the first blocks of the scripts only
}


@pytest.mark.parametrize("name", STANDARD)
def test_members_please_both_validators(name: str) -> None:
    """Soundness against oracles that we did not write."""
    automaton = members(name, python_values=True)
    validator = rust(name)
    generator = random.Random(name)
    longest = 40 if name == "idn-hostname" else 60  # the walk does not count
    texts = {text for _ in range(600) if (text := walk(automaton, generator, longest)) is not None}
    assert len(texts) > 100 or name in ("ipv6", "uuid")
    for text in texts:
        assert automaton.accepts(text)
        assert python_says(name, text) or re.search(PYTHON_REFUSES.get(name, r"(?!)"), text), text
        assert validator.is_valid(text) or re.search(RUST_REFUSES.get(name, r"(?!)"), text), text


def test_every_day_of_the_calendar() -> None:
    """All month and day numbers of years that cover the Gregorian rule, and the last digits that could go wrong."""
    read, held = Reader(members("date")), Reader(members("date", python_values=True))
    years = {*range(12), 96, 100, 104, 399, 400, 401, 1582, *range(1895, 1906), *range(1995, 2030), 2100, 2400, 9999}
    for year in years:
        for month in range(14):
            days = calendar.monthrange(year or 2000, month)[1] if 1 <= month <= 12 else 0
            for day in range(33):
                text = f"{year:04}-{month:02}-{day:02}"
                assert read(text) == (1 <= day <= days), text
                assert held(text) == (year > 0 and 1 <= day <= days), text
    for year in range(10_000):
        leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
        assert read(f"{year:04}-02-29") == leap
        assert held(f"{year:04}-02-29") == (leap and year > 0)


def test_leap_seconds_are_one_minute_of_the_day() -> None:
    """Every local minute against offsets of whole and half hours; the oracle is arithmetic of ``datetime``."""
    time, moment, held = (
        Reader(members("time")),
        Reader(members("date-time")),
        Reader(members("time", python_values=True)),
    )
    for offset in range(-23 * 60 - 30, 24 * 60, 30):
        sign = "-" if offset < 0 else "+"
        written = f"{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
        for minute in (
            *range(0, 24 * 60, 97),
            *((23 * 60 + 59 + offset + near) % 1440 for near in (-60, -1, 0, 1, 60)),
        ):
            utc = dt.datetime(2000, 6, 15, minute // 60, minute % 60, tzinfo=dt.timezone.utc) - dt.timedelta(
                minutes=offset
            )
            text = f"{minute // 60:02}:{minute % 60:02}:60{written}"
            assert time(text) == ((utc.hour, utc.minute) == (23, 59)), text
            assert time(text.replace(":60", ":60.25")) == time(text)
            assert not held(text)
    for date in ("2016-12-31", "2017-01-01", "2015-06-30", "2015-07-01", "2016-11-30", "2016-12-30"):
        for hour in range(24):
            for offset in (-8, -1, 0, 1, 9):
                local = dt.datetime.fromisoformat(f"{date}T{hour:02}:59:59")
                utc = local - dt.timedelta(hours=offset)
                expected = (utc.hour == 23) and (utc.month, utc.day) in ((6, 30), (12, 31))
                text = f"{date}T{hour:02}:59:60{offset:+03}:00"
                assert moment(text) == expected, text
                assert moment(text.replace(":60", ":59"))
    assert not moment("2016-12-31T24:00:00Z")
    assert moment("0000-01-01T00:00:00Z")
    assert members("date-time", python_values=True).accepts("2016-12-31t23:59:59.999z")


@pytest.mark.parametrize(("name", "kind"), [("date-time", dt.datetime), ("date", dt.date), ("time", dt.time)])
def test_python_values_are_held_by_pydantic(name: str, kind: type) -> None:
    adapter = pydantic.TypeAdapter(kind)
    automaton, generator = members(name, python_values=True), random.Random(name)
    for text in filter(None, (walk(automaton, generator, 30) for _ in range(300))):
        assert adapter.validate_json(json.dumps(text)) is not None


def is_address(kind: type, text: str) -> bool:
    with contextlib.suppress(ValueError):
        kind(text)
        return text.isascii() and "%" not in text
    return False


ADDRESSES = st.text("0123459af:./", min_size=1, max_size=14) | st.lists(
    st.sampled_from(
        ["0", "1", "25", "255", "256", "ffff", "a", "::", ":", ".", "1.2.3.4", "01", "/", "32", "33", "128", "129"]
    ),
    max_size=18,
).map("".join)


@settings(max_examples=1500, deadline=None)
@given(ADDRESSES)
def test_addresses_are_those_of_ipaddress(text: str) -> None:
    four, six = is_address(ipaddress.IPv4Address, text), is_address(ipaddress.IPv6Address, text)
    assert members("ipv4").accepts(text) == four
    assert members("ipv6").accepts(text) == six
    assert members("ipvanyaddress").accepts(text) == (four or six)
    prefix = text.partition("/")[2]
    if "/" not in text or re.fullmatch(
        "0|[1-9][0-9]*", prefix
    ):  # ipaddress takes masks and zeros before the number too
        assert members("ipv4interface").accepts(text) == is_address(ipaddress.IPv4Interface, text)
        assert members("ipv6interface").accepts(text) == is_address(ipaddress.IPv6Interface, text)


def test_addresses_by_construction() -> None:
    """Each number of groups on both sides of ``::``, with and without IPv4 at the end."""
    read = Reader(members("ipv6"))
    for left in range(10):
        for right in range(10):
            for ending in ("", "1.2.3.4", "255.0.10.99", "1.2.3", "256.1.1.1", "1.2.3.04"):
                parts = ["abcd"] * right + ([ending] if ending else [])
                for text in (":".join(["1"] * left) + "::" + ":".join(parts), ":".join(["1"] * left + parts)):
                    assert read(text) == is_address(ipaddress.IPv6Address, text), text


@settings(max_examples=200, deadline=None)
@given(st.uuids(), st.integers(1, 8))
def test_uuid_versions(value: object, version: int) -> None:
    text = str(value)
    adapter = pydantic.TypeAdapter(getattr(pydantic, f"UUID{version}")) if version in (1, 3, 4, 5) else None
    for nibble in "0123456789abcdef":
        changed = text[:14] + str(version) + text[15:19] + nibble + text[20:]
        assert members("uuid").accepts(changed)
        admitted = members(f"uuid{version}").accepts(changed)
        assert admitted == (nibble in "89ab")
        assert not members(f"uuid{version % 8 + 1}").accepts(changed)
        if adapter is not None and admitted:
            adapter.validate_python(changed)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=9), st.integers(0, 11), st.sampled_from("AQZgw09+/-_="))
def test_base64_is_what_encoders_write(data: bytes, at: int, other: str) -> None:
    for name, altchars in (("base64", b"+/"), ("base64url", b"-_")):
        text = base64.b64encode(data, altchars).decode()
        assert members(name).accepts(text)
        changed = text[:at] + other + text[at + 1 :]
        try:
            canonical = (
                base64.b64encode(base64.b64decode(changed, altchars, validate=True), altchars).decode() == changed
            )
        except ValueError:
            canonical = False
        assert members(name).accepts(changed) == canonical, changed


def test_hostname_lengths() -> None:
    automaton = members("hostname")
    longest = ".".join(["a" * 63] * 3)
    limit = FORMAT_MAX_LENGTH["hostname"]
    for text in (longest + "." + "b" * 61, ".".join("a" * 127), longest + "." + "b" * 59 + "-c"):
        assert len(text) == limit
        assert automaton.accepts(text)
        assert not automaton.accepts(text + "a")
        assert not automaton.accepts(text + ".a")
    assert not automaton.accepts("a" * 64)
    assert not automaton.accepts("xn--9n2bp8q.com")
    assert automaton.accepts("a--b.xn-a.x-n--c")


def test_hostname_counter_leaves_no_dead_end() -> None:
    """At every length up to the limit, whatever can be read can be completed: the counter's bounds are exact."""
    automaton = members("hostname")
    generator = random.Random(3)
    for _ in range(30):
        state, counter, length, final = 0, 0, 0, False
        while True:
            moves = []
            final = False
            for edge in automaton.states[state]:
                after = apply_counter(edge.op, edge.bound, counter)
                if after < 0:
                    continue
                if edge.target == MATCH:
                    final = True
                else:
                    moves.append((edge.target, after))
            if not moves:
                break
            state, counter = generator.choice(moves)
            length += 1
        assert final
        assert length == FORMAT_MAX_LENGTH["hostname"]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.text("abzlß ςαжが漢한éx0-·͵βא׳בب٠۰ي\u200c\u200dक्ष・́ั", min_size=1, max_size=8), min_size=1, max_size=4)
)
def test_idn_hostnames_are_idna(labels: list[str]) -> None:
    """Against the ``idna`` package, which judges each label by itself."""
    text = ".".join(labels)
    admitted = members("idn-hostname").accepts(text)
    try:
        encoded = idna.encode(text)
    except (idna.IDNAError, UnicodeError):
        assert not admitted, text
        return
    if admitted:
        assert len(encoded) <= 253


def test_walks_through_idn_hostnames_are_idna() -> None:
    automaton, generator = members("idn-hostname"), random.Random(17)
    right = 0
    for _ in range(1500):
        text = walk(automaton, generator, 40)
        if text is not None:
            assert len(idna.encode(text)) <= 253, ascii(text)
            right += any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in text)
    assert right > 20


def test_labels_of_idn_hostnames_by_their_code_points() -> None:
    """Every code point alone and behind a letter, against ``idna``; what is left out is counted."""
    automaton = members("idn-hostname")
    left_out = 0
    for code in [*range(0x80, 0xD800, 3), *range(0xE000, 0x31350, 41)]:
        if unicodedata.category(chr(code)) == "Cn":
            continue
        for text in (chr(code), "a" + chr(code)):
            admitted = automaton.accepts(text)
            try:
                valid = bool(idna.encode(text))
            except (idna.IDNAError, UnicodeError):
                valid = False
            assert valid or not admitted, ascii(text)
            left_out += valid and not admitted
    assert left_out < 60  # marks that compose


@pytest.mark.parametrize(
    ("text", "admitted"),
    [
        ("a" * 63, True),
        ("a" * 64, False),
        (".".join(["a" * 49] * 5), True),
        (".".join(["a" * 50] * 5), False),
        ("правитель.рф", True),
        ("א.b", True),
        ("1b.א", False),
        ("א.1b", False),
        ("b1-2.א", True),
        ("é.א", False),  # left out
        ("क" * 10 + "." + "ü" * 10 + "。" + "z" * 22, True),
        ("क" * 10 + "." + "ü" * 10 + "。" + "z" * 23, False),
        ("क" * 11, False),
        ("ab--c", True),
        ("a--b", True),
        ("ab--ü", False),
        ("xn--a", False),
        ("Éa", False),
        ("Aé", False),
        ("AbC.é", True),
    ],
)
def test_rules_of_idn_hostnames(text: str, admitted: bool) -> None:
    if "--" in text[2:4]:
        admitted = False
    assert members("idn-hostname").accepts(text) == admitted


def test_worst_idn_labels_fit() -> None:
    generator = random.Random(5)
    letters = "zßωяんヺ一龥힣가\U00010400\U000323af\U00020000𐓘"
    letters = "".join(char for char in letters if members("idn-hostname").accepts(char))
    for _ in range(2000):
        label = "".join(generator.choice(letters) for _ in range(10))
        text = ".".join([label] * 4)
        assert members("idn-hostname").accepts(text)
        assert len(idna.encode(text)) <= 253
        assert not members("idn-hostname").accepts("ß" + label)


TEXTS = st.text("aB1-._~%20:/?#[]@!$&'()*+,;={}^|\\\"<> é漢\n", max_size=16)
PATTERNS = {
    "uri-template": patterns.URI_TEMPLATE,
    "json-pointer": patterns.JSON_POINTER,
    "relative-json-pointer": patterns.RELATIVE_JSON_POINTER,
    "duration": patterns.DURATION,
    "time": patterns.TIME,
}
URIS = ("uri", "uri-reference", "iri", "iri-reference")


@settings(max_examples=800, deadline=None)
@given(TEXTS | st.from_regex(r"(?:[a-z]:)?(?://)?[a-z@:.0-9\[\]%]{0,8}[/?#a:é@%0]{0,8}", fullmatch=True))
def test_uris_are_those_of_the_rust_validator(text: str) -> None:
    for name in URIS:
        assert members(name).accepts(text) == RUST_URIS[name].is_valid(text), (name, text)


RUST_URIS = {name: rust(name) for name in URIS}


@settings(max_examples=500, deadline=None)
@given(TEXTS | st.text("PTYMWDHS0123:.Z+-", max_size=12))
def test_automata_are_their_patterns(text: str) -> None:
    for name, pattern in PATTERNS.items():
        assert members(name, python_values=True).accepts(text) == bool(re.fullmatch(pattern, text)), (name, text)


def test_names() -> None:
    assert set(STANDARD) <= set(FORMAT_STATUS)
    assert format_automaton("color") is None
    assert format_automaton("") is None
    assert members("uri") is members("uri")


@pytest.mark.parametrize("name", sorted(FORMAT_STATUS))
def test_the_data_file_holds_what_the_definitions_say(name: str) -> None:
    """If this fails after a change to a format: run .ci/write_format_automata.py."""
    if name in UNICODE_FORMATS and unicodedata.unidata_version != format_store.archive().unicode_version:
        pytest.skip("tables of another version of Unicode")
    built = build_format(name)
    assert members(name).states == built.states
    spelled, stored = to_json_string(built), format_json_strings(name, key="k")
    assert stored is not None
    assert stored.key == "k"
    for field in ("positions", "offsets", "entries"):
        ours, theirs = getattr(spelled, field), getattr(stored, field)
        assert ours.dtype == theirs.dtype == np.int32
        assert np.array_equal(ours, theirs)


def test_stored_categories_are_those_of_unicodedata() -> None:
    stored = format_store.stored_categories(unicodedata.unidata_version)
    if stored is None:
        pytest.skip("tables of another version of Unicode")
    for code in [*range(0xD800), *range(0xE000, 0x110000, 7)]:
        name = unicodedata.category(chr(code))
        assert code in stored[name]
    assert sum(map(len, stored.values())) == 0x110000 - 0x800
    assert not stored["Cs"]
    assert format_store.stored_categories("3.2.0") is None


def test_every_definition_is_promised_and_stored() -> None:
    assert set(format_names()) == set(FORMAT_STATUS) == set(format_store.archive().formats)


@pytest.mark.parametrize("name", sorted(FORMAT_STATUS))
def test_automata_are_small_and_deterministic(name: str) -> None:
    automaton = members(name)
    assert automaton.deterministic
    assert automaton.num_states <= 1100
    for edges in automaton.states:
        labels = [edge.label for edge in edges if edge.target != MATCH]
        for index, label in enumerate(labels):
            assert label
            assert not any(label.intersect(other) for other in labels[:index])


@pytest.mark.parametrize(
    ("pattern", "admitted"),
    [
        (r"^\+?[0-9]{10,15}$", True),
        (r"^([a-z0-9]+(?:-[a-z0-9]+)*)$", True),
        (r"[\w.\-]+@[\w-]+\.[a-z]{2,}|", True),
        ("(((a)))", True),
        ("", True),
        ("((a)", False),
        ("a{2,1}", False),
        ("a{19,12}", False),
        ("[z-a]", False),
        ("a**", False),
        ("a*+", False),
        ("(?i)a", False),
        (r"\a", False),
        ("+a", False),
        ("a|*", False),
        ("(?<name>x)y", True),
        ("^(?<year>[0-9]{4})-", True),
        ("(?<a>x)(?<a>y)", False),
        ("(?<=a+)b(?!c)", True),
        ("(?=a)*", False),
        ("[]|[^]", True),
        (r"\cA\p{Lu}\u{1F600}", True),
        (r"\u{1100000}", False),
        (r"\p{Greek}", False),
        (r"[\w-a]", False),
        ("(?P<n>x)", False),
        ("(?#c)a", False),
    ],
)
def test_regular_expressions(pattern: str, admitted: bool) -> None:
    assert members("regex").accepts(pattern) == admitted


def test_regular_expressions_are_read_by_the_reader_of_patterns() -> None:
    automaton, generator = members("regex"), random.Random(11)
    texts = {text for _ in range(1500) if (text := walk(automaton, generator)) is not None}
    assert sum("(?" in text for text in texts) > 50
    for text in texts:
        with contextlib.suppress(UnsupportedGrammarError):
            parse_regex(text, dialect="ecma")
