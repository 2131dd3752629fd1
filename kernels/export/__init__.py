"""Kernels that write whole automata out as tables. They stand apart from the engine's, which are compiled together."""
