"""Front ends: each turns one kind of source into a ``compiler.ir.Grammar``."""
