"""The command line, ``grammar-engine``: one module per command, ``main`` puts them together."""
