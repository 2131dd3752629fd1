"""The engine's specification, executable: is a text in the language, and can it still become one?

Written to be read, not to be fast: no interning, no tables, no shared prefixes between calls. Every faster part of
this package must give the answers that this module gives.

It is Earley's recognizer ("An efficient context-free parsing algorithm", 1970) whose terminals are scanned byte by
byte. An *item* is ``(nonterminal, production, dot, origin)``; ``history[i]`` is the Earley set at boundary i.

    UNORDERED   boundaries are byte offsets; a thread is (start boundary, terminal, position, counter)
        byte b:     every thread reads b; one that matches terminal t closes into the set at this offset every item of
                    its start set that expects t, moved over t (an ignored t copies the whole start set)
    LEFTMOST, ONE_BY_ONE
                a state is a set of *hypotheses* about where the lexemes so far ended
        byte b:     the ordered threads of the lexeme read b; the first MATCH cuts all threads behind it. If threads
                    before it are alive, the truth depends on bytes to come, so the hypothesis forks:
                    A  the lexeme ended here, and the threads before the match become *monitors*: were one of them
                       to match later, leftmost-first would have preferred it, so A dies at that moment
                    B  the lexeme goes on, with the threads before the match only
                    A match under a condition (``conditions.py``) cuts nothing yet: in A a thread that matches when the
                    condition fails is one more monitor; in B a thread that matches when it holds takes the match's
                    place, and cuts what is behind it then. At the end of the text threads on END decide.

Threads follow ``automaton.py``: a thread stands on a position (about to read) with a counter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from grammar_engine.compiler.automaton import DECIDED, END, MATCH
from grammar_engine.compiler.ir import Grammar, Lexing, Production
from grammar_engine.compiler.reference_threads import Thread, Threads

_GOAL = -1  # the augmented start "nonterminal"; real ones are numbered from 0

Item = tuple[int, Production, int, int]
EarleySet = frozenset[Item]
History = tuple[EarleySet, ...]


@dataclass(frozen=True, kw_only=True)
class UnorderedState:
    """All tokenizations at once: the Earley set of every byte offset, and the threads of every open lexeme."""

    text: bytes
    history: History
    threads: frozenset[tuple[int, Thread]]


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One guess about where lexemes ended. ``text`` is the open lexeme so far; empty means at a boundary.

    ``behind``: the class of the character before it (see ``Grammar.behind``).
    """

    history: History
    text: bytes
    threads: tuple[Thread, ...]
    monitors: frozenset[Thread]
    behind: int = 0


LeftmostState = frozenset[Hypothesis]
State = UnorderedState | LeftmostState


def recognizer_of(grammar: Grammar) -> ReferenceRecognizer:
    """The recognizer for a grammar: by its table if it has one, else by its rules."""
    from grammar_engine.compiler.table_reference import TableRecognizer

    return ReferenceRecognizer(grammar) if grammar.table is None else TableRecognizer(grammar, grammar.table)


class ReferenceRecognizer(Threads):
    """Decides membership, viability and masks for any ``ir.Grammar`` by the definition.

    States are values: ``step`` never changes its argument, so callers may keep, compare and resume them.
    What a grammar asks of its texts beside its rules (``Grammar.guarding``) is not looked at here.
    """

    def __init__(self, grammar: Grammar) -> None:
        super().__init__(grammar)
        self._productions: dict[int, Sequence[Production]] = {}

    # -- what callers ask -------------------------------------------------------------------------------------------

    def accepts(self, data: bytes) -> bool:
        """Is the whole of ``data`` in the language?"""
        return self.is_accepting(self._run(data))

    def is_viable(self, data: bytes) -> bool:
        """Can ``data`` be continued (perhaps by nothing) to a text of the language?

        Exact for UNORDERED: automaton states are live and nonterminals productive, so an open thread can always be
        finished. For LEFTMOST it says that no lexing of ``data`` has failed yet, which is weaker in one case: where
        every possible next lexeme would be swallowed by the one before it (``/a+/ /a+/``); ``find_completion``
        settles such cases by search.
        """
        return self.is_live(self._run(data))

    def allowed_token_ids(self, tokens: Sequence[bytes | None], prefix: bytes) -> set[int]:
        """Ids of the tokens that leave ``prefix`` viable: each is appended byte by byte.

        ``None`` (an id without text) and the empty token (which would not advance) are never allowed.
        """
        start = self._run(prefix)
        return {index for index, token in enumerate(tokens) if token and self.is_live(self._run(token, start))}

    def find_completion(self, data: bytes, *, limit: int) -> bytes | None:
        """A shortest continuation of at most ``limit`` bytes that completes ``data``, or None; breadth-first."""
        frontier = [(b"", self._run(data))]
        for length in range(limit + 1):
            for text, state in frontier:
                if self.is_accepting(state):
                    return text
            if length == limit:
                break
            seen: dict[State, bytes] = {}
            for text, state in frontier:
                for byte in self._useful_bytes(state):
                    successor = self.step(state, byte)
                    if self.is_live(successor):
                        seen.setdefault(successor, text + bytes([byte]))
            frontier = [(text, state) for state, text in seen.items()]
        return None

    # -- byte by byte -----------------------------------------------------------------------------------------------

    def start(self) -> State:
        """The state before the first byte."""
        seeds: set[Item] = {(_GOAL, (~self.grammar.start,), 0, 0)}
        if self.grammar.accepts_empty:
            seeds.add((_GOAL, (), 0, 0))
        history = (self._closure((), seeds),)
        if self.grammar.lexing is Lexing.UNORDERED:
            return UnorderedState(text=b"", history=history, threads=self._unordered_threads(history))
        return self._live(self._at_boundary(history, frozenset()))

    def step(self, state: State, byte: int) -> State:
        """The state after one more byte; the dead state if none is possible."""
        if isinstance(state, UnorderedState):
            return self._step_unordered(state, byte)
        return self._live(successor for hypothesis in state for successor in self._step_leftmost(hypothesis, byte))

    def is_accepting(self, state: State) -> bool:
        """Is the text so far in the language?"""
        if isinstance(state, UnorderedState):
            return self._is_complete(state.history[-1])
        return any(self._may_end(hypothesis) for hypothesis in state)

    def is_live(self, state: State) -> bool:
        """Is the text so far viable? (see ``is_viable``)"""
        if isinstance(state, UnorderedState):
            return bool(state.threads) or self._is_complete(state.history[-1])
        return bool(state)

    def _may_end(self, hypothesis: Hypothesis) -> bool:
        """Is the text in the language if it ends here and the lexemes are these?"""
        return (
            not hypothesis.text
            and self._is_complete(hypothesis.history[-1])
            and not any(self._is_at(END, monitor) for monitor in hypothesis.monitors)
        )

    def _run(self, data: bytes, state: State | None = None) -> State:
        state = self.start() if state is None else state
        for byte in data:
            if not self.is_live(state):
                break
            state = self.step(state, byte)
        return state

    # -- Earley sets ------------------------------------------------------------------------------------------------

    def _closure(self, history: History, seeds: Iterable[Item]) -> EarleySet:
        """Predict and complete until nothing is new; the set's own boundary is ``len(history)``.

        Completion looks in earlier sets only: productions are ε-free, so nothing begins and ends at one boundary.
        """
        here = len(history)
        items = set(seeds)
        todo = list(items)
        while todo:
            nonterminal, production, dot, origin = todo.pop()
            found: list[Item] = []
            if dot < len(production):
                if production[dot] < 0:
                    expected = ~production[dot]
                    found = [(expected, rhs, 0, here) for rhs in self._rules(expected)]
            elif nonterminal != _GOAL and origin < here:
                found = self._advanced(history[origin], ~nonterminal)
            for item in found:
                if item not in items:
                    items.add(item)
                    todo.append(item)
        return frozenset(items)

    def _advanced(self, items: EarleySet, symbol: int) -> list[Item]:
        """The items that expect ``symbol``, moved over it."""
        return [(lhs, rhs, dot + 1, origin) for lhs, rhs, dot, origin in items if dot < len(rhs) and rhs[dot] == symbol]

    def _offered(self, items: EarleySet) -> set[int]:
        """The terminals that the lexer tries at this boundary."""
        return self._expected(items).union(self.grammar.tried) if items else set()

    def _expected(self, items: EarleySet) -> set[int]:
        """The terminals that may stand at this boundary: those that the parser expects, and the ignored ones."""
        expected = {rhs[dot] for _, rhs, dot, _ in items if dot < len(rhs) and rhs[dot] >= 0}
        return expected.union(self.grammar.ignored)

    def _takes(self, items: EarleySet, terminal: int) -> bool:
        """Can the parser go on with this terminal?"""
        return terminal in self._expected(items)

    def _is_complete(self, items: EarleySet) -> bool:
        return any(lhs == _GOAL and dot == len(rhs) for lhs, rhs, dot, _ in items)

    def _rules(self, nonterminal: int) -> Sequence[Production]:
        if nonterminal not in self._productions:
            self._productions[nonterminal] = self.grammar.productions(nonterminal)
        return self._productions[nonterminal]

    # -- bytes worth trying -----------------------------------------------------------------------------------------

    def _useful_bytes(self, state: State) -> list[int]:
        """Bytes that some thread could read, one for each stretch between the bounds of ranges."""
        threads: set[Thread] = set()
        if isinstance(state, UnorderedState):
            threads.update(thread for _, thread in state.threads)
        else:
            for hypothesis in state:
                threads.update(hypothesis.threads, hypothesis.monitors)
        cuts: set[int] = set()
        for terminal, position, _ in threads:
            low, high, _ = self._automaton(terminal).positions[position].tolist()
            cuts.update({low, high + 1})
        return sorted(cut for cut in cuts if cut < 256)

    # -- unordered lexing -------------------------------------------------------------------------------------------

    def _unordered_threads(self, history: History) -> frozenset[tuple[int, Thread]]:
        here = len(history) - 1
        return frozenset(
            (here, thread) for terminal in self._offered(history[here]) for thread in self._expand(terminal, 0, 0)
        )

    def _step_unordered(self, state: UnorderedState, byte: int) -> UnorderedState:
        text = state.text + bytes([byte])
        threads: set[tuple[int, Thread]] = set()
        seeds: set[Item] = set()
        for begin, thread in state.threads:
            for successor in self._read(thread, byte):
                terminal, position, _ = successor
                if position != MATCH:
                    threads.add((begin, successor))
                    continue
                if text[begin:] in self._terminal(terminal).excluded:
                    continue
                seeds.update(self._advanced(state.history[begin], terminal))
                if terminal in self.grammar.ignored:
                    seeds.update(state.history[begin])
        history = (*state.history, self._closure(state.history, seeds))
        return UnorderedState(text=text, history=history, threads=self._unordered_threads(history) | threads)

    # -- leftmost-first lexing --------------------------------------------------------------------------------------

    def _at_boundary(self, history: History, monitors: frozenset[Thread], behind: int = 0) -> list[Hypothesis]:
        """The hypotheses whose next lexeme is about to begin: the offered terminals in order, keywords set aside.

        ONE_BY_ONE: one hypothesis for each terminal, and one that nothing follows.
        """
        offered = self._offered(history[-1])
        begins = [
            self._begin(terminal, behind)
            for terminal in sorted(offered)
            if offered.isdisjoint(self._terminal(terminal).unless)
        ]
        if self.grammar.lexing is Lexing.LEFTMOST:
            begins = [[thread for threads in begins for thread in threads]]
        else:
            begins.append([])
        return [
            Hypothesis(history=history, text=b"", threads=tuple(threads), monitors=monitors, behind=behind)
            for threads in begins
        ]

    def _class_of(self, text: bytes) -> int:
        """The class of a text's last character; 0 if nobody asks."""
        if not self.grammar.behind:
            return 0
        last = text.decode()[-1]
        return next(number for number, members in enumerate(self.grammar.behind, 1) if last in members)

    def _live(self, state: Iterable[Hypothesis]) -> LeftmostState:
        """The hypotheses that a lexeme may still complete, or that may end here."""
        return frozenset(
            hypothesis
            for hypothesis in state
            if self._may_end(hypothesis)
            or any(self._leads_on(hypothesis, thread) for thread in hypothesis.threads if not self._decides(thread))
        )

    def _leads_on(self, hypothesis: Hypothesis, thread: Thread) -> bool:
        """Can a lexeme that begins like this be something that the parser takes?"""
        items = hypothesis.history[-1]
        return self._takes(items, thread[0]) or any(
            thread[0] in self._terminal(keyword).unless
            and self._takes(items, keyword)
            and self._begins(keyword, hypothesis.text)
            for keyword in self._offered(items)
        )

    def _step_leftmost(self, hypothesis: Hypothesis, byte: int) -> list[Hypothesis]:
        monitors: set[Thread] = set()
        for monitor in hypothesis.monitors:
            for after in self._read(monitor, byte):
                if after[1] in (MATCH, DECIDED):
                    return []
                monitors.update([after] if after[1] >= 0 else self._deciding(after, holds=True))

        text = hypothesis.text + bytes([byte])
        alive: dict[Thread, None] = {}  # ordered; the first of equal threads has the higher priority
        successors: list[Hypothesis] = []
        for thread in (after for before in hypothesis.threads for after in self._read(before, byte)):
            terminal, position, _ = thread
            if position >= 0:
                alive.setdefault(thread)
            elif position == DECIDED:
                break
            else:
                history = self._after_lexeme(hypothesis.history, terminal, text)
                fails = [] if position == MATCH else self._deciding(thread, holds=False)
                rivals = () if self._terminal(terminal).all_matches else alive
                if history is not None:
                    forbidden = frozenset(monitors.union(rivals, fails))
                    successors += self._at_boundary(history, forbidden, self._class_of(text))
                if position == MATCH:
                    break
                alive.update(dict.fromkeys(after for after in self._deciding(thread, holds=True) if after not in alive))
        if alive:
            successors.append(replace(hypothesis, text=text, threads=tuple(alive), monitors=frozenset(monitors)))
        return successors

    def _after_lexeme(self, history: History, terminal: int, text: bytes) -> History | None:
        """The history after a lexeme; None if it is a reserved word, or nothing that the parser expects.

        A terminal that is ignored never reaches the parser, as in Lark.
        """
        offered = self._offered(history[-1])
        for keyword in sorted(offered):
            if (
                terminal in self._terminal(keyword).unless
                and self._matches(keyword, text)
                and not self._is_reserved(keyword, text)
            ):
                terminal = keyword
                break
        else:
            if self._is_reserved(terminal, text):
                return None
        if terminal in self.grammar.ignored:
            return history
        seeds = self._advanced(history[-1], terminal)
        return (*history, self._closure(history, seeds)) if seeds else None
