"""Grammars looked at from outside: samples, expectations, diagrams. The command line's commands stand on these."""
