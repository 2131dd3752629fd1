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

import decimal
import enum
import math
import operator
from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import SchemaValidator, to_json

from grammar_engine import type_moments as moments
from grammar_engine import type_patterns as patterns
from grammar_engine.ecma_patterns import ecma_pattern
from grammar_engine.type_names import name_schema
from grammar_engine.type_parts import earlier, later, refused, with_all

if TYPE_CHECKING:
    from pydantic_core import core_schema

_MAX_FLAGS = 1 << 12
_LOOKUPS = {"import_string": "ImportString", "validate_new": "NewPath", "validate_socket": "SocketPath"}
"""Validators of pydantic that ask the system."""
_CANONICAL = frozenset(("str", "int", "bool", "none", "literal", "enum", "date"))
"""Types of which different JSON values are different values."""


class Generator(GenerateJsonSchema):
    """Pydantic's generator, narrowed as the module says."""

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        """A schema within the schema; types that only a lookup can validate are refused."""
        function = schema.get("function", {}).get("function") if schema["type"].startswith("function-") else None
        name = getattr(function, "__name__", "")
        if name in _LOOKUPS and getattr(function, "__module__", "").startswith("pydantic."):
            raise refused(_LOOKUPS[name], "What it asks for is known only outside the text; use str or Literal.")
        return super().generate_inner(schema)

    # -- numbers ------------------------------------------------------------------------------------------------------

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        """An excluded bound becomes the next number that is allowed: 0.99999999999999999 is read as 1."""
        described = super().float_schema(schema)
        _include_bounds(described)
        finite = schema.get("allow_inf_nan", self._setting("allow_inf_nan", default=True)) is False
        return {**described, "format": "python-finite"} if finite else described

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
        return with_all(described, asked)

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        """Lengths are of the bytes that the text stands for."""
        encoding = self._setting("val_json_bytes", default="utf8")
        least, most = schema.get("min_length"), schema.get("max_length")
        described: JsonSchemaValue = {"type": "string"}
        if encoding == "base64":
            if least or most is not None:
                raise refused("a length of base64 bytes", "Bound it in a validator, or leave it out.")
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
            return with_all(described, [{"pattern": patterns.ASCII_BASE64URL if url else patterns.ASCII_BASE64}])
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
        """ISO 8601, within the bounds."""
        return moments.date_schema(schema)

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        """RFC 3339, or the same without an offset."""
        return moments.datetime_schema(schema)

    def time_schema(self, schema: core_schema.TimeSchema) -> JsonSchemaValue:
        """RFC 3339, or the same without an offset."""
        return moments.time_schema(schema)

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:
        """ISO 8601."""
        return moments.timedelta_schema(schema)

    # -- choices ------------------------------------------------------------------------------------------------------

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        """Flags may be combined; members that cannot be read from JSON (tuples) are not offered."""
        described = super().enum_schema(schema)
        if issubclass(schema["cls"], enum.Flag):
            every = reduce(operator.or_, [member.value for member in schema["members"]], 0)
            if every >= _MAX_FLAGS:
                raise refused(f"the flags of {schema['cls'].__name__}", "Use a list of them; there are too many sums.")
            described["enum"] = _readable(schema, [value for value in range(every + 1) if value & ~every == 0])
        else:
            described["enum"] = _readable(schema, described["enum"])
        return described

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        """What cannot be read from JSON (bytes, members of some enums) is not offered."""
        read = _readable(
            schema, [member.value if isinstance(member, enum.Enum) else member for member in schema["expected"]]
        )
        if not read:
            raise refused(f"Literal[{schema['expected'][0]!r}]", "It cannot be read from JSON; use its text or number.")
        return super().literal_schema({**schema, "expected": read})

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
            raise refused(
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
            names = name_schema(
                self.resolve_ref_schema, self.generate_inner(schema["keys_schema"]), schema["keys_schema"]["type"]
            )
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
                    raise refused(f"AliasPath {paths[0]}", "Give the field an alias that is one name.")
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

    def json_schema(self, schema: core_schema.JsonSchema) -> JsonSchemaValue:  # noqa: ARG002 - an override
        """JSON within a string is not a schema's business."""
        raise refused("Json", "Nest the type instead of Json[...].")

    def is_subclass_schema(self, schema: core_schema.IsSubclassSchema) -> JsonSchemaValue:
        """Classes cannot be read from JSON."""
        raise refused(f"type[{schema['cls'].__name__}]", "A class cannot be read from JSON; use Literal of names.")

    def chain_schema(self, schema: core_schema.ChainSchema) -> JsonSchemaValue:
        """``Hashable``: which values are is not known before they are read."""
        if any(step["type"] == "is-instance" for step in schema["steps"]):
            raise refused("an instance of a class", "It cannot be read from JSON; name the types it may have.")
        return super().chain_schema(schema)

    def _setting(self, name: str, *, default: Any) -> Any:
        """What the configuration of the model or dataclass at hand says."""
        value = self._config.config_dict.get(name)
        return default if value is None else value


# -- parts ------------------------------------------------------------------------------------------------------------


def _close(schema: JsonSchemaValue) -> JsonSchemaValue:
    if schema.get("type") == "object" and "properties" in schema:
        schema.setdefault("additionalProperties", False)
    return schema


def _readable(schema: Any, values: list[Any]) -> list[Any]:
    """Those of the values that a validator reads as what they are, from their JSON."""
    validator = SchemaValidator(schema)

    def is_read(value: object) -> bool:
        try:
            validator.validate_json(to_json(value))
        except ValidationError:
            return False
        return not isinstance(value, bytes)

    return [value for value in values if is_read(value)]


def _include_bounds(number: JsonSchemaValue) -> None:
    """Replace excluded bounds of binary numbers by the next number."""
    if (bound := number.pop("exclusiveMinimum", None)) is not None:
        number["minimum"] = later(number.get("minimum"), math.nextafter(bound, math.inf))
    if (bound := number.pop("exclusiveMaximum", None)) is not None:
        number["maximum"] = earlier(number.get("maximum"), math.nextafter(bound, -math.inf))


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
