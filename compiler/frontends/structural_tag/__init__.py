"""Structural tags → grammar: free text with constrained regions in it, opened by triggers (docs/structural_tags.md).

reading.py (JSON → formats.py) → composing.py (rules around free_text.py's automata and other front ends' grammars),
with separation.py: whether it can be told from the text alone where a guarded JSON value begins.
"""
