"""The JSON Schema of a Python type, as narrow as the type: what pydantic's own schema leaves to the validator.

``Generator`` is pydantic's generator of schemas with these differences, so that what a grammar offers is what
validation takes:

- constraints that pydantic only checks (bounds of dates and durations, digits of decimals, time zones, lengths in
  bytes, configured lengths of strings) become keywords and patterns
- formats that only pydantic knows become patterns (``type_patterns``), or are refused by name
- what pydantic never reads from JSON (a tuple in an enum, bytes in a ``Literal``) is not offered; what it reads and
  its schema leaves out (combined flags, naive times, decimals and fractions as texts) is
- keys of mappings are described by how pydantic reads them from names
- a tagged union is a choice in which every branch has its tag
- properties that the type would drop (``extra="ignore"``, other aliases) are not offered: they say nothing

Where no schema can say what the type asks for, UnsupportedSchemaError names it. Validators are functions, so what
they refuse is beyond any schema.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import math
import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from grammar_engine import type_patterns as patterns
from grammar_engine.compiler.errors import UnsupportedSchemaError
from grammar_engine.ecma_patterns import ecma_pattern

if TYPE_CHECKING:
    from pydantic_core import core_schema

_MAX_FLAGS = 1 << 12
_SECOND, _DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)
_CANONICAL = frozenset(("str", "int", "bool", "none", "literal", "enum", "date"))
"""Types of which different JSON values are different values."""


def _refused(construct: str, advice: str) -> UnsupportedSchemaError:
    return UnsupportedSchemaError(construct, pointer="", advice=advice)


class Generator(GenerateJsonSchema):
    """Pydantic's generator, narrowed as the module says."""

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        """A schema within the schema; types that only a lookup can validate are refused."""
        function = schema.get("function", {}).get("function") if schema["type"] == "function-plain" else None
        if getattr(function, "__name__", "") == "import_string":
            raise _refused("ImportString", "Whether a name can be imported is known only later; use str or Literal.")
        return super().generate_inner(schema)

    # -- numbers ------------------------------------------------------------------------------------------------------

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        """At most as many digits as Python reads."""
        return {**super().int_schema(schema), "format": "python-number"}

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        """An excluded bound becomes the next number that is allowed: 0.99999999999999999 is read as 1."""
        described = super().float_schema(schema)
        _include_bounds(described)
        finite = schema.get("allow_inf_nan", self._setting("allow_inf_nan", default=True)) is False
        return {**described, "format": "python-finite" if finite else "python-number"}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """A number, or its digits as a text (as ``dump_json`` writes it) where the digits are all that is asked for."""
        described = super().decimal_schema(schema)
        number: JsonSchemaValue = next((s for s in described.get("anyOf", ()) if s["type"] == "number"), described)
        number["format"] = "python-finite"
        for keyword, bound in (("minimum", schema.get("ge")), ("maximum", schema.get("le"))):
            if bound is not None and decimal.Decimal(repr(number[keyword])) != bound:
                _shift(number, keyword, bound)
        digits, places = schema.get("max_digits"), schema.get("decimal_places")
        _count_digits(number, digits, places)
        if any(schema.get(bound) is not None for bound in ("ge", "gt", "le", "lt", "multiple_of")):
            return number
        return {"anyOf": [number, {"type": "string", "pattern": patterns.decimal(digits, places)}]}

    def fraction_schema(self, schema: Any) -> JsonSchemaValue:
        """A number, or a text such as 3/4 where no bound is asked for."""
        described = super().fraction_schema(schema)
        number = next(s for s in described["anyOf"] if s["type"] == "number")
        number["format"] = "python-finite"
        bounded = any(schema.get(bound) is not None for bound in ("ge", "gt", "le", "lt"))
        return number if bounded else described

    def complex_schema(self, schema: core_schema.ComplexSchema) -> JsonSchemaValue:
        """Texts that Python's ``complex`` reads."""
        return {**super().complex_schema(schema), "pattern": patterns.COMPLEX}

    # -- texts --------------------------------------------------------------------------------------------------------

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        """Lengths and patterns hold of the text without the whitespace that is stripped, so there is none."""
        described = super().str_schema(schema)
        asked: list[JsonSchemaValue] = []
        pattern = described.pop("pattern", None)
        if pattern is not None:
            engine = schema.get("regex_engine") or self._setting("regex_engine", default="rust-regex")
            asked += [{"pattern": part} for part in ecma_pattern(pattern, python=engine == "python-re")]
        strips = schema.get("strip_whitespace", self._setting("str_strip_whitespace", default=False))
        if strips and (pattern is not None or described.get("minLength")):
            asked.append({"pattern": r"^(?:[^\s\x85]|[^\s\x85][^]*[^\s\x85])?$"})
        if schema.get("ascii_only"):
            asked.append({"pattern": patterns.ASCII})
        return _with_all(described, asked)

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        """Lengths are of the bytes that the text stands for."""
        encoding = self._setting("val_json_bytes", default="utf8")
        least, most = schema.get("min_length"), schema.get("max_length")
        described: JsonSchemaValue = {"type": "string"}
        if encoding == "base64":
            if least or most is not None:
                raise _refused("a length of base64 bytes", "Bound it in a validator, or leave it out.")
            return {**described, "pattern": patterns.BASE64URL}
        factor = 2 if encoding == "hex" else 1
        if least:
            described["minLength"] = factor * least
        if most is not None:
            described["maxLength"] = factor * most
        if encoding == "hex":
            described["pattern"] = patterns.HEX
        elif most is not None:
            described["pattern"] = patterns.ASCII  # in which a character is one byte
        return described

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> JsonSchemaValue:
        """Texts under base 64 are UTF-8; byte sizes have a unit that is known."""
        from pydantic import ByteSize, types

        described = super().function_after_schema(schema)
        owner = getattr(schema["function"]["function"], "__self__", None)
        if isinstance(owner, types.EncodedStr):
            url = getattr(owner.encoder, "__name__", "") == "Base64UrlEncoder"
            return _with_all(described, [{"pattern": patterns.ASCII_BASE64URL if url else patterns.ASCII_BASE64}])
        if owner is ByteSize:
            return {
                "anyOf": [self.int_schema({"type": "int", "ge": 0}), {"type": "string", "pattern": patterns.BYTE_SIZE}]
            }
        return described

    def url_schema(self, schema: core_schema.UrlSchema) -> JsonSchemaValue:
        """Hosts of ASCII, dotted IPv4 addresses."""
        return self._url(super().url_schema(schema), schema, hosts=False)

    def multi_host_url_schema(self, schema: core_schema.MultiHostUrlSchema) -> JsonSchemaValue:
        """The same, several hosts."""
        return self._url(super().multi_host_url_schema(schema), schema, hosts=True)

    def _url(self, described: JsonSchemaValue, schema: Mapping[str, Any], *, hosts: bool) -> JsonSchemaValue:
        described.pop("format", None)
        described.pop("minLength", None)
        longest = described.pop("maxLength", None)
        described["pattern"] = patterns.url(schema.get("allowed_schemes"), hosts=hosts)
        if longest is not None and longest < patterns.MAX_URL:
            described["maxLength"] = longest - 1  # an empty path is read as "/"
        return described

    # -- moments ------------------------------------------------------------------------------------------------------

    def date_schema(self, schema: core_schema.DateSchema) -> JsonSchemaValue:
        """ISO 8601, within the bounds; "past" and "future" at two days' distance from today."""
        low, high = schema.get("ge"), schema.get("le")
        try:
            if (bound := schema.get("gt")) is not None:
                low = _later(low, bound + _DAY)
            if (bound := schema.get("lt")) is not None:
                high = _earlier(high, bound - _DAY)
        except OverflowError:
            return {"not": {}}
        today = dt.datetime.now(dt.timezone.utc).date()
        if schema.get("now_op") == "past":
            high = _earlier(high, today - 2 * _DAY)
        if schema.get("now_op") == "future":
            low = _later(low, today + 2 * _DAY)
        asked = [f"^{patterns.not_below(low.isoformat())}$"] if low is not None else []
        asked += [f"^{patterns.not_above(high.isoformat())}$"] if high is not None else []
        return _with_all({"type": "string", "format": "python-date"}, [{"pattern": text} for text in asked])

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        """RFC 3339, or the same without an offset. Where there are bounds, only in UTC or naive, as they are."""
        zone = schema.get("tz_constraint")
        bounds = [schema.get(bound) for bound in ("ge", "gt", "le", "lt")]
        aware = {bound.tzinfo is not None for bound in bounds if bound is not None}
        if schema.get("now_op"):
            aware.add(zone != "naive")
        if (
            len(aware) == 2
            or (aware and zone in ("aware", "naive") and aware != {zone == "aware"})
            or isinstance(zone, int)
        ):
            raise _refused("datetime with bounds in different time zones", "Give all bounds in UTC, or all without.")
        offset_free: JsonSchemaValue = {"type": "string", "pattern": patterns.NAIVE_DATE_TIME}
        if not aware:
            with_offset: JsonSchemaValue = {"type": "string", "format": "python-date-time"}
            both: JsonSchemaValue = {"anyOf": [with_offset, offset_free]}
            return {"aware": with_offset, "naive": offset_free}.get(str(zone), both)
        utc = aware == {True}
        now = dt.datetime.now(dt.timezone.utc) if utc else dt.datetime.now()  # noqa: DTZ005 - naive, as the bounds are
        if schema.get("now_op") == "past":
            bounds[2] = _earlier(bounds[2], now - _DAY)
        if schema.get("now_op") == "future":
            bounds[0] = _later(bounds[0], now + _DAY)
        if utc:
            bounds = [bound if bound is None else bound.astimezone(dt.timezone.utc) for bound in bounds]
            offset_free["pattern"] = patterns.UTC_DATE_TIME
        asked = _moments(bounds, suffix="Z" if utc else "")
        return {"not": {}} if asked is None else _with_all(offset_free, [{"pattern": text} for text in asked])

    def time_schema(self, schema: core_schema.TimeSchema) -> JsonSchemaValue:
        """RFC 3339, or the same without an offset; where there are bounds, without."""
        bounds = [schema.get(bound) for bound in ("ge", "gt", "le", "lt")]
        zone = schema.get("tz_constraint")
        offset_free: JsonSchemaValue = {"type": "string", "pattern": patterns.NAIVE_TIME}
        if bounds == [None] * 4:
            with_offset: JsonSchemaValue = {"type": "string", "format": "python-time"}
            both: JsonSchemaValue = {"anyOf": [with_offset, offset_free]}
            return {"aware": with_offset, "naive": offset_free}.get(str(zone), both)
        if zone == "aware" or isinstance(zone, int) or any(b is not None and b.tzinfo is not None for b in bounds):
            raise _refused("time with bounds and a time zone", "Give the bounds without a time zone.")
        day = dt.date(2000, 1, 1)
        asked = _moments([b if b is None else dt.datetime.combine(day, b) for b in bounds], suffix="", day=day)
        return {"not": {}} if asked is None else _with_all(offset_free, [{"pattern": text} for text in asked])

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:
        """ISO 8601; where there are bounds (but for "not negative"), in seconds only."""
        if self._setting("val_json_timedelta", default="iso8601") == "milliseconds_float":
            raise _refused("timedelta in milliseconds", "Use ISO 8601.")
        bounds = {bound: schema.get(bound) for bound in ("ge", "gt", "le", "lt") if schema.get(bound) is not None}
        if not bounds:
            return {"type": "string", "pattern": patterns.DURATION}
        if bounds == {"ge": dt.timedelta(0)}:
            return {"type": "string", "pattern": patterns.POSITIVE_DURATION}
        lows = [-(-bounds["ge"] // _SECOND)] if "ge" in bounds else []
        lows += [bounds["gt"] // _SECOND + 1] if "gt" in bounds else []
        highs = [bounds["le"] // _SECOND] if "le" in bounds else []
        highs += [-(-bounds["lt"] // _SECOND) - 1] if "lt" in bounds else []
        pattern = patterns.seconds(max(lows, default=None), min(highs, default=None))
        return {"not": {}} if pattern is None else {"type": "string", "pattern": pattern}

    # -- choices ------------------------------------------------------------------------------------------------------

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        """Flags may be combined; members that are no scalars cannot be read from JSON."""
        described = super().enum_schema(schema)
        if issubclass(schema["cls"], enum.Flag):
            members = [member.value for member in schema["members"]]
            every = reduce(operator.or_, members, 0)
            if every >= _MAX_FLAGS:
                raise _refused(f"the flags of {schema['cls'].__name__}", "Use a list of them; there are too many sums.")
            described["enum"] = [value for value in range(every + 1) if value & ~every == 0]
        else:
            described["enum"] = [value for value in described["enum"] if not isinstance(value, list | dict)]
        return described

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        """Bytes in a Literal cannot be read from JSON."""
        expected = [value for value in schema["expected"] if not isinstance(value, bytes)]
        return super().literal_schema({**schema, "expected": expected}) if expected else {"not": {}}

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """Every branch has its tag: the standard's oneOf would let it be absent where it has a default."""
        described = super().tagged_union_schema(schema)
        discriminator = described.pop("discriminator", None)
        if discriminator is None:
            described["anyOf"] = described.pop("oneOf")
            return described
        name, branches = discriminator["propertyName"], []
        for key, choice in schema["choices"].items():
            tag = key.value if isinstance(key, enum.Enum) else key
            branches.append(
                {"allOf": [self.generate_inner(choice), {"properties": {name: {"const": tag}}, "required": [name]}]}
            )
        return {"anyOf": branches}

    # -- collections --------------------------------------------------------------------------------------------------

    def set_schema(self, schema: core_schema.SetSchema) -> JsonSchemaValue:
        """An item may stand twice, unless that would leave too few."""
        return self._set(super().set_schema(schema), schema)

    def frozenset_schema(self, schema: core_schema.FrozenSetSchema) -> JsonSchemaValue:
        """As a set."""
        return self._set(super().frozenset_schema(schema), schema)

    def _set(self, described: JsonSchemaValue, schema: Mapping[str, Any]) -> JsonSchemaValue:
        if described.get("minItems", 0) <= 1:
            described.pop("uniqueItems", None)
            return described
        items = schema.get("items_schema", {"type": "any"})
        shown = described.get("items", {})
        plain = not any(items.get(change) for change in ("strip_whitespace", "to_lower", "to_upper"))
        if "$ref" in shown:
            plain = set(self.resolve_ref_schema(shown)) <= {"enum", "type", "title", "description"}
        elif items["type"] not in _CANONICAL:
            plain = False
        if not plain:
            raise _refused(
                f"min_length of a set of {items['type']}", "Different texts may be equal items there; use a list."
            )
        return described

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Names are what pydantic reads as keys."""
        return self._mapping(schema)

    def ordered_dict_schema(self, schema: Any) -> JsonSchemaValue:
        """As a dict."""
        return self._mapping(schema)

    def frozendict_schema(self, schema: Any) -> JsonSchemaValue:
        """As a dict."""
        return self._mapping(schema)

    def counter_schema(self, schema: Any) -> JsonSchemaValue:
        """As a dict."""
        return self._mapping(schema)

    def _mapping(self, schema: Any) -> JsonSchemaValue:
        described: JsonSchemaValue = {"type": "object"}
        if "values_schema" in schema:
            described["additionalProperties"] = self.generate_inner(schema["values_schema"])
        elif schema["type"] == "counter":
            described["additionalProperties"] = self.int_schema({"type": "int"})
        if "keys_schema" in schema:
            names = _as_name(self, self.generate_inner(schema["keys_schema"]), schema["keys_schema"]["type"])
            if names is not True:
                described["propertyNames"] = names
        self.update_with_validations(described, schema, self.ValidationsMapping.object)
        return described

    # -- objects ------------------------------------------------------------------------------------------------------

    def field_is_present(self, field: Any) -> bool:
        """Fields that are read from inside other values are not offered."""
        alias = field.get("validation_alias")
        if field.get("init") is False:
            return False
        if isinstance(alias, list):
            paths = alias if alias and isinstance(alias[0], list) else [alias]
            if not any(len(path) == 1 and isinstance(path[0], str) for path in paths):
                if field.get("required", True) and field["schema"]["type"] != "default":
                    raise _refused(f"AliasPath {paths[0]}", "Give the field an alias that is one name.")
                return False
        return super().field_is_present(field)

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Only what the model reads."""
        return _close(super().model_schema(schema))

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        """Only what the dataclass reads."""
        return _close(super().dataclass_schema(schema))

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        """Only what the dictionary reads."""
        return _close(super().typed_dict_schema(schema))

    # -- what cannot be read from JSON --------------------------------------------------------------------------------

    def json_schema(self, schema: core_schema.JsonSchema) -> JsonSchemaValue:  # noqa: ARG002 - pydantic passes it by name
        """JSON within a string is not a schema's business."""
        raise _refused("Json", "Nest the type instead of Json[...].")

    def is_subclass_schema(self, schema: core_schema.IsSubclassSchema) -> JsonSchemaValue:
        """Classes cannot be read from JSON."""
        raise _refused(f"type[{schema['cls'].__name__}]", "A class cannot be read from JSON; use Literal of names.")

    def chain_schema(self, schema: core_schema.ChainSchema) -> JsonSchemaValue:
        """``Hashable``: which values are is not known before they are read."""
        if any(step["type"] == "is-instance" for step in schema["steps"]):
            raise _refused("an instance of a class", "It cannot be read from JSON; name the types it may have.")
        return super().chain_schema(schema)

    def _setting(self, name: str, *, default: Any) -> Any:
        """What the configuration of the model or dataclass at hand says."""
        value = self._config.config_dict.get(name)
        return default if value is None else value


# -- keys of mappings -------------------------------------------------------------------------------------------------


def _as_name(generator: Generator, described: JsonSchemaValue, kind: str) -> JsonSchemaValue | bool:
    """The names that are read as the values of a schema; ``kind`` is the core schema's type."""
    shown = generator.resolve_ref_schema(described)
    if "anyOf" in shown:
        branches = [_as_name(generator, branch, "") for branch in shown["anyOf"]]
        return True if True in branches else {"anyOf": branches}
    if "enum" in shown or "const" in shown:
        values = shown.get("enum", [shown.get("const")])
        read = kind != "literal" and shown.get("type") == "integer"  # those of an IntEnum; a Literal stays a text
        return {"enum": [str(value) if read else value for value in values if read or isinstance(value, str)]}
    build = _NAMES.get(shown.get("type", "any") if shown else "any")
    return False if build is None else build(shown)


def _integer_name(shown: JsonSchemaValue) -> JsonSchemaValue:
    low, high = shown.get("minimum"), shown.get("maximum")
    if "exclusiveMinimum" in shown:
        low = _later(low, shown["exclusiveMinimum"] + 1)
    if "exclusiveMaximum" in shown:
        high = _earlier(high, shown["exclusiveMaximum"] - 1)
    if "multipleOf" in shown:
        raise _refused("multiple_of in the keys of a dict", "Use a list of pairs.")
    whole = patterns.whole_numbers(low, high)
    return {"not": {}} if whole is None else {"pattern": f"^{whole}$"}


def _number_name(shown: JsonSchemaValue) -> JsonSchemaValue:
    if any(bound in shown for bound in ("minimum", "maximum", "multipleOf", "allOf")):
        raise _refused("bounds of numbers in the keys of a dict", "Use a list of pairs.")
    return {"pattern": patterns.FLOAT}


_NAMES: Mapping[str, Callable[[JsonSchemaValue], JsonSchemaValue | bool]] = {
    "any": lambda _: True,
    "string": lambda shown: {key: value for key, value in shown.items() if key != "title"},
    "integer": _integer_name,
    "number": _number_name,
    "boolean": lambda _: {"enum": ["true", "false"]},
}

# -- parts ------------------------------------------------------------------------------------------------------------


def _close(schema: JsonSchemaValue) -> JsonSchemaValue:
    if schema.get("type") == "object" and "properties" in schema:
        schema.setdefault("additionalProperties", False)
    return schema


def _with_all(schema: JsonSchemaValue, asked: list[JsonSchemaValue]) -> JsonSchemaValue:
    """The schema and more patterns; the first as a sibling where that is free."""
    if asked and "pattern" not in schema:
        schema = {**schema, **asked[0]}
        asked = asked[1:]
    return {**schema, "allOf": asked} if asked else schema


def _later(left: Any, right: Any) -> Any:
    return right if left is None else max(left, right)


def _earlier(left: Any, right: Any) -> Any:
    return right if left is None else min(left, right)


def _include_bounds(number: JsonSchemaValue) -> None:
    """Replace excluded bounds of binary numbers by the next number."""
    if (bound := number.pop("exclusiveMinimum", None)) is not None:
        number["minimum"] = _later(number.get("minimum"), math.nextafter(bound, math.inf))
    if (bound := number.pop("exclusiveMaximum", None)) is not None:
        number["maximum"] = _earlier(number.get("maximum"), math.nextafter(bound, -math.inf))


def _shift(number: JsonSchemaValue, keyword: str, bound: decimal.Decimal) -> None:
    """A decimal's bound, rounded to a binary number, may lie outside."""
    shown = decimal.Decimal(repr(number[keyword]))
    if keyword == "minimum" and shown < bound:
        number[keyword] = math.nextafter(number[keyword], math.inf)
    if keyword == "maximum" and shown > bound:
        number[keyword] = math.nextafter(number[keyword], -math.inf)


def _count_digits(number: JsonSchemaValue, digits: int | None, places: int | None) -> None:
    """Digits of a decimal that is written as a number are bounded by a multiple and by two more bounds."""
    if digits is None and places is None:
        return
    if places is None:
        places = digits // 2 if digits else 0
    asked: list[JsonSchemaValue] = [{"multipleOf": 10**-places if places else 1}]
    if digits is not None:
        limit = 10 ** (digits - places)
        asked.append({"exclusiveMinimum": -limit, "exclusiveMaximum": limit})
    number["allOf"] = asked


def _moments(bounds: list[Any], *, suffix: str, day: dt.date | None = None) -> list[str] | None:
    """Patterns of the moments within bounds (ge, gt, le, lt); of those on one day, as times. None: there are none."""
    at_least, above, at_most, below = bounds
    low = high = last = None
    try:
        if at_least is not None:
            low = at_least.replace(microsecond=0) + (_SECOND if at_least.microsecond else 0 * _SECOND)
        if above is not None:
            low = _later(low, above.replace(microsecond=0) + _SECOND)
        for bound, included in ((at_most, True), (below, False)):
            if bound is None:
                continue
            whole = bound.replace(microsecond=0)
            exact = whole if included or bound.microsecond else None
            if high is None or whole - _SECOND < high:
                high, last = whole - _SECOND, exact
    except OverflowError:
        return None
    if day is not None and ((low is not None and low.date() > day) or (high is not None and high.date() < day)):
        return None

    def text(moment: dt.datetime | None) -> str | None:
        if moment is None:
            return None
        return moment.replace(tzinfo=None).isoformat() if day is None else moment.time().isoformat()

    return patterns.moments(text(low), text(high), text(last), suffix=suffix)
