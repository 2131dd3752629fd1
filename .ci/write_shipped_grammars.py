"""Write compiler/shipped_grammars.bin anew: before a release, if a shipped grammar or Lark's front end has changed.

Until then what has changed is compiled when it is asked for.
"""

from __future__ import annotations

import time

from grammar_engine.compiler import shipped_grammars
from grammar_engine.compiler.frontends.lark import load_lark_grammar
from grammar_engine.compiler.frontends.lark_source import LarkGrammar, LarkSource, read_lark_source

from grammar_engine import grammars

SLOW = 0.03  # seconds; what compiles faster need not be kept

kept: list[tuple[LarkSource, LarkGrammar]] = []
for name in grammars.shipped_names():
    source = read_lark_source(name)
    began = time.thread_time()
    grammar = load_lark_grammar(source)
    if time.thread_time() - began > SLOW:
        kept.append((source, grammar))
shipped_grammars.write(shipped_grammars.PATH, kept)
