"""What is odd about a grammar that compiles: one module per question, ``lint.py`` asks them all."""
