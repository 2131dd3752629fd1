"""Vocabularies for users: the class and the readers behind its ``from_…`` constructors."""

from grammar_engine.compiler.tokenizers.table import TokenTable
from grammar_engine.compiler.vocabulary import Vocabulary

__all__ = ["TokenTable", "Vocabulary"]
