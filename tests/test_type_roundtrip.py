"""Every type that pydantic describes: what is generated for it validates into it, and what it dumps can be generated.

Random walks under the mask of a vocabulary of single bytes, so that every byte of a text is a choice of its own; the
oracle is pydantic.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import importlib.util
import ipaddress
import json
import pathlib
import random
import re
import sys
import typing
import uuid
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar

import pydantic
import pytest
import typing_extensions
from annotated_types import Ge, Gt, Le, Lt
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedSchemaError
from grammar_engine.compiler.vocabulary import Vocabulary
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter

from grammar_engine.completion import CompletionSearch, SpellingTable
from grammar_engine.matcher import Matcher
from grammar_engine.types import schema_of

WALKS, STEPS = 25, 40
STRUCTURE = frozenset(b'",:{}[]0123456789.-+eETZPYMDHS/=')  # half of the steps choose among these

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = 7


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    ALL = 7


class Word(str, enum.Enum):
    A = "a"


class Odd(enum.Enum):
    TUPLE = (1, 2)
    NOTHING = None
    HALF = 1.5


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = Field(9, ge=0, le=9)


class Dog(BaseModel):
    kind: Literal["dog", "hound"] = "dog"
    name: str = ""


class Fish(BaseModel):
    kind: Literal["fish"]
    friend: Annotated[Cat | Dog, Field(discriminator="kind")]


class ByAlias1(BaseModel):
    kind: Literal[1] = Field(1, alias="Kind")


class ByAlias2(BaseModel):
    kind: Literal[Word.A] = Field(Word.A, alias="Kind")
    x: int


class Box(BaseModel, Generic[T]):
    value: T
    more: list[T] = []


class Node(BaseModel):
    value: int
    children: list[Node] = []


class Aliases(BaseModel):
    a: int = Field(alias="theA")
    b: int = Field(validation_alias=AliasChoices("b1", AliasPath("b", 0)))
    c: int = Field(default=1, validation_alias=AliasPath("c", 0))
    d: int = Field(0, serialization_alias="D")


class ByName(BaseModel):
    model_config = ConfigDict(validate_by_alias=False, validate_by_name=True, extra="forbid")
    a: int = Field(alias="A")


class EitherName(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    a: int = Field(alias="A")


class Computed(BaseModel):
    a: int

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return 2 * self.a


class Root(pydantic.RootModel[list[int]]):
    pass


class Forbid(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int


class Allow(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int]
    a: int


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    integer: int
    number: float
    decimal: decimal.Decimal
    date: dt.date


class StrictToo(BaseModel):
    model_config = ConfigDict(strict=True)
    data: bytes
    some: set[int]
    level: Level
    span: dt.timedelta
    size: pydantic.ByteSize
    keys: dict[int, bool]


class Configured(BaseModel):
    model_config = ConfigDict(
        str_min_length=1, str_max_length=3, str_strip_whitespace=True, str_to_upper=True, allow_inf_nan=False
    )
    text: str
    number: float


class HexBytes(BaseModel):
    model_config = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")
    data: Annotated[bytes, Field(min_length=1, max_length=2)]


class Base64Model(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    data: bytes


class PythonPattern(BaseModel):
    model_config = ConfigDict(regex_engine="python-re")
    text: Annotated[str, Field(pattern=r"^(?P<first>\w)(?=b)b\Z")]


class Pair(NamedTuple):
    a: int
    b: str = "x"


class Movie(typing_extensions.TypedDict, total=False):
    title: typing_extensions.Required[str]
    year: int


class OldMovie(typing.TypedDict):
    title: str
    year: typing_extensions.NotRequired[int]


@dataclasses.dataclass
class Point:
    x: float
    tags: list[str] = dataclasses.field(default_factory=list)
    made: int = dataclasses.field(init=False, default=3)
    _: dataclasses.KW_ONLY
    w: int = 1


@pydantic.dataclasses.dataclass
class Chain:
    x: int
    after: Chain | None = None


def shape_of(value: Any) -> str:
    width = value.get("width") if isinstance(value, dict) else getattr(value, "width", None)
    return "square" if width is None else "rectangle"


class Square(BaseModel):
    side: int


class Rectangle(BaseModel):
    width: int
    height: int


class Shop(BaseModel):
    animals: list[Annotated[Cat | Dog | Fish, Field(discriminator="kind")]]
    open_from: dt.time
    prices: dict[str, Annotated[decimal.Decimal, Field(max_digits=6, decimal_places=2)]]
    owner: Box[Point] | None = None
    where: pydantic.HttpUrl | ipaddress.IPv4Address | None = None


UserId = NewType("UserId", int)
Names = typing_extensions.TypeAliasType("Names", list[str])
Nested = typing_extensions.TypeAliasType("Nested", "int | list[Nested]")
NEW_YEAR = dt.datetime.fromisoformat("2024-01-01")
NEW_YEARS_EVE = dt.datetime.fromisoformat("2024-12-31T23:59:59")
UTC = dt.timezone.utc
EAST = dt.timezone(dt.timedelta(hours=2))

FISH = Fish(kind="fish", friend=Dog())

TYPES: dict[str, tuple[Any, list[Any]]] = {
    # scalars
    "int": (int, [0, -5, 10**40, 10**3900]),
    "int bounds": (Annotated[int, Field(ge=3, lt=10)], [3, 9]),
    "int above": (Annotated[int, Field(gt=10**20)], [10**20 + 1, 10**3000]),
    "int multiple": (Annotated[int, Field(multiple_of=7)], [0, -14]),
    "strict int": (pydantic.StrictInt, [1]),
    "float": (float, [0.5, -1e300, 3.0]),
    "float open": (Annotated[float, Field(gt=0, lt=1)], [0.5, 0.0001, 0.9999999999999999]),
    "float multiple": (Annotated[float, Field(multiple_of=0.25)], [0.25, 3.0]),
    "finite": (pydantic.FiniteFloat, [1e99, -0.25]),
    "non-negative": (pydantic.NonNegativeFloat, [0.0, 7.5]),
    "bool": (bool, [True, False]),
    "none": (type(None), [None]),
    "str": (str, ["", 'a"b\\c\n\u0000', "日本🎉"]),
    "decimal": (decimal.Decimal, [decimal.Decimal("1.50"), decimal.Decimal("-1E+5"), decimal.Decimal("0.00")]),
    "decimal digits": (
        Annotated[decimal.Decimal, Field(max_digits=5, decimal_places=2)],
        [decimal.Decimal("123.45"), decimal.Decimal("-0.10")],
    ),
    "decimal max digits": (Annotated[decimal.Decimal, Field(max_digits=5)], [decimal.Decimal(12345)]),
    "decimal places": (Annotated[decimal.Decimal, Field(decimal_places=2)], [decimal.Decimal("0.01")]),
    "decimal bounds": (Annotated[decimal.Decimal, Field(gt=0, lt=decimal.Decimal("99.5"))], []),
    "decimal fine bound": (Annotated[decimal.Decimal, Field(ge=decimal.Decimal("0.12345678901234567891"))], []),
    "fraction": (fractions.Fraction, [fractions.Fraction(3, 4), fractions.Fraction(-5)]),
    "complex": (complex, [1 + 2j, -0.5j, 3 + 0j]),
    "byte size": (pydantic.ByteSize, [pydantic.ByteSize(5)]),
    # strings
    "lengths": (Annotated[str, Field(min_length=2, max_length=4, pattern="^a")], ["ab", "abcd"]),
    "stripped": (Annotated[str, pydantic.StringConstraints(strip_whitespace=True, min_length=2)], ["a b"]),
    "upper": (Annotated[str, pydantic.StringConstraints(to_upper=True, pattern="^[A-Z]+$")], ["ABC"]),
    "configured": (Configured, [Configured(text="ABC", number=1.5)]),
    "no digit": (Annotated[str, Field(pattern=r"^\D{3}$")], ["abc", "äöü"]),
    "no space": (Annotated[str, Field(pattern=r"^\S+$")], ["abc", "äöü"]),
    "no word": (Annotated[str, Field(pattern=r"^[^\w]\W$")], ["-+"]),
    "no letter": (Annotated[str, Field(pattern=r"^[^\p{L}]\P{Lu}$")], ["1a"]),
    "boundary": (Annotated[str, Field(pattern=r"\bfoo\b")], ["a foo"]),
    "any character": (Annotated[str, Field(pattern=r"^.[^a]$")], ["bc"]),
    "named group": (Annotated[str, Field(pattern=r"\A(?P<name>[a-c]+)\z")], ["abc"]),
    "python pattern": (PythonPattern, [PythonPattern(text="ab")]),
    "secret": (pydantic.SecretStr, []),
    "secret length": (Annotated[pydantic.SecretBytes, Field(max_length=2)], []),
    "pattern": (re.Pattern, [re.compile(r"a+(b|c)?"), re.compile(r"(?i)^[A-Za-z_][\w.-]*\b\d{2,5}(?:-(\d|x){3,}?)+$")]),
    "path": (pathlib.Path, [pathlib.Path("a/b"), pathlib.Path("/")]),
    "uuid": (uuid.UUID, [uuid.UUID(int=5)]),
    **{
        f"uuid{version}": (getattr(pydantic, f"UUID{version}"), [])
        for version in (1, 3, 4, 5, 6, 7, 8)
        if hasattr(pydantic, f"UUID{version}")
    },
    "bytes": (bytes, [b"", b"abc"]),
    "bytes length": (Annotated[bytes, Field(min_length=1, max_length=3)], [b"abc"]),
    "hex": (HexBytes, [HexBytes(data=b"00"), HexBytes(data=b"AB")]),
    "base64 config": (Base64Model, [Base64Model(data=b"\xfb\xff")]),
    "base64": (pydantic.Base64Bytes, [b"", b"a", b"ab", b"\xff\xfe\xfd"]),
    "base64 str": (pydantic.Base64Str, ["hello", "a", "ab"]),
    "base64 url": (pydantic.Base64UrlBytes, [b"\xfb\xff"]),
    "base64 url str": (pydantic.Base64UrlStr, ["hello?"]),
    # networks
    "any url": (pydantic.AnyUrl, [pydantic.AnyUrl("https://example.com/a?b=c#d")]),
    "http": (pydantic.HttpUrl, [pydantic.HttpUrl("http://u:p@localhost:8080/x%20y")]),
    "short url": (
        Annotated[pydantic.AnyUrl, pydantic.UrlConstraints(max_length=16, allowed_schemes=["http"])],
        [pydantic.AnyUrl("http://a.com/x")],
    ),
    "websocket": (pydantic.WebsocketUrl, [pydantic.WebsocketUrl("wss://127.0.0.1/")]),
    "file": (pydantic.FileUrl, [pydantic.FileUrl("file:///a/b")]),
    "ftp": (pydantic.FtpUrl, []),
    "redis": (pydantic.RedisDsn, [pydantic.RedisDsn("redis://localhost:6379/0")]),
    "postgres": (pydantic.PostgresDsn, [pydantic.PostgresDsn("postgresql+asyncpg://u:p@h.de:1,k.de:2/db")]),
    "mongo": (pydantic.MongoDsn, []),
    "ipv4": (ipaddress.IPv4Address, [ipaddress.IPv4Address("1.2.3.4")]),
    "ipv6": (ipaddress.IPv6Address, [ipaddress.IPv6Address("2001:db8::1")]),
    "ipv4 network": (ipaddress.IPv4Network, [ipaddress.IPv4Network(text) for text in ("10.0.0.0/9", "0.0.0.0/0")]),
    "ipv6 network": (ipaddress.IPv6Network, [ipaddress.IPv6Network("2001:db8::/32"), ipaddress.IPv6Network("::/0")]),
    "ipv4 interface": (ipaddress.IPv4Interface, [ipaddress.IPv4Interface("1.2.3.4/9")]),
    "ipv6 interface": (ipaddress.IPv6Interface, [ipaddress.IPv6Interface("::1/64")]),
    "any address": (pydantic.IPvAnyAddress, [ipaddress.IPv6Address("::1")]),
    "any network": (pydantic.IPvAnyNetwork, [ipaddress.IPv4Network("10.0.0.0/8")]),
    "any interface": (pydantic.IPvAnyInterface, [ipaddress.IPv4Interface("1.2.3.4/9")]),
    # moments
    "date": (dt.date, [dt.date(2024, 2, 29), dt.date.min, dt.date.max]),
    "date range": (
        Annotated[dt.date, Field(ge=dt.date(2020, 1, 31), lt=dt.date(2021, 3, 1))],
        [dt.date(2020, 1, 31), dt.date(2021, 2, 28)],
    ),
    "past date": (pydantic.PastDate, [dt.date(2020, 1, 1)]),
    "future date": (pydantic.FutureDate, [dt.date(9000, 1, 1)]),
    "datetime": (dt.datetime, [NEW_YEAR, NEW_YEAR.replace(tzinfo=UTC, microsecond=5)]),
    "aware": (pydantic.AwareDatetime, [NEW_YEAR.replace(tzinfo=dt.timezone(dt.timedelta(hours=5.5)))]),
    "naive": (pydantic.NaiveDatetime, [NEW_YEAR]),
    "past datetime": (pydantic.PastDatetime, [NEW_YEAR.replace(tzinfo=UTC)]),
    "future datetime": (pydantic.FutureDatetime, []),
    "datetime range": (
        Annotated[dt.datetime, Ge(NEW_YEAR.replace(microsecond=7)), Le(NEW_YEARS_EVE)],
        [NEW_YEAR.replace(second=1), NEW_YEARS_EVE],
    ),
    "aware range": (
        Annotated[dt.datetime, Gt(NEW_YEAR.replace(tzinfo=EAST)), Lt(dt.datetime.max.replace(tzinfo=UTC))],
        [NEW_YEAR.replace(tzinfo=UTC)],
    ),
    "time": (dt.time, [dt.time(1, 2, 3), dt.time(23, 59, 59, 999, tzinfo=UTC)]),
    "time range": (Annotated[dt.time, Field(gt=dt.time(9), le=dt.time(17, 30))], [dt.time(9, 0, 1), dt.time(17, 30)]),
    "timedelta": (dt.timedelta, [dt.timedelta(days=400, microseconds=7), -dt.timedelta(hours=3), dt.timedelta()]),
    "not negative": (Annotated[dt.timedelta, Field(ge=dt.timedelta())], [dt.timedelta(days=1, hours=2)]),
    "timedelta range": (
        Annotated[dt.timedelta, Field(gt=-dt.timedelta(seconds=2.5), le=dt.timedelta(hours=1))],
        [dt.timedelta(seconds=-2), dt.timedelta(seconds=59)],
    ),
    # choices
    "enum": (Color, list(Color)),
    "int enum": (Level, list(Level)),
    "flag": (Access, [Access.READ, Access.READ | Access.WRITE, Access(0)]),
    "odd enum": (Odd, [Odd.NOTHING, Odd.HALF]),
    "literal": (Literal["a", 1, True, Word.A, b"x", Color.RED], ["a", 1, True]),
    "optional": (int | None, [None, 3]),
    "union": (int | str | list[int], [1, "a", [2]]),
    "union of models": (Square | Rectangle, [Square(side=1), Rectangle(width=1, height=2)]),
    "tagged": (Annotated[Cat | Dog | Fish, Field(discriminator="kind")], [Cat(lives=1), FISH]),
    "nested tags": (
        Annotated[Annotated[Cat | Dog, Field(discriminator="kind")] | Fish, Field(discriminator="kind")],
        [Dog(kind="hound")],
    ),
    "tag by alias": (Annotated[ByAlias1 | ByAlias2, Field(discriminator="kind")], [ByAlias2(Kind="a", x=1)]),
    "callable tag": (
        Annotated[Annotated[Square, Tag("square")] | Annotated[Rectangle, Tag("rectangle")], Discriminator(shape_of)],
        [Square(side=1), Rectangle(width=1, height=2)],
    ),
    # collections
    "list": (Annotated[list[int], Field(min_length=1, max_length=2)], [[1], [1, 2]]),
    "set": (set[str], [set(), {"a", "b"}]),
    "set at most": (Annotated[set[int], Field(max_length=2)], [{1, 2}]),
    "set at least": (Annotated[set[Literal[1, 2, 3]], Field(min_length=2)], [{1, 2}, {1, 2, 3}]),
    "frozenset": (frozenset[bool], [frozenset({True})]),
    "tuple": (tuple[int, str], [(1, "a")]),
    "tuple of any length": (tuple[int, ...], [(), (1, 2)]),
    "empty tuple": (tuple[()], [()]),
    "named tuple": (Pair, [Pair(1), Pair(1, "b")]),
    "deque": (Annotated[collections.deque[int], Field(max_length=2)], [collections.deque([1, 2])]),
    "sequence": (Sequence[int], [[1]]),
    "iterable": (Iterable[int], []),
    "generator": (Generator[int, None, None], []),
    "dict": (dict[str, int | None], [{"a": 1, "": None}]),
    "dict length": (Annotated[dict[Literal["a", "b"], int], Field(min_length=1, max_length=1)], [{"a": 1}]),
    "ordered dict": (collections.OrderedDict[str, int], [collections.OrderedDict(b=1, a=2)]),
    "default dict": (collections.defaultdict[str, list[int]], [collections.defaultdict(list, a=[1])]),
    "counter": (collections.Counter[str], [collections.Counter("aab")]),
    "mapping": (Mapping[str, Any], [{"a": [1, {"b": None}]}]),
    # keys
    "int keys": (dict[int, int], [{1: 1, -20: 2}]),
    "bounded keys": (dict[Annotated[int, Field(ge=-3, lt=12)], int], [{-3: 1, 11: 2}]),
    "float keys": (dict[float, int], [{1.5: 1, 1e30: 2}]),
    "bool keys": (dict[bool, int], [{False: 0, True: 1}]),
    "date keys": (dict[dt.date, int], [{dt.date(2024, 2, 29): 1}]),
    "datetime keys": (dict[dt.datetime, int], [{NEW_YEAR: 1}]),
    "uuid keys": (dict[uuid.UUID, int], [{uuid.UUID(int=5): 1}]),
    "enum keys": (dict[Color, int], [{Color.RED: 1}]),
    "int enum keys": (dict[Level, int], [{Level.HIGH: 1}]),
    "literal keys": (dict[Literal["a", 1], int], [{"a": 1}]),
    "union keys": (dict[int | uuid.UUID, int], [{5: 1}]),
    "decimal keys": (dict[decimal.Decimal, int], [{decimal.Decimal("1.5"): 1}]),
    "pattern keys": (dict[Annotated[str, Field(pattern="^x")], int], [{"xa": 1}]),
    "none keys": (dict[None, int], [{}]),
    # objects
    "generic": (Box[int], [Box[int](value=1, more=[2])]),
    "generic, open": (Box, [Box(value="a")]),
    "recursive": (Node, [Node(value=1, children=[Node(value=2)])]),
    "aliases": (Aliases, []),
    "by name": (ByName, []),
    "either name": (EitherName, [EitherName(A=1)]),
    "computed": (Computed, []),
    "root": (Root, [Root([1, 2])]),
    "forbid": (Forbid, [Forbid(a=1)]),
    "allow": (Allow, [Allow(a=1, b=2)]),
    "strict": (Strict, []),
    "strict too": (StrictToo, []),
    "typed dict": (Movie, [{"title": "a"}, {"title": "a", "year": 1}]),
    "old typed dict": (OldMovie, [{"title": "a"}, {"title": "a", "year": 1}]),
    "dataclass": (Point, []),
    "recursive dataclass": (Chain, [Chain(1, Chain(2))]),
    "shop": (Shop, [Shop(animals=[Cat(), FISH], open_from=dt.time(9), prices={"a": decimal.Decimal("1.20")})]),
    # names for types
    "new type": (UserId, [UserId(3)]),
    "alias of a type": (Names, [["a"]]),
    "recursive alias": (Nested, [1, [2, [3]]]),
    "validated": (Annotated[int, pydantic.AfterValidator(abs)], [3]),
    "own schema": (Annotated[int, pydantic.WithJsonSchema({"type": "integer", "minimum": 3})], [3]),
    "any": (Any, [None, 1, "a", [{"b": 1.5}]]),
    "object": (object, [1]),
    "instance": (pydantic.InstanceOf[int], [1]),
}  # fmt: skip


class Walker:
    """Random texts of a schema, byte by byte."""

    def __init__(self) -> None:
        self.vocabulary = Vocabulary([*(bytes([byte]) for byte in range(256)), b""], stop_token_ids=[256])
        self.compiler = GrammarCompiler(self.vocabulary, cache_dir="", cache_size=0)
        self.spelling = SpellingTable(self.vocabulary)

    def texts(self, schema: Any, seed: str) -> list[str]:
        compiled = self.compiler.compile_json_schema(schema)
        search = CompletionSearch(self.spelling)
        found = (self._walk(Matcher(compiled), search, random.Random(f"{seed} {i}")) for i in range(WALKS))
        return [text for text in found if text is not None]

    def _walk(self, matcher: Matcher, search: CompletionSearch, rng: random.Random) -> str | None:
        text = bytearray()
        for _ in range(rng.randrange(STEPS)):
            if matcher.is_accepting() and rng.random() < 0.3:
                return text.decode()
            allowed = [token for token in matcher.allowed_token_ids().tolist() if token < 256]
            if not allowed:
                break
            structure = [byte for byte in allowed if byte in STRUCTURE]
            byte = rng.choice(structure if structure and rng.random() < 0.5 else allowed)
            assert matcher.accept_bytes(bytes([byte]))
            text.append(byte)
        if matcher.is_accepting():
            return text.decode()
        rest = search.quick(matcher)
        if rest is None:
            rest = search.thorough(matcher)
        return None if rest is None else (text + rest).decode()

    def accepts(self, schema: Any, text: str) -> bool:
        matcher = Matcher(self.compiler.compile_json_schema(schema))
        return matcher.accept_bytes(text.encode()) and matcher.is_accepting()


@pytest.fixture(scope="module")
def walker() -> Walker:
    return Walker()


@pytest.mark.parametrize("name", TYPES)
def test_what_is_generated_validates(walker: Walker, name: str) -> None:
    schema, validate = schema_of(TYPES[name][0])
    texts = walker.texts(schema, name)
    assert len(texts) >= WALKS // 2
    for text in texts:
        validate(text)


@pytest.mark.parametrize("name", TYPES)
def test_what_is_dumped_is_accepted(walker: Walker, name: str) -> None:
    source, values = TYPES[name]
    schema, validate = schema_of(source)
    adapter: TypeAdapter[Any] = TypeAdapter(dict[str, Any] if name == "old typed dict" else source)
    for value in values:
        text = adapter.dump_json(value, by_alias=True).decode()
        validate(text)
        assert walker.accepts(schema, text), text


NOT_READ: list[tuple[Any, list[str]]] = [
    (int, ["9" * 4301, "1.0e400", "1e30"]),
    (pydantic.StrictInt, ["1.0", "1e0"]),
    (pydantic.FiniteFloat, ["1e400", "9" * 400, "1" + "0" * 200 + "e99999"]),
    (float, ["9" * 4301]),
    (Annotated[float, Field(lt=1)], ["0." + "9" * 30]),
    (Annotated[float, Field(gt=0)], ["0." + "0" * 400 + "1", "1e-400", "0"]),
    (decimal.Decimal, ["1e400", '"nan"', '"0x1"']),
    (Annotated[decimal.Decimal, Field(max_digits=3, decimal_places=1)], ["100.0", "1.25", '"1.25"', '"100"']),
    (str, ['"\\ud800"', '"\\ud800\\u0041"']),
    (Annotated[str, Field(pattern=r"^\D$")], ['"٣"']),
    (Annotated[str, Field(pattern=r"^\S$")], ['"\x85"']),
    (Annotated[bytes, Field(max_length=3)], ['"日本"']),
    (HexBytes, ['{"data":"abc"}', '{"data":"x0"}', '{"data":"aabbcc"}']),
    (Base64Model, ['{"data":"YR=="}']),
    (pydantic.Base64Str, ['"/w=="']),
    (pydantic.AnyUrl, ['"http://xn--a"', '"http://a.b:65536/"', '"http://1.2.3.4.5"', '"http://a.1"', '"foo://a b"']),
    (pydantic.NaiveDatetime, ['"2024-01-01T00:00:00Z"']),
    (pydantic.AwareDatetime, ['"2024-01-01T00:00:00"']),
    (dt.datetime, ['"2016-12-31T23:59:60Z"', '"0000-01-01T00:00:00"', '"2023-02-29T00:00:00"']),
    (Annotated[dt.date, Field(gt=dt.date(2020, 2, 28))], ['"2020-02-28"', '"2019-12-31"']),
    (pydantic.PastDate, ['"2999-01-01"']),
    (dt.timedelta, ['"P1000000000D"', '"P"', '"PT"', '"PT99999999999S"', '"PT9999999H"']),
    (Annotated[dt.timedelta, Field(ge=dt.timedelta())], ['"-PT1S"']),
    (dict[int, int], ['{"a":1}', '{"1.5":1}']),
    (dict[Level, int], ['{"3":1}']),
    (dict[dt.date, int], ['{"0000-01-01":1}']),
    (Literal[b"x", 1], ['"x"']),
    (Odd, ["[1,2]"]),
    (Annotated[Cat | Dog, Field(discriminator="kind")], ['{"lives":3}', '{"kind":"cat","name":"a"}', "{}"]),
    (ByName, ['{"A":1}']),
    (re.Pattern, ['"("', '"a**"', '"^*"', '"(?<n>a)"', '"a{3,2}"', '"[b-a]"', '"*"']),
    (ipaddress.IPv4Network, ['"10.0.0.1/8"', '"10.0.0.0/33"']),
    (ipaddress.IPv6Network, ['"2001:db8::/31"', '"2001:db8::/129"']),
    (pydantic.ByteSize, ['"5x"', '"1e3"', "-1"]),
    (Configured, ['{"text":" ","number":1}', '{"text":"abcd","number":1}', '{"text":"a","number":1e400}']),
]


@pytest.mark.parametrize(("source", "texts"), NOT_READ, ids=[str(case[0])[:50] for case in NOT_READ])
def test_what_is_not_read_is_not_offered(walker: Walker, source: Any, texts: list[str]) -> None:
    schema, validate = schema_of(source)
    for text in texts:
        assert not walker.accepts(schema, text), text
    if source is not pydantic.AnyUrl:
        return
    with pytest.raises(pydantic.ValidationError):
        validate(texts[0])


def test_what_pydantic_reads_more_of_is_documented_not_offered(walker: Walker) -> None:
    for source, text in [(dt.timedelta, '"1:00:00"'), (dt.date, "0"), (pydantic.AnyUrl, '"http://bücher.de"')]:
        schema, validate = schema_of(source)
        validate(text)
        assert not walker.accepts(schema, text)


def of_pattern(pattern: str) -> Any:
    return Annotated[str, Field(pattern=pattern)]


REFUSED: list[tuple[Any, str]] = [
    (of_pattern("[[:alpha:]]"), "a class inside a class, in the pattern '[[:alpha:]]'"),
    (of_pattern("[a-z&&[^b]]"), "the class operator &&, in the pattern '[a-z&&[^b]]'"),
    (of_pattern(r"\b{start}a"), r"\b{ in the pattern '\\b{start}a'"),
    (pydantic.Json, "Json"),
    (list[pydantic.Json[int]], "Json"),
    (pydantic.FilePath, "format file-path"),
    (pydantic.NewPath, "NewPath"),
    (pydantic.ImportString, "ImportString"),
    (type[int], "type[int]"),
    (typing.Hashable, "an instance of a class"),
    (Literal[b"x"], "Literal[b'x']"),
    (Annotated[set[dt.datetime], Field(min_length=2)], "min_length of a set of datetime"),
    (Annotated[pydantic.Base64Bytes, Field(min_length=2)], "format base64 with a length"),
    (dict[Annotated[float, Field(gt=0)], int], "bounds of numbers in the keys of a dict"),
    (Annotated[dt.time, Field(gt=dt.time(9, tzinfo=UTC))], "time with bounds and a time zone"),
    (
        Annotated[dt.datetime, Ge(NEW_YEAR), Le(NEW_YEAR.replace(tzinfo=UTC))],
        "datetime with bounds in different time zones",
    ),
]


@pytest.mark.parametrize(("source", "construct"), REFUSED, ids=[case[1] for case in REFUSED])
def test_what_no_schema_can_say_is_refused_by_name(source: Any, construct: str) -> None:
    with pytest.raises(UnsupportedSchemaError) as raised:
        schema_of(source)
    assert raised.value.keyword == construct


def test_a_required_field_read_from_inside_another_value_is_refused() -> None:
    class Inside(BaseModel):
        a: int = Field(validation_alias=AliasPath("list", 0))

    with pytest.raises(UnsupportedSchemaError, match="AliasPath"):
        schema_of(Inside)


def test_sets_with_a_least_length_do_not_repeat(walker: Walker) -> None:
    """Open sets need ``uniqueItems`` over any values; until that is there, they are refused by that name."""
    schema, validate = schema_of(Annotated[set[int], Field(min_length=2)])
    validate("[1,2]")
    try:
        accepts = [walker.accepts(schema, text) for text in ("[1,2]", "[1,1]")]
    except UnsupportedSchemaError as error:
        accepts = [error.keyword != "uniqueItems"]
    assert accepts in ([True, False], [False])


def test_callables_have_no_schema() -> None:
    for source in (Callable[[int], int], collections.ChainMap[str, int]):
        with pytest.raises(InvalidSchemaError):
            schema_of(source)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement is new in Python 3.12")
def test_type_statements(walker: Walker) -> None:
    scope: dict[str, Any] = {}
    exec("type Tree[T] = T | list[Tree[T]]", scope)  # noqa: S102 - a syntax error before
    schema, validate = schema_of(scope["Tree"][int])
    for text in walker.texts(schema, "type statement"):
        validate(text)


def test_email_addresses(walker: Walker) -> None:
    if importlib.util.find_spec("email_validator") is None:
        with pytest.raises(InvalidSchemaError, match="email-validator"):
            schema_of(pydantic.EmailStr)
        return
    schema, validate = schema_of(pydantic.EmailStr)
    for text in walker.texts(schema, "email"):
        validate(text)


def test_validators_are_beyond_a_schema(walker: Walker) -> None:
    def even(value: int) -> int:
        if value % 2:
            raise ValueError("odd")
        return value

    schema, validate = schema_of(Annotated[int, pydantic.AfterValidator(even)])
    assert walker.accepts(schema, "3")
    with pytest.raises(pydantic.ValidationError, match="odd"):
        validate("3")


def test_schemas_are_json(walker: Walker) -> None:
    for source, _ in TYPES.values():
        json.dumps(schema_of(source).schema, allow_nan=False)
