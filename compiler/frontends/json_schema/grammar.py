"""JSON Schema → grammar, expanded on demand: a schema costs what is visited, not what is written.

Nonterminals and terminals are interned under what they mean, so equal subschemas reached by different ways are one:

    VALUE(formula)          a value that satisfies a formula (``conjunction.py``)
    AFTER(object, state)    the rest of an object behind some properties (``objects.py``)
    TAIL(array, state)      the rest of an array behind some items (``arrays.py``)

each at a depth, which is 0 everywhere unless ``indent`` makes the layout depend on it.

Known limits of the texts offered (docs/json_schema.md lists all): names have their plain spelling. That no two
properties of an object have the same name is not in the rules where a name is any of many: that is guarded
(``ir.Guarding``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.errors import LimitExceededError, UnsatisfiableGrammarError, UnsupportedSchemaError
from grammar_engine.compiler.frontends.json_schema import free_json
from grammar_engine.compiler.frontends.json_schema.alternatives import AlternativesWriter
from grammar_engine.compiler.frontends.json_schema.arrays import ArrayWriter
from grammar_engine.compiler.frontends.json_schema.conjunction import ANYTHING, Formula, Formulas
from grammar_engine.compiler.frontends.json_schema.conjuncts import Conjunct
from grammar_engine.compiler.frontends.json_schema.dialects import Dialects
from grammar_engine.compiler.frontends.json_schema.json_types import (
    ARRAY,
    FALSE,
    FRACTION,
    INTEGER,
    NULL,
    OBJECT,
    STRING,
    TRUE,
)
from grammar_engine.compiler.frontends.json_schema.layout import Layout
from grammar_engine.compiler.frontends.json_schema.lexical import Lexical
from grammar_engine.compiler.frontends.json_schema.literals import (
    are_escaped,
    is_scalar,
    scalars_automaton,
    scalars_of,
)
from grammar_engine.compiler.frontends.json_schema.multiples import Multiples, has_many_remainders
from grammar_engine.compiler.frontends.json_schema.names import other_names, spelling_of
from grammar_engine.compiler.frontends.json_schema.object_writer import ObjectWriter
from grammar_engine.compiler.frontends.json_schema.options import JsonSchemaOptions
from grammar_engine.compiler.frontends.json_schema.paths import pointer_among
from grammar_engine.compiler.frontends.json_schema.plans import ArrayPlan, ObjectPlan
from grammar_engine.compiler.frontends.json_schema.productivity import Productivity
from grammar_engine.compiler.frontends.json_schema.references import References
from grammar_engine.compiler.frontends.json_schema.relaxing import Relaxing
from grammar_engine.compiler.frontends.json_schema.scalars import number_key, string_key
from grammar_engine.compiler.frontends.json_schema.scan import Scan
from grammar_engine.compiler.frontends.json_schema.specialize import specialize
from grammar_engine.compiler.frontends.json_schema.symbols import Symbols
from grammar_engine.compiler.ir import Grammar, Guarding, JsonStrings, Members, Production, Symbol, Terminal
from grammar_engine.compiler.limits import PATIENCE, Deadline
from grammar_engine.compiler.prelude import Prelude
from grammar_engine.compiler.reading import plain_copy, read_json

_MAX_ANY_ORDER = 256  # members of a given object; a longer one keeps the order in which the schema wrote it
_SCALAR_TYPES = ("string", "integer", "number")
# A schema with other keywords is looked at when it is reached.
_BESIDE_SCALARS = frozenset(
    (
        "$comment", "default", "description", "examples", "exclusiveMaximum", "exclusiveMinimum", "format", "maxLength",
        "maximum", "minLength", "minimum", "pattern", "title", "type",
    )
)  # fmt: skip
_CONSTANTS = ((NULL, b"null"), (TRUE, b"true"), (FALSE, b"false"))


class JsonSchemaGrammar(Grammar):
    """The texts of the values that a schema allows. Build it with ``json_schema_grammar``."""

    def __init__(self, schema: object, options: JsonSchemaOptions, documents: Mapping[str, object]) -> None:
        self._deadline = deadline = Deadline(options.deadline)
        self.lexical = Lexical(plain_integers=options.plain_integers, deadline=deadline)
        scan = Scan(References(schema, Dialects(documents), documents), self.lexical, deadline)
        plain_integers = scan.plain_integers
        if scan.needs_rewriting:
            rewritten = specialize(scan)
            schema = rewritten.root
            scan = Scan(References(schema, Dialects({}), {}), self.lexical, deadline, rewritten)
        scan.finish()
        dialect = scan.dialect
        if plain_integers:
            options = replace(options, plain_integers=True)
            self.lexical.plain_integers = True
        self._formulas = Formulas(
            dialect, scan.targets, scan.overlaps, scan.disjoint.exclude, self.lexical.matches, deadline
        )
        for holder, keyword in scan.unevaluated:
            self._formulas.unevaluated.cases(holder, keyword)  # so that limits are met here
        for holder, keyword in scan.negated_unevaluated:
            self._formulas.unevaluated.failures(holder, keyword)
        self._productivity = Productivity(
            self._formulas,
            dialect,
            self.lexical,
            deadline,
            any_order=options.property_order == "any",
            place=partial(pointer_among, scan.distinct),
        )
        self._any_order = options.property_order == "any"
        self._given: dict[int, dict[str, object]] = {}  # keeps them, so that an identity stays an object's own
        self.layout = Layout(options)
        if self.layout.depth_matters:
            self._symbols = Symbols(1)
        else:
            self._symbols = Symbols(0, terminals=free_json.TERMINAL_KEYS, rules=free_json.RULES)
            self.prelude = _prelude(options)
        self.guarding: Guarding = self._symbols.guarding
        self._multiples = Multiples(self._symbols, plain_integers=self.lexical.plain_integers)
        self._objects: dict[ObjectPlan, ObjectWriter] = {}
        self._alternatives: dict[Conjunct, AlternativesWriter] = {}
        self._arrays: dict[ArrayPlan, ArrayWriter] = {}
        self._scalars: dict[Formula, Symbol] = {}
        root = self._formulas.of((schema,))  # type: ignore[arg-type]
        if root is None or not self._productivity.possible(root):
            raise UnsatisfiableGrammarError("no JSON value satisfies it", place="the schema")
        start = self._value(root, 0)
        self.start = ~(start if start < 0 else self._symbols.nonterminal(self._value_rule, root, 0))

    # -- the interface of ir.Grammar ----------------------------------------------------------------------------------

    def begin_step(self) -> None:
        """The deadline of one step starts."""
        self._deadline.restart(PATIENCE)

    def productions(self, nonterminal: int) -> Sequence[Production]:
        """The right-hand sides of a nonterminal."""
        try:
            return self._symbols.expand(nonterminal)
        except RecursionError as error:
            raise _too_deep() from error

    def expand(self, nonterminal: int) -> Sequence[tuple[int, Sequence[Production] | Members]]:
        """As ``productions``, with what else is surely asked for; an object's members several at a time."""
        try:
            return self._symbols.expand_with_soon(nonterminal)
        except RecursionError as error:
            raise _too_deep() from error

    def literal(self, terminal: int) -> bytes | None:
        """The text of a constant or of a property's name."""
        key = self._symbols.terminal_keys[terminal]
        return key[1] if key[0] == "text" else None  # type: ignore[return-value]

    def terminal(self, terminal: int) -> Terminal:
        """The lexical rule of a terminal."""
        key = self._symbols.terminal_keys[terminal]
        try:
            if key[0] == "names":
                return Terminal(name="property name", automaton=self.names(key[1]))  # type: ignore[arg-type]
            return _terminal(key, self.layout, self.lexical)
        except RecursionError as error:
            raise _too_deep() from error

    def opens_container(self, terminal: int) -> bool:
        """Does a terminal open an object or an array that holds something?"""
        key = self._symbols.terminal_keys[terminal]
        return key[0] in ("mark", "distinct") and key[1] in ("{", "[")

    # -- values -------------------------------------------------------------------------------------------------------

    def _value(self, formula: Formula, depth: int) -> Symbol:
        if formula == ANYTHING and self.prelude is not None:
            self.guarding.names = True
            return ~free_json.VALUE
        found = self._scalars.get(formula)
        if found is None:
            found = self._scalars[formula] = self._scalar(formula)
        return self._symbols.nonterminal(self._value_rule, formula, depth) if found < 0 else found

    def _scalar(self, formula: Formula) -> Symbol:
        """The terminal of a formula that is plainly a string or a number: no rule of its own to expand; else -1."""
        schemas = self._formulas.schemas(formula)
        if (
            len(schemas) != 1
            or schemas[0].get("type") not in _SCALAR_TYPES
            or not _BESIDE_SCALARS.issuperset(schemas[0])
        ):
            return -1
        productions = self._value_rule(formula, 0)
        return productions[0][0] if len(productions) == 1 and len(productions[0]) == 1 else -1

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
        symbols = self._symbols
        out: list[Production] = [(symbols.terminal("text", text),) for bit, text in _CONSTANTS if types & bit]
        if types & (INTEGER | FRACTION):
            key = number_key(conjunct)
            many = has_many_remainders(key)
            out += self._multiples.productions(key) if many else [(symbols.terminal("number", key),)]
        if types & STRING:
            out.append((symbols.terminal("string", string_key(conjunct)),))
        if types & OBJECT:
            out += self._object(conjunct).whole(symbols.deeper(depth))
        if types & ARRAY:
            out += self._array(self._productivity.arrays.plan(conjunct)).whole(symbols.deeper(depth))
        return out

    def _object(self, conjunct: Conjunct) -> ObjectWriter | AlternativesWriter:
        objects = self._productivity.objects
        if conjunct.choices:
            other = self._alternatives.get(conjunct)
            if other is None:
                other = AlternativesWriter(objects.derivatives(conjunct), self._symbols, self._value)
                self._alternatives[conjunct] = other
            return other
        plan = objects.plan(conjunct)
        writer = self._objects.get(plan)
        if writer is None:
            writer = self._objects[plan] = ObjectWriter(objects, plan, self._symbols, self._value)
        return writer

    def _array(self, plan: ArrayPlan) -> ArrayWriter:
        writer = self._arrays.get(plan)
        if writer is None:
            writer = ArrayWriter(self._productivity.arrays, plan, self._symbols, self._value, self._spelled)
            self._arrays[plan] = writer
        return writer

    # -- given values -------------------------------------------------------------------------------------------------

    def _values(self, conjunct: Conjunct, depth: int) -> list[Production]:
        values = self._productivity.held(conjunct)
        scalars = [value for value in values if is_scalar(value)]
        out: list[Production] = [(self._symbols.terminal("values", scalars_of(scalars)),)] if scalars else []
        out += [tuple(self._sequence(value, depth)) for value in values if not is_scalar(value)]
        return out

    def _spelled(self, value: object, depth: int) -> list[Production]:
        return [tuple(self._sequence(value, depth))]

    def _sequence(self, value: object, depth: int) -> list[Symbol]:
        """A given value as terminals."""
        symbols = self._symbols
        inside = symbols.deeper(depth)
        out: list[Symbol] = []
        if isinstance(value, dict):
            if not value:
                return [symbols.mark("{}", inside)]
            if self._any_order and 1 < len(value) <= _MAX_ANY_ORDER:
                self._given[id(value)] = value
                return [symbols.mark("{", inside), self._members(value, tuple(value), depth)]
            for name, member in value.items():
                out.append(symbols.mark("," if out else "{", inside))
                out += [symbols.terminal("text", spelling_of(name)), symbols.mark(":", 0)]
                out += self._sequence(member, inside)
            return [*out, symbols.mark("}", inside)]
        if isinstance(value, list):
            if not value:
                return [symbols.mark("[]", inside)]
            for item in value:
                out.append(symbols.mark("," if out else "[", inside))
                out += self._sequence(item, inside)
            return [*out, symbols.mark("]", inside)]
        return [symbols.terminal("values", scalars_of([value]))]

    def _members(self, value: dict[str, object], left: tuple[str, ...], depth: int) -> Symbol:
        """The members of a given object that are left, in any order."""
        return self._symbols.nonterminal(self._members_rule, id(value), left, depth)

    def _members_rule(self, value: int, left: tuple[str, ...], depth: int) -> list[Production]:
        symbols, given = self._symbols, self._given[value]
        inside = symbols.deeper(depth)
        out: list[Production] = []
        for index, name in enumerate(left):
            member = [symbols.terminal("text", spelling_of(name)), symbols.mark(":", 0)]
            member += self._sequence(given[name], inside)
            if len(left) == 1:
                out.append((*member, symbols.mark("}", inside)))
            else:
                rest = self._members(given, left[:index] + left[index + 1 :], depth)
                out.append((*member, symbols.mark(",", inside), rest))
        return out

    def names(self, key: tuple[Any, ...]) -> ByteAutomaton:
        """Spellings of the undeclared names of one class."""
        return self._productivity.objects.classes.spelled(key)


def _terminal(key: tuple[Any, ...], layout: Layout, lexical: Lexical) -> Terminal:
    """The lexical rule of a key; of every kind but "names", which only its grammar knows."""
    kind, detail = key[:2]
    if kind == "text":
        return Terminal(name=str(detail), automaton=detail)
    if kind in ("mark", "distinct"):
        return Terminal(name=detail, automaton=layout.automaton(detail, key[2]))
    if kind == "name":
        return other_names(detail)
    if kind == "string":
        return Terminal(name="string", automaton=lexical.string_automaton(detail))
    if kind == "number":
        return Terminal(name="number", automaton=lexical.number_automaton(detail))
    strings, numbers, constants = detail
    if not (numbers or constants) and are_escaped(strings):
        return Terminal(name="value", automaton=JsonStrings(strings))
    return Terminal(name="value", automaton=scalars_automaton(detail, plain_integers=lexical.plain_integers))


@lru_cache(maxsize=32)
def _prelude(options: JsonSchemaOptions) -> Prelude:
    """What all grammars of a layout begin with."""
    layout, lexical = Layout(options), Lexical(plain_integers=options.plain_integers)
    return free_json.free_json_prelude(options, lambda key: _terminal(key, layout, lexical))


def json_schema_grammar(
    schema: object, options: JsonSchemaOptions | None = None, documents: Mapping[str, object] | None = None
) -> Grammar:
    """The grammar of the JSON texts whose value satisfies ``schema``.

    schema: a dict, True or False, or JSON text. documents: what references to other documents may name, by URI. Neither
    must be changed while the grammar is in use.

    Raises InvalidSchemaError (malformed), UnsupportedSchemaError (a keyword that would not be enforced),
    UnsatisfiableGrammarError (no value satisfies it), LimitExceededError (nested too deeply).
    """
    if isinstance(schema, str):
        schema = read_json(schema)
    options = options or JsonSchemaOptions()
    documents = documents or {}
    try:
        if options.on_unsupported == "warn":
            return _relaxed(schema, options, documents)
        return JsonSchemaGrammar(schema, options, documents)
    except RecursionError as error:
        raise _too_deep() from error


def _relaxed(schema: object, options: JsonSchemaOptions, documents: Mapping[str, object]) -> Grammar:
    """The grammar without what is not supported."""
    schema = plain_copy(schema)
    relaxing = Relaxing(schema, documents)
    deadline = Deadline(options.deadline)
    while True:
        try:
            grammar = JsonSchemaGrammar(schema, options, documents)
        except UnsupportedSchemaError as error:
            deadline.check()
            if not relaxing.leave_out(error):
                raise
        else:
            grammar.not_enforced = tuple(relaxing.left_out)
            return grammar


def _too_deep() -> LimitExceededError:
    return LimitExceededError("the schema is nested too deeply", limit="Python's recursion limit", given="more")
