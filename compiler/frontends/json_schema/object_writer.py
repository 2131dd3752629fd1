"""Objects: the productions of one plan, see ``objects.py``."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from grammar_engine.compiler.frontends.json_schema.conjunction import Formula
from grammar_engine.compiler.frontends.json_schema.extras import NameClass
from grammar_engine.compiler.frontends.json_schema.names import is_spellable, spelling_of
from grammar_engine.compiler.frontends.json_schema.objects import Objects, State
from grammar_engine.compiler.frontends.json_schema.plans import ObjectPlan
from grammar_engine.compiler.frontends.json_schema.symbols import Symbols
from grammar_engine.compiler.ir import Members, Production, Symbol

_BLOCK = 8
_MANY = 64
"""Names of a closed object, in any order, up to which those that have stood are kept in the state."""


class ObjectWriter:
    """Writes the productions of one plan."""

    def __init__(
        self, objects: Objects, plan: ObjectPlan, symbols: Symbols, value: Callable[[Formula, int], Symbol]
    ) -> None:
        self._objects = objects
        self._plan = plan
        self._symbols = symbols
        self._value = value
        self._colon = symbols.mark(":", 0)
        self._members_at: dict[int, list[tuple[int, Symbol, Symbol]]] = {}
        classes = objects.extras(plan)  # may declare names, so it comes before anything is counted
        self._required = sum(1 << index for index, required in enumerate(plan.required) if required)
        is_open = any(names.is_open for names in classes)
        self._is_free = objects.any_order and plan.simple and (is_open or (len(plan.names) > _MANY and not classes))
        self._runs_out = self._is_free and not is_open

    def whole(self, depth: int) -> list[Production]:
        """All objects of the plan, from brace to brace; ``depth`` counts the containers around their members."""
        state = self._objects.start()
        out = self._following(state, depth, self._symbols.mark("{", depth))
        if self._may_close(state):
            out.append((self._symbols.mark("{}", depth),))
        return out

    def after(self, state: State, depth: int) -> list[Production]:
        """The rest of an object behind what ``state`` says; the rule of AFTER."""
        out = self._following(state, depth, self._symbols.mark(",", depth))
        if self._may_close(state):
            out.append((self._symbols.mark("}", depth),))
        return out

    def _may_close(self, state: State) -> bool:
        plan, (seen, count, met) = self._plan, state
        return (
            self._objects.none_missing(plan, seen) and count >= plan.minimum and met == (1 << len(plan.obligations)) - 1
        )

    def _following(self, state: State, depth: int, opener: Symbol) -> list[Production]:
        """Every property that may stand next behind ``opener``, and what follows it."""
        if self._is_free:
            return self._in_any_order(state[0], depth, opener)
        if not self._plan.simple or self._objects.any_order:
            return self._next(state, depth, opener)
        index = state[0] + 1
        if not self._any_member(index):
            return []
        members = self._members_from(index, depth)
        self._symbols.soon(members)
        return [(opener, members)]

    def _members_from(self, index: int, depth: int) -> Symbol:
        """MEMBERS(index)."""
        symbols = self._symbols
        members = symbols.nonterminal(self._members, index, depth)
        if index < len(self._plan.names):
            symbols.in_blocks(members, self._block, index, depth)
        return members

    # In any order with nothing to count, no name need be remembered but those of required properties, since the guard
    # refuses a name that has stood. Where undeclared names are allowed, every beginning of a name may become one of
    # them; else names run out, which the guard sees to as well, at a price that few names are not worth. FREE lists
    # the properties that are not required; it is left-recursive, so the parser's stack is the same after each of them.

    def _in_any_order(self, seen: int, depth: int, opener: Symbol) -> list[Production]:
        symbols = self._symbols
        free, separator = symbols.nonterminal(self._free, depth), symbols.mark(",", depth)
        out: list[Production] = []
        for bit, key, value in self._bits_of_members(depth):
            if bit & self._required and not bit & seen:
                rest = symbols.nonterminal(self.after, (seen | bit, 0, 0), depth)
                out.append((opener, key, self._colon, value, rest))
                out.append((opener, free, separator, key, self._colon, value, rest))
        if self._runs_out and not self._has_optional(depth):
            return [production for production in out if production[1] != free]
        return out or [(opener, free, symbols.mark("}", depth))]

    def _has_optional(self, depth: int) -> bool:
        return any(not bit & self._required for bit, _, _ in self._bits_of_members(depth))

    def _free(self, depth: int) -> list[Production]:
        symbols = self._symbols
        member = symbols.nonterminal(self._free_member, depth)
        return [(member,), (symbols.nonterminal(self._free, depth), symbols.mark(",", depth), member)]

    def _free_member(self, depth: int) -> list[Production]:
        out: list[Production] = [
            (key, self._colon, value) for bit, key, value in self._bits_of_members(depth) if not bit & self._required
        ]
        guarding = self._symbols.guarding
        guarding.names = True
        if self._runs_out:
            guarding.thin = True
            guarding.fewest = min(guarding.fewest, len(self._bits_of_members(depth)))
        classes = self._objects.extras(self._plan)
        return out + [(self._class_name(names), self._colon, self._value(names.formula, depth)) for names in classes]

    # In declared order with nothing to count, what may follow depends on the index alone: MEMBERS(index) lists the
    # properties from there to the next required one, BLOCK at a time, so that 2,000 optional properties are not listed
    # behind each of them again.

    def _members(self, index: int, depth: int) -> list[Production]:
        plan, symbols = self._plan, self._symbols
        out: list[Production] = []
        end = index - index % _BLOCK + _BLOCK
        for following in range(index, len(plan.names)):
            if following == end:
                if self._any_member(following):
                    out.append((self._members_from(following, depth),))
                return out
            member = self._member(following, depth)
            if member is not None:
                out.append(member)
            if plan.required[following]:
                return out
        if self._objects.extras(plan):
            out.append((symbols.nonterminal(self._list, depth), symbols.mark("}", depth)))
        return out

    def _block(self, index: int, depth: int) -> Members | list[Production]:
        """MEMBERS(index) and what comes behind it, up to the end of the block: what ``_members`` and ``after`` say."""
        plan, symbols = self._plan, self._symbols
        end = min(index - index % _BLOCK + _BLOCK, len(plan.names))
        standing = [following for following in range(index, end) if self._may_stand(following)]
        last: Production = ()
        if end == len(plan.names):
            if self._objects.extras(plan):
                last = (symbols.nonterminal(self._list, depth), symbols.mark("}", depth))
        elif self._any_member(end):
            last = (self._members_from(end, depth),)
        if not standing:
            return [last]
        stop = len(standing) + 1
        stops = [stop] * len(standing)
        for at in range(len(standing) - 1, -1, -1):
            if plan.required[standing[at]]:
                stop = at + 1
            stops[at] = stop
        return Members(
            heads=[self._head(following, depth) for following in standing],
            stops=stops,
            last=last,
            separator=symbols.mark(",", depth),
            closer=symbols.mark("}", depth),
            closable=sum(following < plan.last_required for following in standing),
        )

    def _member(self, index: int, depth: int) -> Production | None:
        """A declared property and the rest of the object behind it; None if it cannot stand."""
        if not self._may_stand(index):
            return None
        return (*self._head(index, depth), self._symbols.nonterminal(self.after, (index, 0, 0), depth))

    def _may_stand(self, index: int) -> bool:
        """May a declared property stand at all?"""
        formula = self._plan.members[index]
        return formula is not None and is_spellable(self._plan.names[index]) and self._objects.possible(formula)

    def _head(self, index: int, depth: int) -> tuple[Symbol, Symbol, Symbol]:
        """A declared property that may stand."""
        name, formula = self._plan.names[index], self._plan.members[index]
        assert formula is not None
        return self._symbols.terminal("text", spelling_of(name)), self._colon, self._value(formula, depth)

    def _any_member(self, index: int) -> bool:
        """May any property stand from ``index`` on, up to the next required one?"""
        plan = self._plan
        for following in range(index, len(plan.names)):
            if self._may_stand(following):
                return True
            if plan.required[following]:
                return False
        return bool(self._objects.extras(plan))

    def _next(self, state: State, depth: int, opener: Symbol) -> list[Production]:
        """Every property that may stand next, and what follows it."""
        objects, plan, symbols = self._objects, self._plan, self._symbols
        seen, count, met = state
        if plan.simple and objects.any_order:  # and closed, or nearly so
            rest_of, colon = symbols.nonterminal, self._colon
            return [
                (opener, key, colon, value, rest_of(self.after, (seen | bit, 0, 0), depth))
                for bit, key, value in self._bits_of_members(depth)
                if not seen & bit
            ] + self._extra(state, depth, opener)
        more = self._counted(count)
        out: list[Production] = []
        for index in objects.following(plan, seen):
            name, formula = plan.names[index], plan.members[index]
            if formula is None or not is_spellable(name):
                continue
            after_seen = objects.seen_with(seen, index)
            if plan.obligations:
                options = objects.options(plan, formula, objects.selected(plan, name), met)
            else:
                options = [(0, formula)] if objects.possible(formula) else []
            if not options:
                continue
            key = symbols.terminal("text", spelling_of(name))
            for meets, stronger in options:
                following = (after_seen, more, met | meets)
                if objects.can_finish(plan, following):
                    rest = symbols.nonterminal(self.after, following, depth)
                    out.append((opener, key, self._colon, self._value(stronger, depth), rest))
        return out + self._extra(state, depth, opener)

    def _bits_of_members(self, depth: int) -> list[tuple[int, Symbol, Symbol]]:
        """Declared properties that may stand, whatever has stood: their bit in ``seen``, their name, their value."""
        found = self._members_at.get(depth)
        if found is None:
            plan, symbols = self._plan, self._symbols
            found = self._members_at[depth] = [
                (1 << index, symbols.terminal("text", spelling_of(name)), self._value(formula, depth))
                for index, (name, formula) in enumerate(zip(plan.names, plan.members, strict=True))
                if formula is not None and is_spellable(name) and self._objects.possible(formula)
            ]
        return found

    def _extra(self, state: State, depth: int, opener: Symbol) -> list[Production]:
        """Undeclared properties: a list once nothing is counted, one by one before."""
        objects, plan, symbols = self._objects, self._plan, self._symbols
        seen, count, met = state
        classes = objects.extras(plan)
        any_order = objects.any_order
        if not classes or not (any_order or plan.last_required <= seen):
            return []
        last = seen if any_order else len(plan.names)
        settled = plan.maximum is None and count >= plan.minimum and met == (1 << len(plan.obligations)) - 1
        if settled and not any_order:
            return [(opener, symbols.nonterminal(self._list, depth), symbols.mark("}", depth))]
        out: list[Production] = []
        more = self._counted(count)
        for names in classes:
            key = self._class_name(names)
            symbols.guarding.counted |= not settled
            for meets, formula in objects.extra_options(plan, names, met):
                following = (last, more, met | meets)
                if objects.can_finish(plan, following):
                    rest = symbols.nonterminal(self.after, following, depth)
                    out.append((opener, key, self._colon, self._value(formula, depth), rest))
        return out

    def _list(self, depth: int) -> list[Production]:
        members = [
            (self._class_name(names), self._colon, self._value(names.formula, depth))
            for names in self._objects.extras(self._plan)
        ]
        before = (self._symbols.nonterminal(self._list, depth), self._symbols.mark(",", depth))
        return list(chain(members, (before + member for member in members)))

    def _class_name(self, names: NameClass) -> Symbol:
        """Any name of a class; that it has not stood is guarded."""
        guarding = self._symbols.guarding
        guarding.names = True
        guarding.thin |= names.thin
        if names.size is not None:
            guarding.fewest = min(guarding.fewest, names.size)
        return self._symbols.terminal(*names.terminal)

    def _counted(self, count: int) -> int:
        """The count after one more property; it stops where it no longer matters."""
        plan = self._plan
        if plan.maximum is None:
            return min(count + 1, plan.minimum)
        return count + 1
