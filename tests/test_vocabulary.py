"""The vocabulary class: roles of ids, validation, immutability, identity."""

import hashlib
import pickle
import struct

import pytest
from grammar_engine.compiler.errors import TokenizerError
from grammar_engine.compiler.vocabulary import Vocabulary
from hypothesis import given
from hypothesis import strategies as st


def test_special_stop_and_empty_tokens_have_no_bytes() -> None:
    vocabulary = Vocabulary([b"a", b"", None, b"</s>", b"<pad>"], stop_token_ids=[3], special_token_ids=[4])
    assert vocabulary.tokens == (b"a", None, None, None, None)
    assert vocabulary.stop_token_ids == (3,)
    assert vocabulary.special_token_ids == (4,)
    assert len(vocabulary) == vocabulary.size == 5


def test_ids_are_sorted_and_unique() -> None:
    vocabulary = Vocabulary([b"a"] * 9, stop_token_ids=[7, 2, 7], special_token_ids=[5, 1])
    assert vocabulary.stop_token_ids == (2, 7)
    assert vocabulary.special_token_ids == (1, 5)


def test_equal_bytes_are_kept_for_every_id() -> None:
    assert Vocabulary([b"a", b"a"]).tokens == (b"a", b"a")


def test_named_special_tokens_are_special_and_read_only() -> None:
    vocabulary = Vocabulary([b"a", b"<x>"], special_tokens={"<x>": 1})
    assert vocabulary.special_token_ids == (1,)
    assert vocabulary.tokens[1] is None
    with pytest.raises(TypeError):
        vocabulary.special_tokens["<y>"] = 0  # type: ignore[index]


@pytest.mark.parametrize("name", ["tokens", "stop_token_ids", "size", "fingerprint"])
def test_attributes_cannot_be_set(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Vocabulary([b"a"]), name, ())


def test_the_given_list_may_change_afterwards() -> None:
    tokens: list[bytes | None] = [b"a"]
    vocabulary = Vocabulary(tokens)
    tokens[0] = b"b"
    assert vocabulary.tokens == (b"a",)


@pytest.mark.parametrize(
    ("tokens", "stops", "message"),
    [
        ([], [], "at least one"),
        (b"abc", [], "sequence of bytes"),
        ("abc", [], "sequence of bytes"),
        (["a"], [], "token 0"),
        ([b"a", 7], [], "token 1"),
        ([b"a"], [1], "0 to 0"),
        ([b"a"], [-1], "0 to 0"),
        ([b"a"], ["0"], "not an integer"),
        ([b"a"], [True], "not an integer"),
    ],
)
def test_bad_arguments_are_named(tokens: object, stops: object, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        Vocabulary(tokens, stop_token_ids=stops)  # type: ignore[arg-type]


def test_decode_appends_bytes_and_skips_the_rest() -> None:
    vocabulary = Vocabulary([b"\xc3", b"\xa9", None, b"!"], stop_token_ids=[3])
    assert vocabulary.decode([0, 1, 2, 3]).decode() == "é"
    with pytest.raises(TokenizerError, match="4"):
        vocabulary.decode([4])
    with pytest.raises(TokenizerError, match="-1"):
        vocabulary.decode([-1])


def _slow_fingerprint(tokens: tuple[bytes | None, ...]) -> str:
    lengths = b"".join(struct.pack("<i", -1 if token is None else len(token)) for token in tokens)
    return hashlib.sha256(lengths + b"".join(token or b"" for token in tokens)).hexdigest()


@given(st.lists(st.none() | st.binary(max_size=3), min_size=1, max_size=6))
def test_fingerprint_follows_its_definition(tokens: list[bytes | None]) -> None:
    vocabulary = Vocabulary(tokens)
    assert vocabulary.fingerprint == _slow_fingerprint(vocabulary.tokens)


@given(st.lists(st.lists(st.none() | st.binary(max_size=2), min_size=1, max_size=3), min_size=2, max_size=2))
def test_fingerprints_are_equal_exactly_when_tokens_are(pair: list[list[bytes | None]]) -> None:
    first, second = map(Vocabulary, pair)
    assert (first.fingerprint == second.fingerprint) == (first.tokens == second.tokens)
    assert (first == second) == (first.tokens == second.tokens)


def test_equality_counts_stop_ids_but_the_fingerprint_does_not() -> None:
    first = Vocabulary([b"a", None], stop_token_ids=[1])
    second = Vocabulary([b"a", None])
    assert first.fingerprint == second.fingerprint
    assert first != second
    assert hash(first) == hash(Vocabulary([b"a", None], stop_token_ids=[1]))


def test_pickle_keeps_everything() -> None:
    vocabulary = Vocabulary([b"a", None], stop_token_ids=[1], special_tokens={"<s>": 1}, strips_leading_space=True)
    copy = pickle.loads(pickle.dumps(vocabulary))  # noqa: S301 (our own pickle)
    assert copy == vocabulary
    assert dict(copy.special_tokens) == {"<s>": 1}
