"""GTID sets: MySQL's text form, and set arithmetic compared with Python's own sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userdata.host import gtid
from userdata.host.gtid import Gathering, GtidSet

A = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
B = "8f97b61a-e7cc-11f1-b818-be7a05740ef5"

members = st.sets(st.tuples(st.sampled_from([A, B, f"{A}:app"]), st.integers(1, 30)))


def gtids(of: set[tuple[str, int]]) -> GtidSet:
    return GtidSet.parse(",".join(f"{source}:{number}" for source, number in of))


@pytest.mark.parametrize(
    "text,normal",
    [
        ("", ""),
        (f"{A}:1", f"{A}:1"),
        (f"{A}:1-5:7-9", f"{A}:1-5:7-9"),
        (f"{A.upper()}:3-5:1-2", f"{A}:1-5"),
        (f"{A}:1-3,\n{B}:4", f"{A}:1-3,{B}:4"),
        (f"{A}:1:app:2-3:other:4", f"{A}:1,{A}:app:2-3,{A}:other:4"),
        (f"{A}:5-4", ""),
    ],
)
def test_reads_and_writes_mysqls_form(text, normal):
    assert str(GtidSet.parse(text)) == normal
    assert GtidSet.parse(normal) == GtidSet.parse(text)


@pytest.mark.parametrize("text", ["x", A, f"{A}:0", f"{A}:1-", f"{A}:-1", f"{A}:1--2", f"{A}:9a:1", "1:2"])
def test_refuses_anything_else(text):
    with pytest.raises(ValueError, match="not a GTID set"):
        GtidSet.parse(text)


@given(members, members)
def test_behaves_like_a_set(left, right):
    assert gtids(left) | gtids(right) == gtids(left | right)
    assert gtids(left) - gtids(right) == gtids(left - right)
    assert (gtids(left) <= gtids(right)) == (left <= right)
    assert bool(gtids(left)) == bool(left)
    assert GtidSet.parse(str(gtids(left))) == gtids(left)


@given(st.lists(st.tuples(st.sampled_from([A, B, f"{A}:app"]), st.integers(1, 30))))
def test_a_set_that_grows_in_any_order_is_the_same(added):
    gathering = Gathering()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gtid, "LOOSE", 3)
        gathering._join_at = gtid.LOOSE
        for source, number in added:
            gathering.add(f"{source}:{number}")
    assert gathering.whole() == gtids(set(added))
    assert gathering.whole().count == len(set(added))


@pytest.mark.parametrize("text", ["x", f"{A}:0", f"{A}:1-2", f"{A}:-1", "x:1", f"{A}:"])
def test_nothing_but_a_transaction_makes_it_grow(text):
    def gather() -> None:
        gathering = Gathering()
        gathering.add(text)
        gathering.whole()

    with pytest.raises(ValueError, match=r"not a GTID set|invalid literal"):
        gather()
