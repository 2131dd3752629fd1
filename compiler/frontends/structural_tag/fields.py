"""The fields of one JSON object of a structural tag, each asked for by its type; errors say where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedGrammarError


class Fields:
    """One object, and where it stands."""

    def __init__(self, value: object, pointer: str) -> None:
        if not isinstance(value, Mapping):
            raise InvalidSchemaError(f"expected an object, not {type(value).__name__}", pointer=pointer)
        self._value = value
        self.pointer = pointer

    def __contains__(self, name: str) -> bool:
        return name in self._value

    def __getitem__(self, name: str) -> object:
        """A field that must be there."""
        if name not in self._value:
            raise InvalidSchemaError(f"{name!r} is missing", pointer=self.pointer)
        return self._value[name]

    def only(self, *known: str) -> None:
        """Refuse all other fields."""
        for name in self._value:
            if name not in known:
                raise UnsupportedGrammarError(
                    f"the field {name!r}", place=f"{self.pointer}/{name}", advice=f"Known are {', '.join(known)}."
                )

    def unsupported(self, name: str, harmless: Sequence[object], advice: str) -> None:
        """Refuse a field, unless its value asks for nothing."""
        if self._value.get(name) not in harmless:
            raise UnsupportedGrammarError(f"the field {name!r}", place=f"{self.pointer}/{name}", advice=advice)

    def constant(self, name: str, value: str) -> None:
        """A field that must be there with one value."""
        if self[name] != value:
            raise InvalidSchemaError(f"expected {value!r}, not {self[name]!r}", pointer=f"{self.pointer}/{name}")

    def string(self, name: str, *, default: str | None = None) -> str:
        """A text."""
        value = self[name] if default is None else self._value.get(name, default)
        return self._text(value, f"{self.pointer}/{name}")

    def strings(self, name: str, *, may_be_empty: bool = False) -> list[str]:
        """A list of texts; none if it is absent."""
        texts: list[str] = []
        for i, value in enumerate(self.array(name, default=())):
            pointer = f"{self.pointer}/{name}/{i}"
            text = self._text(value, pointer)
            if not text and not may_be_empty:
                raise InvalidSchemaError("it is empty", pointer=pointer)
            texts.append(text)
        return texts

    def array(self, name: str, *, default: Sequence[object] | None = None) -> Sequence[object]:
        """A list."""
        value = self[name] if default is None else self._value.get(name, default)
        if not isinstance(value, (list, tuple)):
            raise InvalidSchemaError(f"expected a list, not {type(value).__name__}", pointer=f"{self.pointer}/{name}")
        return value

    def boolean(self, name: str, *, default: bool = False) -> bool:
        """True or false."""
        value = self._value.get(name, default)
        if not isinstance(value, bool):
            raise InvalidSchemaError(f"expected true or false, not {value!r}", pointer=f"{self.pointer}/{name}")
        return value

    def integer(self, name: str) -> int:
        """An integer that must be there."""
        value = self[name]
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidSchemaError(f"expected an integer, not {value!r}", pointer=f"{self.pointer}/{name}")
        return value

    def count(self, name: str) -> int | None:
        """A number of something; None if it is absent or null."""
        if self._value.get(name) is None:
            return None
        value = self.integer(name)
        if value < 0:
            raise InvalidSchemaError(f"{value} is negative", pointer=f"{self.pointer}/{name}")
        return value

    @staticmethod
    def _text(value: object, pointer: str) -> str:
        if not isinstance(value, str):
            raise InvalidSchemaError(f"expected a text, not {type(value).__name__}", pointer=pointer)
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidSchemaError("a lone surrogate is in it, which no text holds", pointer=pointer) from error
        return value
