"""JSON Schema → grammar, expanded on demand: a schema costs what is visited, not what is written.

Nonterminals and terminals are interned under what they mean, so equal subschemas reached by different ways are one:

    VALUE formula depth          a value that satisfies a formula
    AFTER object index depth     the rest of an object behind property ``index``: right-linear, up to the next required
    EXTRAS object depth          undeclared properties, separated by commas: left-recursive, the stack stays the same
    TAIL array index depth       the rest of an array behind ``index`` items, while the index matters
    ITEMS array depth            items once the index no longer matters: left-recursive

``depth`` is 0 everywhere unless ``indent`` makes the layout depend on it.

Known limits of the texts offered (the values are exact): a declared name has its plain spelling; two additional
properties may have the same name; integers are written without fraction and exponent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.errors import InvalidSchemaError, LimitExceededError, UnsatisfiableGrammarError
from grammar_engine.compiler.frontends.json_schema.conjunction import (
    ARRAY,
    FALSE,
    FRACTION,
    INTEGER,
    NULL,
    OBJECT,
    STRING,
    TRUE,
    Conjunct,
    Formula,
    Formulas,
)
from grammar_engine.compiler.frontends.json_schema.dialects import dialect_of
from grammar_engine.compiler.frontends.json_schema.layout import Layout
from grammar_engine.compiler.frontends.json_schema.lexical import Lexical
from grammar_engine.compiler.frontends.json_schema.literals import is_scalar, spellings, trie
from grammar_engine.compiler.frontends.json_schema.names import is_spellable, other_names, spelling_of
from grammar_engine.compiler.frontends.json_schema.options import JsonSchemaOptions
from grammar_engine.compiler.frontends.json_schema.plans import ArrayPlan, ObjectPlan
from grammar_engine.compiler.frontends.json_schema.productivity import Productivity
from grammar_engine.compiler.frontends.json_schema.scalars import number_key, string_key
from grammar_engine.compiler.frontends.json_schema.scan import Scan
from grammar_engine.compiler.ir import Grammar, Production, Symbol, Terminal

_CONSTANTS = ((NULL, b"null"), (TRUE, b"true"), (FALSE, b"false"))


class JsonSchemaGrammar(Grammar):
    """The texts of the values that a schema allows. Build it with ``json_schema_grammar``."""

    def __init__(self, schema: object, options: JsonSchemaOptions) -> None:
        dialect = dialect_of(schema)
        self._lexical = Lexical()
        scan = Scan(schema, dialect, self._lexical)
        self._formulas = Formulas(dialect, scan.targets)
        self._productivity = Productivity(self._formulas, dialect, self._lexical)
        self._layout = Layout(options)
        self._step = int(self._layout.depth_matters)
        self._symbols: dict[tuple[object, ...], int] = {}
        self._rules: list[tuple[Callable[..., list[Production]], tuple[object, ...]]] = []
        self._terminal_ids: dict[tuple[object, ...], int] = {}
        self._terminals: list[tuple[object, ...]] = []
        root = self._formulas.of((schema,))  # type: ignore[arg-type]
        if root is None or not self._productivity.possible(root):
            raise UnsatisfiableGrammarError("no JSON value satisfies it", place="the schema")
        self.start = ~self._value(root, 0)

    # -- the interface of ir.Grammar ----------------------------------------------------------------------------------

    def productions(self, nonterminal: int) -> Sequence[Production]:
        rule, arguments = self._rules[nonterminal]
        return rule(*arguments)

    def terminal(self, terminal: int) -> Terminal:
        kind, *arguments = self._terminals[terminal]
        automaton: bytes | ByteAutomaton
        if kind == "text":
            (automaton,) = arguments  # type: ignore[assignment]
            return Terminal(name=automaton.decode(), automaton=automaton)  # type: ignore[union-attr]
        if kind == "mark":
            mark, depth = arguments
            return Terminal(name=f"{mark}", automaton=self._layout.automaton(mark, depth))  # type: ignore[arg-type]
        if kind == "string":
            return Terminal(name="string", automaton=self._lexical.string_automaton(arguments[0]))  # type: ignore[arg-type]
        if kind == "number":
            return Terminal(name="number", automaton=self._lexical.number_automaton(arguments[0]))  # type: ignore[arg-type]
        if kind == "name":
            return Terminal(name="property name", automaton=other_names(arguments[0]))  # type: ignore[arg-type]
        return Terminal(name="value", automaton=trie(arguments[0]))  # type: ignore[arg-type]

    # -- interning ----------------------------------------------------------------------------------------------------

    def _nonterminal(self, rule: Callable[..., list[Production]], *arguments: object) -> Symbol:
        key = (rule.__name__, *arguments)
        number = self._symbols.get(key)
        if number is None:
            number = self._symbols[key] = len(self._rules)
            self._rules.append((rule, arguments))
        return ~number

    def _terminal(self, *key: object) -> Symbol:
        number = self._terminal_ids.get(key)
        if number is None:
            number = self._terminal_ids[key] = len(self._terminals)
            self._terminals.append(key)
        return number

    def _value(self, formula: Formula, depth: int) -> Symbol:
        return self._nonterminal(self._value_rule, formula, depth)

    def _mark(self, mark: str, depth: int) -> Symbol:
        return self._terminal("mark", mark, depth)

    # -- values -------------------------------------------------------------------------------------------------------

    def _value_rule(self, formula: Formula, depth: int) -> list[Production]:
        out: dict[Production, None] = {}
        for conjunct in self._formulas.normal(formula):
            for production in self._conjunct(conjunct, depth):
                out[production] = None
        return list(out)

    def _conjunct(self, conjunct: Conjunct, depth: int) -> list[Production]:
        types = self._productivity.types(conjunct)
        if not types:
            return []
        if conjunct.values is not None:
            return self._values(conjunct, depth)
        out: list[Production] = [(self._terminal("text", text),) for bit, text in _CONSTANTS if types & bit]
        if types & (INTEGER | FRACTION):
            out.append((self._terminal("number", number_key(conjunct)),))
        if types & STRING:
            out.append((self._terminal("string", string_key(conjunct)),))
        if types & OBJECT:
            out += self._object(self._productivity.object_plan(conjunct), depth + self._step)
        if types & ARRAY:
            out += self._array(self._productivity.array_plan(conjunct), depth + self._step)
        return out

    def _values(self, conjunct: Conjunct, depth: int) -> list[Production]:
        values = [value for value in conjunct.values or () if self._productivity.holds(conjunct, value)]
        out: list[Production] = []
        scalars = {text for value in values if is_scalar(value) for text in spellings(value)}
        if scalars:
            out.append((self._terminal("values", frozenset(scalars)),))
        out += [tuple(self._spelled(value, depth)) for value in values if not is_scalar(value)]
        return out

    def _spelled(self, value: object, depth: int) -> list[Symbol]:
        """A given value as terminals."""
        inside = depth + self._step
        out: list[Symbol] = []
        if isinstance(value, dict):
            if not value:
                return [self._mark("{}", inside)]
            for name, member in value.items():
                out.append(self._mark("," if out else "{", inside))
                out += [self._terminal("text", spelling_of(name)), self._mark(":", 0), *self._spelled(member, inside)]
            return [*out, self._mark("}", inside)]
        if isinstance(value, list):
            if not value:
                return [self._mark("[]", inside)]
            for item in value:
                out.append(self._mark("," if out else "[", inside))
                out += self._spelled(item, inside)
            return [*out, self._mark("]", inside)]
        return [self._terminal("values", frozenset(spellings(value)))]

    # -- objects ------------------------------------------------------------------------------------------------------

    def _object(self, plan: ObjectPlan, depth: int) -> list[Production]:
        out = self._members(plan, -1, depth, self._mark("{", depth))
        if True not in plan.required:
            out.append((self._mark("{}", depth),))
        return out

    def _after_rule(self, plan: ObjectPlan, index: int, depth: int) -> list[Production]:
        out = self._members(plan, index, depth, self._mark(",", depth))
        if True not in plan.required[index + 1 :]:
            out.append((self._mark("}", depth),))
        return out

    def _members(self, plan: ObjectPlan, index: int, depth: int, opener: Symbol) -> list[Production]:
        """What may stand next behind property ``index``: every property up to the next required one."""
        out: list[Production] = []
        colon = self._mark(":", 0)
        possible = self._productivity.possible
        for following in range(index + 1, len(plan.names)):
            formula, name = plan.members[following], plan.names[following]
            if formula is not None and possible(formula) and is_spellable(name):
                key = self._terminal("text", spelling_of(name))
                value = self._nonterminal(self._value_rule, formula, depth)
                after = self._nonterminal(self._after_rule, plan, following, depth)
                out.append((opener, key, colon, value, after))
            if plan.required[following]:
                return out
        if possible(plan.extra):
            out.append((opener, self._nonterminal(self._extras_rule, plan, depth), self._mark("}", depth)))
        return out

    def _extras_rule(self, plan: ObjectPlan, depth: int) -> list[Production]:
        assert plan.extra is not None
        name = self._terminal("name", frozenset(plan.names))
        member = (name, self._mark(":", 0), self._value(plan.extra, depth))
        extras = self._nonterminal(self._extras_rule, plan, depth)
        return [member, (extras, self._mark(",", depth), *member)]

    # -- arrays -------------------------------------------------------------------------------------------------------

    def _array(self, plan: ArrayPlan, depth: int) -> list[Production]:
        out = self._more(plan, 0, depth, self._mark("[", depth))
        if plan.minimum == 0:
            out.append((self._mark("[]", depth),))
        return out

    def _tail_rule(self, plan: ArrayPlan, index: int, depth: int) -> list[Production]:
        out = self._more(plan, index, depth, self._mark(",", depth))
        if index >= plan.minimum:
            out.append((self._mark("]", depth),))
        return out

    def _more(self, plan: ArrayPlan, index: int, depth: int, opener: Symbol) -> list[Production]:
        """What may stand next behind ``index`` items, if anything may."""
        item = plan.item(index)
        if item is None or not self._productivity.possible(item):
            return []
        if plan.maximum is None and index >= len(plan.prefix) and index + 1 >= plan.minimum:
            return [(opener, self._nonterminal(self._items_rule, plan, depth), self._mark("]", depth))]
        if plan.maximum is not None and index >= plan.maximum:
            return []
        return [(opener, self._value(item, depth), self._nonterminal(self._tail_rule, plan, index + 1, depth))]

    def _items_rule(self, plan: ArrayPlan, depth: int) -> list[Production]:
        assert plan.rest is not None
        item = self._value(plan.rest, depth)
        return [(item,), (self._nonterminal(self._items_rule, plan, depth), self._mark(",", depth), item)]


def json_schema_grammar(schema: object, options: JsonSchemaOptions | None = None) -> Grammar:
    """The grammar of the JSON texts whose value satisfies ``schema``.

    schema: a dict, True or False, or JSON text. Must not be changed while the grammar is in use.

    Raises InvalidSchemaError (malformed), UnsupportedSchemaError (a keyword that would not be enforced),
    UnsatisfiableGrammarError (no value satisfies it), LimitExceededError (nested too deeply).
    """
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError as error:
            raise InvalidSchemaError(f"the schema is not JSON: {error}") from error
    try:
        return JsonSchemaGrammar(schema, options or JsonSchemaOptions())
    except RecursionError as error:
        raise LimitExceededError("the schema is nested too deeply", limit="Python's recursion limit", given="more") from error
