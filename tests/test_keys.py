"""The keys of carts and screens: one form for who makes them, who checks them and who reads them off a request."""

import pytest

from duckycart.keys import MAX_KEY, MIN_KEY, bearer, hash_of, is_key, new_key


def test_what_is_made_is_a_key_and_new_each_time() -> None:
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(map(is_key, made))


@pytest.mark.parametrize("text", ["", "a" * (MIN_KEY - 1), "a" * (MAX_KEY + 1), "a" * 40 + "\n", "ä" * 40, "e.y" * 20])
def test_what_is_no_key(text: str) -> None:
    assert not is_key(text)


def test_what_is_kept_of_a_key_is_a_digest() -> None:
    assert len(hash_of("a" * 40)) == 32
    assert hash_of("a" * 40) != hash_of("b" * 40)


@pytest.mark.parametrize(
    ("header", "credential"),
    [(None, None), ("", None), ("Bearer", None), ("Bearer  ", None), ("Basic abc", None), ("bearer abc ", "abc")],
)
def test_what_a_bearer_header_carries(header: str | None, credential: str | None) -> None:
    assert bearer(header) == credential
