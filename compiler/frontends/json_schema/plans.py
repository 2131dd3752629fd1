"""What a conjunct asks of objects and of arrays, laid out by property name and by index.

A plan says for every name (or index) which formula its value must satisfy, without looking inside the formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.negation import negated
from grammar_engine.compiler.frontends.json_schema.references import Schema

if TYPE_CHECKING:
    from grammar_engine.compiler.frontends.json_schema.conjunction import Formula, Formulas
    from grammar_engine.compiler.frontends.json_schema.conjuncts import Conjunct

Matches = Callable[[str, str], bool]
"""(pattern, name): does the pattern match the name?"""

_NOTHING: Mapping[str, Schema] = {}


class Layer:
    """``properties``, ``patternProperties`` and ``additionalProperties`` of one schema."""

    __slots__ = ("patterns", "properties", "rest")

    def __init__(self, schema: Mapping[Any, Any], with_patterns: bool) -> None:
        self.properties: Mapping[str, Schema] = schema.get("properties", _NOTHING)
        self.patterns: Mapping[str, Schema] = schema.get("patternProperties", _NOTHING) if with_patterns else _NOTHING
        self.rest: Schema = schema.get("additionalProperties", True)

    def schemas(self, name: str, matches: Matches) -> list[Schema]:
        """What the layer asks of the value under a name."""
        found = [self.properties[name]] if name in self.properties else []
        found += [schema for pattern, schema in self.patterns.items() if matches(pattern, name)]
        return found or [self.rest]


class ObjectPlan:
    """Objects of one conjunct.

    names: the names that any part of the conjunct mentions, in the order of ``properties``, then those that only
    ``required`` mentions. members: formula of each name's value; None: the name may not stand. required: as flags.
    layers, name_formula: what decides on all other names (``extras.py``); name_formula None: no name is allowed.
    obligations: (selector, formula): some property whose name is selected has a value that satisfies the formula.
    minimum, maximum: number of properties.
    """

    __slots__ = (
        "index",
        "last_required",
        "layers",
        "maximum",
        "members",
        "minimum",
        "name_formula",
        "names",
        "obligations",
        "required",
        "simple",
    )

    def __init__(
        self,
        conjunct: Conjunct,
        formulas: Formulas,
        matches: Matches,
        name_holds: Callable[[Formula | None, str], bool],
    ) -> None:
        self.layers = [Layer(schema, True) for schema in conjunct.object_layers]
        self.name_formula: Formula | None = formulas.of(conjunct.names)
        self.minimum, self.maximum = conjunct.min_properties, conjunct.max_properties
        self.obligations: list[tuple[tuple[str, Any], Formula | None]] = []
        names: dict[str, None] = {}
        for layer in self.layers:
            names.update(dict.fromkeys(layer.properties))
        names.update(dict.fromkeys(conjunct.required))
        for (kind, detail), schema in conjunct.some_properties:
            if kind == "outside":
                names.update(dict.fromkeys(detail[0]))
            elif kind == "named":
                detail = formulas.of((detail,))
            self.obligations.append(((kind, detail), formulas.of((schema,))))
        self.names = list(names)
        self.simple = not (conjunct.some_properties or self.minimum or self.maximum is not None)
        if len(self.layers) == 1 and not self.layers[0].patterns and not conjunct.names:
            only = self.layers[0]
            properties, rest = only.properties, only.rest
            self.members = [formulas.of((properties.get(name, rest),)) for name in self.names]
        else:
            self.members = [
                formulas.of([schema for layer in self.layers for schema in layer.schemas(name, matches)])
                if not conjunct.names or name_holds(self.name_formula, name)
                else None
                for name in self.names
            ]
        self.index = {name: index for index, name in enumerate(self.names)}
        self.required = [False] * len(self.names)
        self.last_required = -1
        for name in conjunct.required:
            index = self.index[name]
            self.required[index] = True
            self.last_required = max(self.last_required, index)

    def declare(self, name: str, formula: Formula | None) -> None:
        """Treat one more name as mentioned (an undeclared one of which there are only a few)."""
        self.index[name] = len(self.names)
        self.names.append(name)
        self.members.append(formula)
        self.required.append(False)


class ArrayPlan:
    """Arrays of one conjunct.

    prefix: formula per leading index; rest: formula of every item behind them; None: no item may stand there.
    minimum, maximum: number of items (maximum None: no bound; it already counts what None above cuts off).
    obligations: (first index, formula, negated formula, least, most): so many of the items from there on satisfy the
    formula; unique: no two items are equal, which the rules see to; guarded: which is guarded in the text.
    """

    __slots__ = ("guarded", "maximum", "minimum", "obligations", "prefix", "rest", "simple", "unique")

    def __init__(self, conjunct: Conjunct, formulas: Formulas, dialect: Dialect) -> None:
        layers = [_array_layer(layer, dialect) for layer in conjunct.array_layers]
        length = max((len(prefix) for prefix, _ in layers), default=0)
        self.prefix = [
            formulas.of([prefix[index] if index < len(prefix) else rest for prefix, rest in layers])
            for index in range(length)
        ]
        self.rest = formulas.of([rest for _, rest in layers])
        self.minimum = conjunct.min_items
        self.maximum = conjunct.max_items
        self.unique = conjunct.unique and (self.maximum is None or self.maximum > 1)
        self.guarded = False
        self.obligations = [
            (start, formulas.of((schema,)), None if most is None else formulas.of((negated(schema),)), least, most)
            for start, schema, least, most in conjunct.some_items
        ]
        self.simple = not self.obligations and not self.unique
        if None in self.prefix:
            self.cut(self.prefix.index(None))
        elif self.rest is None:
            self.cut(length)

    def guard(self) -> None:
        """Leave it to the guard that items differ."""
        self.unique, self.guarded = False, True
        self.simple = not self.obligations

    def cut(self, index: int) -> None:
        """No item stands at ``index`` or behind it."""
        self.maximum = index if self.maximum is None else min(self.maximum, index)

    def formulas(self) -> set[Formula]:
        """The formulas of all items."""
        return {formula for formula in (*self.prefix, self.rest) if formula is not None}

    def item(self, index: int) -> Formula | None:
        """The formula of the item at ``index``."""
        return self.prefix[index] if index < len(self.prefix) else self.rest


def _array_layer(layer: Any, dialect: Dialect) -> tuple[Sequence[Schema], Schema]:
    if isinstance(layer, tuple):
        return layer
    items = layer.get("items", True)
    if dialect.items_array:
        if isinstance(items, list):
            return items, layer.get("additionalItems", True)
        return (), items
    return layer.get("prefixItems", ()), items
