"""Counting in GTID sets, against counting by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.gtid import intervals, missing

A, B = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"


@pytest.mark.parametrize(
    "ahead,behind,count",
    [
        ("", "", 0),
        (f"{A}:1-100", f"{A}:1-90", 10),
        (f"{A}:1-100", "", 100),
        (f"{A}:1-100", f"{A}:1-100,{B}:1-5", 0),
        (f"{A}:1-10:20-29", f"{A}:5-24", 9),
        (f"{A}:7", f"{A.upper()}:7", 0),
        (f"{A}:1-3,\n{B}:1-2", f"{B}:2", 4),
        (f"{A}:1-3:tag_1:1-4", f"{A}:1-3", 4),
        (f"{A}:1-3:tag_1:1-4", f"{A}:tag_1:1-4", 3),
    ],
)
def test_missing(ahead, behind, count):
    assert missing(ahead, behind) == count


@pytest.mark.parametrize("text", [A, f"{A}:x-y", f"{A}:1-", f"{A}:-3", "nonsense"])
def test_no_gtid_set(text):
    with pytest.raises(ValueError, match="not part of a GTID set"):
        intervals(text)


numbers = st.sets(st.integers(1, 60), max_size=40)


def written(members):
    """As MySQL writes it: merged intervals."""
    runs, last = [], None
    for number in sorted(members):
        if last is not None and number == last + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
        last = number
    return f"{A}:" + ":".join(f"{a}-{b}" if b > a else str(a) for a, b in runs) if runs else ""


@given(numbers, numbers)
def test_as_sets(ahead, behind):
    assert missing(written(ahead), written(behind)) == len(ahead - behind)
