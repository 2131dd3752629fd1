"""GBNF, the grammar notation of llama.cpp, and the EBNF of XGrammar, a dialect of it: see docs/gbnf.md.

``parser.py`` text → trees (``tree.py``) → ``linear.py`` recursion that is only repetition becomes repetition, regular
rules are put where they are used → ``lowering.py`` productions over large terminals → ``grammar.py``.
"""
