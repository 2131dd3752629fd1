"""What a conjunct asks of objects and of arrays, laid out by property name and by index.

A plan says for every name (or index) which formula its value must satisfy, without looking inside the formula.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grammar_engine.compiler.frontends.json_schema.conjunction import Conjunct, Formula, Formulas
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.references import Schema

_NOTHING: Mapping[str, Schema] = {}


class ObjectPlan:
    """Objects of one conjunct.

    names: declared names in the order of ``properties``, then those that only ``required`` mentions.
    members: formula of each name's value; None: the name may not stand. required: as flags.
    extra: formula of the values of all other names; None: no other name may stand.
    """

    __slots__ = ("extra", "index", "members", "names", "required")

    def __init__(self, conjunct: Conjunct, formulas: Formulas) -> None:
        layers = conjunct.object_layers
        declared = [layer.get("properties", _NOTHING) for layer in layers]
        rest = [layer.get("additionalProperties", True) for layer in layers]
        if len(layers) == 1:
            properties: Mapping[str, Schema] = declared[0]  # type: ignore[assignment]
            self.names = list(properties)
            self.members = [formulas.of((schema,)) for schema in properties.values()]
        else:
            self.names = list(dict.fromkeys(name for properties in declared for name in properties))  # type: ignore[attr-defined]
            self.members = [
                formulas.of([p.get(name, other) for p, other in zip(declared, rest, strict=True)])  # type: ignore[attr-defined]
                for name in self.names
            ]
        self.extra: Formula | None = formulas.of(rest)  # type: ignore[arg-type]
        self.index = {name: index for index, name in enumerate(self.names)}
        for name in conjunct.required:
            if name not in self.index:
                self.index[name] = len(self.names)
                self.names.append(name)
                self.members.append(self.extra)
        self.required = [False] * len(self.names)
        for name in conjunct.required:
            self.required[self.index[name]] = True

    def member(self, name: str) -> Formula | None:
        """The formula of the value under ``name``; None: the name may not stand."""
        index = self.index.get(name)
        return self.extra if index is None else self.members[index]


class ArrayPlan:
    """Arrays of one conjunct.

    prefix: formula per leading index; rest: formula of every item behind them; None: no item may stand there.
    minimum, maximum: number of items (maximum None: no bound; it already counts what None above cuts off).
    """

    __slots__ = ("maximum", "minimum", "prefix", "rest")

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
        if None in self.prefix:
            self.cut(self.prefix.index(None))
        elif self.rest is None:
            self.cut(length)

    def cut(self, index: int) -> None:
        """No item stands at ``index`` or behind it."""
        self.maximum = index if self.maximum is None else min(self.maximum, index)

    def item(self, index: int) -> Formula | None:
        """The formula of the item at ``index``."""
        return self.prefix[index] if index < len(self.prefix) else self.rest


def _array_layer(schema: dict[str, object], dialect: Dialect) -> tuple[Sequence[Schema], Schema]:
    items = schema.get("items", True)
    if dialect.items_array:
        if isinstance(items, list):
            return items, schema.get("additionalItems", True)  # type: ignore[return-value]
        return (), items  # type: ignore[return-value]
    return schema.get("prefixItems", ()), items  # type: ignore[return-value]
