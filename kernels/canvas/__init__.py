"""Kernels of canvases: sets of stacks, what parsers do to them, steps over slots. Compiled apart from the engine's."""
