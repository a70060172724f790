from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInputError
from app.validation import new_key, valid_key, valid_number, valid_text


@pytest.mark.parametrize("text", ["a", "x" * 500, "🌿" * 500, "two\nlines", "  kept as it is  ", "tab\there"])
def test_texts_that_are_kept(text):
    assert valid_text(text) == text


def test_line_ends_of_forms_become_newlines():
    assert valid_text("one\r\ntwo\rthree") == "one\ntwo\nthree"


@pytest.mark.parametrize("text", [None, 3, [], "", "   \n", "x" * 501, "nul\0", "bell\a", "\ud800"])
def test_texts_that_are_refused(text):
    with pytest.raises(InvalidInputError):
        valid_text(text)


@pytest.mark.parametrize("key", ["a", "A-b_9", "x" * 64])
def test_keys_that_are_kept(key):
    assert valid_key(key) == key


@pytest.mark.parametrize("key", [None, 1, "", "x" * 65, "a b", "a/b", "é", "a\n", "٣"])
def test_keys_that_are_refused(key):
    with pytest.raises(InvalidInputError):
        valid_key(key)


def test_new_keys_are_valid_and_differ():
    keys = {valid_key(new_key()) for _ in range(100)}
    assert len(keys) == 100


@pytest.mark.parametrize("value", ["", "-1", "0", "1001", "1.0", "٣", " 3", "9" * 30])
def test_numbers_that_are_refused(value):
    with pytest.raises(InvalidInputError, match="limit must be a number from 1 to 1000"):
        valid_number("limit", value, 1, 1000)


@given(st.text(max_size=600))
def test_an_accepted_text_fits_its_column(text):
    try:
        kept = valid_text(text)
    except InvalidInputError:
        return
    assert 1 <= len(kept) <= 500
    assert "\r" not in kept
    assert kept.encode("utf-8").decode("utf-8") == kept
