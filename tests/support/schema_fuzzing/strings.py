"""Patterns and formats that the generator draws from, each with strings that are worth trying.

A pattern is written as ECMA-262 has it, beside its translation for Python's ``re`` where that reads it otherwise
(``\\d`` is Unicode there, ``$`` also stands before a last line feed). Format examples are labelled by the defining
documents, so that a validator which deviates from them is recognized.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PatternCase:
    """A pattern, the same language for Python's ``re.search``, strings to try, and the same for jsonschema-rs where it
    deviates (its ``.`` stands for line separators too, its ``\\b`` is Unicode's).
    """

    ecma: str
    python: str
    examples: tuple[str, ...]
    rust: str = ""


PATTERNS = (
    PatternCase("^a", "^a", ("a", "ab", "ba", "abc")),
    PatternCase("b", "b", ("b", "abc", "a", "ab")),
    PatternCase("^[a-c]+$", r"^[a-c]+\Z", ("a", "abc", "abd", "abc\n", "ccc")),
    PatternCase("^$|1", r"^\Z|1", ("", "1", "a1b", "\n", "a")),
    PatternCase(r"^\d{2}$", r"^[0-9]{2}\Z", ("12", "1", "123", "١٢", "12\n")),
    PatternCase("^(?:foo|ba+r)+$", r"^(?:foo|ba+r)+\Z", ("foo", "baar", "foobar", "fo", "br")),
    PatternCase(
        "^.{2,3}$", r"^[^\n\r\u2028\u2029]{2,3}\Z", ("ab", "abc", "a", "😀b", "a\nb", "abcd", "a\u2028"),
        rust="^[^\\n\\r\\u2028\\u2029]{2,3}$",
    ),
    PatternCase("[^a-z]", "[^a-z]", ("A", "a", "aB", "", "é")),
    PatternCase(r"^\w+$", r"^[A-Za-z0-9_]+\Z", ("a_1", "é", "", "Ab", "a b")),
    PatternCase("^(?!b)", "^(?!b)", ("a", "b", "ba", "")),
    PatternCase(
        "^(?=.*c)a", "^(?=[^\n\r\u2028\u2029]*c)a", ("ac", "abc", "ab", "ca"),
        rust="^(?=[^\\n\\r\\u2028\\u2029]*c)a",
    ),
    PatternCase(r"\bab\b", r"(?a:\bab\b)", ("ab", "x ab y", "abc", "éab"), "(?<![A-Za-z0-9_])ab(?![A-Za-z0-9_])"),
    PatternCase("^x-", "^x-", ("x-", "x-1", "x", "a")),
    PatternCase("[\\u00e9\\u4e00-\\u9fff]", "[é一-\u9fff]", ("é", "日本", "e")),
    PatternCase("a{3,}", "a{3,}", ("aaa", "aaaa", "aa", "baaab")),
    PatternCase(
        r"\s", "[\\t-\\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]", (" ", "a b", "ab", "\x1c"),
    ),
    PatternCase('["\\\\]', '["\\\\]', ('"', "\\", 'a"b', "ab")),
)  # fmt: skip

PYTHON_PATTERNS = {case.ecma: case.python for case in PATTERNS}
RUST_PATTERNS = {case.ecma: case.rust or case.ecma for case in PATTERNS}
PATTERN_EXAMPLES = {case.ecma: case.examples for case in PATTERNS}

# Name → (true members, others). The labels follow the documents that the formats name.
FORMATS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "date": (("2024-02-29", "0000-01-01", "1999-12-31"), ("2023-02-29", "2024-13-01", "24-01-01", "2024-1-1")),
    "time": (
        ("12:00:00Z", "23:59:59.123+05:30", "23:59:60Z", "12:00:00z"),
        ("12:00:00", "24:00:00Z", "12:00Z", "22:59:60Z", "12:00:00+24:00"),
    ),
    "date-time": (
        ("2024-02-29T12:00:00Z", "1998-12-31T23:59:60Z", "2024-01-01t00:00:00.5-00:00"),
        ("2024-02-30T12:00:00Z", "2024-01-01 12:00:00Z", "2024-01-01T12:00:00", "1998-12-31T23:58:60Z"),
    ),
    "duration": (("P1Y", "PT1H30M", "P1W", "P1Y2M3DT4H5M6S"), ("P", "PT", "1Y", "P1Y2D", "P1WT1H", "P1S")),
    "email": (
        ("a@b.co", "a.b+c@x-y.org", '"a b"@c.de', "a@[127.0.0.1]", "a@b--c.de"),
        ("a", "@b.c", ".a@b.c", "a@@b", "a b@c.d"),
    ),
    "ipv4": (("127.0.0.1", "255.255.255.255"), ("256.1.1.1", "1.2.3", "01.2.3.4", "1.2.3.4.5")),
    "ipv6": (("::1", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4"), ("1::2::3", "12345::", "::1%eth0", "1:2:3:4:5:6:7")),
    "uri": (("http://a.b/c?d#e", "urn:x:y", "mailto:a@b.c"), ("/a", "a", "http://a b", "http://[::1", "")),
    "uri-reference": (("/a/b", "", "#x", "a?b", "http://a/"), ("a b", "\\\\x", "http://a/%zz")),
    "iri": (("http://é.fr/ü", "urn:x"), ("é", "http://a b", "")),
    "iri-reference": (("/é", "", "#ü"), ("a b", "\\")),
    "uuid": (("2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2EB8AA08-AA98-11EA-B4AA-73B441D16380"), ("2eb8aa08", "x")),
    "uri-template": (("http://a/{b}", "{?x,y*}", "a"), ("{", "{a b}", "}")),
    "json-pointer": (("", "/a", "/a~1b/0"), ("a", "/~2", "/~")),
    "relative-json-pointer": (("0", "1/a", "0#", "10#"), ("/a", "01", "-1")),
    "hostname": (("a.example", "x-1.y"), ("-a", "a_b", "a..b", "a-.b")),
    "regex": (("^a+$", "[a-z]|b"), ("(", "[", "a**")),
}

NAMES = ("a", "b", "c", "ab", "x-1", "é", "", 'q"\\')
"""Property names that schemas and instances share."""

SAMPLES = ("", "a", "ab", "abc", "b1", "aaa", "12", "é", "😀", "x y", 'q"\\/', "\n", "\u0000", "\u2028", "foo")
"""Strings of no particular use."""


def strings_of_length(length: int) -> list[str]:
    """Strings of so many code points, some of them outside the basic plane."""
    if length > 40:
        return ["a" * length]
    return ["a" * length, "😀" * length, ("aé" * length)[:length]]
