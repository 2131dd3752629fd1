"""SentencePiece models: the ModelProto read from the protobuf wire format, and ``SentencePieceProcessor`` objects.

What a piece appends when it stands in mid-text:

    NORMAL, USER_DEFINED   its spelling, with U+2581 for a space
    BYTE                   the byte that it names: ``<0x0A>``
    CONTROL, UNKNOWN       nothing: special
    UNUSED                 nothing: encoding never produces it

A USER_DEFINED piece is text to SentencePiece, but chat models store their end-of-turn tokens as such; those named in
``table.END_OF_TURN`` are taken as special.

Wire format: https://protobuf.dev/programming-guides/encoding; field numbers: sentencepiece_model.proto.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from grammar_engine.compiler.errors import TokenizerError
from grammar_engine.compiler.tokenizers.table import END_OF_TURN, TokenTable, end_of_turn_ids, read_file

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)
_BYTE_PIECE = re.compile(rb"<0x([0-9A-Fa-f]{2})>")
_SPACE = "\u2581".encode()


def read(source: object) -> TokenTable:
    """Read a .model file (plain or gzip), or an object with ``serialized_model_proto()``.

    Raises:
        TokenizerError: the source is neither, is damaged, or decodes in a way that token bytes cannot express.
    """
    if isinstance(source, (str, os.PathLike)):
        return parse(read_file(source), os.fspath(source))
    # transformers' slow tokenizers hold the processor in `sp_model`
    serialize = getattr(getattr(source, "sp_model", source), "serialized_model_proto", None)
    if not callable(serialize):
        raise TokenizerError(f"{type(source).__name__} is neither a path nor a SentencePiece processor")
    return parse(bytes(serialize()), type(source).__name__)


def parse(data: bytes, name: str) -> TokenTable:
    """Parse a serialized ModelProto; ``name`` says where it came from, for errors.

    Raises:
        TokenizerError: see ``read``.
    """
    pieces: list[tuple[bytes, int]] = []
    trainer = normalizer = denormalizer = b""
    try:
        for field, value in _fields(data):
            if field == 1:
                pieces.append(_piece(_submessage(value)))
            elif field == 2:
                trainer = _submessage(value)
            elif field == 3:
                normalizer = _submessage(value)
            elif field == 5:
                denormalizer = _submessage(value)
        options = dict(_fields(trainer))
        normalizing = dict(_fields(normalizer))
        denormalizing = dict(_fields(denormalizer))
    except (ValueError, IndexError) as error:
        raise TokenizerError(f"{name} is not a SentencePiece model: {error}") from error
    if not pieces:
        raise TokenizerError(f"{name} is not a SentencePiece model: it has no pieces")
    if options.get(24):
        raise TokenizerError(f"{name}: treat_whitespace_as_suffix is not supported (decoding drops the last space)")
    if denormalizing.get(2):
        raise TokenizerError(f"{name}: a denormalizer is not supported (it rewrites the decoded text)")

    tokens: list[bytes | None] = []
    special: dict[str, int] = {}
    hidden: list[int] = []
    for token_id, (piece, kind) in enumerate(pieces):
        if kind == _NORMAL:
            tokens.append(piece.replace(_SPACE, b" "))
            continue
        text = piece.decode("utf-8", "replace")
        if kind == _BYTE:
            match = _BYTE_PIECE.fullmatch(piece)
            if match is None:
                raise TokenizerError(f"{name}: piece {token_id} is a byte piece, but is spelled {text!r}")
            tokens.append(bytes.fromhex(match[1].decode()))
        elif kind == _USER_DEFINED and text not in END_OF_TURN:
            tokens.append(piece.replace(_SPACE, b" "))
        elif kind == _UNUSED:
            hidden.append(token_id)
            tokens.append(None)
        elif kind in (_UNKNOWN, _CONTROL, _USER_DEFINED):
            special[text] = token_id
            hidden.append(token_id)
            tokens.append(None)
        else:
            raise TokenizerError(f"{name}: piece {token_id} has the unknown type {kind}")
    end = _signed(options.get(42, 2))
    stops = set(end_of_turn_ids(special))
    if 0 <= end < len(tokens) and pieces[end][1] == _CONTROL:
        stops.add(end)
    return TokenTable(
        tokens=tokens,
        special_tokens=special,
        special_token_ids=frozenset(hidden),
        stop_token_ids=frozenset(stops),
        # add_dummy_prefix and remove_extra_whitespaces, both on by default, make the decoder drop the first space
        strips_leading_space=bool(normalizing.get(3, 1)) or bool(normalizing.get(4, 1)),
    )


def _piece(message: bytes) -> tuple[bytes, int]:
    """The spelling and type of a SentencePiece message."""
    # The usual layout, at once: tag 1, a length below 128, the spelling; tag 2, a float; perhaps tag 3, the type.
    if len(message) > 1 and message[0] == 0x0A and message[1] < 0x80:
        end = 2 + message[1]
        rest = message[end:]
        if len(rest) == 5 and rest[0] == 0x15:
            return message[2:end], _NORMAL
        if len(rest) == 7 and rest[0] == 0x15 and rest[5] == 0x18 and rest[6] < 0x80:
            return message[2:end], rest[6]
    fields = dict(_fields(message))
    kind = fields.get(3, _NORMAL)
    if not isinstance(kind, int):
        raise TokenizerError("the type of a SentencePiece piece is not a number")
    return _submessage(fields.get(1, b"")), kind


def _submessage(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise TokenizerError("not a SentencePiece model: a number stands where a message should")
    return value


def _signed(value: int | bytes) -> int:
    """A protobuf int32: negative numbers travel as 64-bit two's complement."""
    if not isinstance(value, int):
        raise TokenizerError("the SentencePiece model's eos_id is not a number")
    return value - (1 << 64) if value >> 63 else value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of one message in order: (number, integer or bytes)."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("a field has the number 0")
        value: int | bytes
        if wire == 0:
            value, position = _varint(data, position)
        elif wire == 2:
            length, position = _varint(data, position)
            value, position = data[position : position + length], position + length
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
            value, position = data[position : position + length], position + length
        else:
            raise ValueError(f"wire type {wire} is not used by protobuf messages")
        if position > end:
            raise ValueError("the file ends inside a field")
        yield number, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """The integer at ``position`` and the position behind it."""
    value = shift = 0
    while True:
        if position >= len(data):
            raise ValueError("the file ends inside a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
