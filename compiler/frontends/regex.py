"""A regular expression as a grammar: one terminal, matched as a whole."""

from __future__ import annotations

from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.errors import UnsatisfiableGrammarError
from grammar_engine.compiler.ir import EagerGrammar, Lexing, Terminal
from grammar_engine.compiler.spelling import to_utf8


def regex_grammar(pattern: str, *, flags: int = 0) -> EagerGrammar:
    """The texts for which ``re.fullmatch(pattern, text, flags)`` is not None.

    Errors: GrammarSyntaxError (not a pattern), UnsupportedGrammarError (back-references, conditional and atomic
    groups, possessive quantifiers), UnsatisfiableGrammarError (it matches nothing), LimitExceededError (it
    unrolls too far).
    """
    if not isinstance(pattern, str):
        raise TypeError(f"a pattern is a str, not {type(pattern).__name__}")
    automaton = CharAutomaton.from_regex(pattern, flags=flags)
    if automaton.is_empty():
        raise UnsatisfiableGrammarError("it matches no text", place=f"the regular expression {pattern!r}")
    return one_terminal(automaton, name="REGEX")


def one_terminal(automaton: CharAutomaton, *, name: str) -> EagerGrammar:
    """The grammar of a language that holds at least one text. An automaton of the empty text alone has no terminal:
    its only rule is never completed, and the grammar accepts the empty text.
    """
    accepts_empty = automaton.accepts_empty()
    if accepts_empty and not any(edge.label for edge in automaton.states[0]):
        return EagerGrammar(start=0, rules=((),), terminals=(), lexing=Lexing.UNORDERED, accepts_empty=True)
    terminal = Terminal(name=name, automaton=to_utf8(automaton))
    return EagerGrammar(
        start=0, rules=(((0,),),), terminals=(terminal,), lexing=Lexing.UNORDERED, accepts_empty=accepts_empty
    )
