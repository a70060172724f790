"""What mysqlbinlog's text says of a binary log."""

from __future__ import annotations

import io

import pytest

from userdata.host.binlog import LINE_CHARACTERS, Transaction, lines, parse

UUID = "6f2a0d0e-6f0e-4f57-9d1b-7a7b5f6d3c11"

TEXT = f"""#261124 10:00:00 server id 1  end_log_pos 127 CRC32 0x1 \tStart: binlog v 4, server v 9.7.4 created
#261124 10:00:00 server id 1  end_log_pos 197 CRC32 0x2 \tPrevious-GTIDs
# {UUID}:1-5:1000001-1000003,
# 7f2a0d0e-6f0e-4f57-9d1b-7a7b5f6d3c11:1
# at 197
#261124 10:00:01 server id 1  end_log_pos 276 CRC32 0x3 \tGTID\tlast_committed=0\tsequence_number=1\t\
rbr_only=yes\toriginal_committed_timestamp=1795514401000123\timmediate_commit_timestamp=1795514401000999\t\
transaction_length=300
SET @@SESSION.GTID_NEXT= '{UUID}:6'/*!*/;
#261124 10:00:01 server id 1  end_log_pos 350 CRC32 0x4 \tQuery\tthread_id=1\texec_time=0
INSERT INTO t VALUES ('
SET @@SESSION.GTID_NEXT= '{UUID}:666'/*!*/;
')
#261124 10:00:02 server id 1  end_log_pos 400 CRC32 0x5 \tGTID\tlast_committed=1\tsequence_number=2\t\
rbr_only=no\toriginal_committed_timestamp=0\timmediate_commit_timestamp=1795514402000000\ttransaction_length=9
SET @@SESSION.GTID_NEXT= '{UUID}:7'/*!*/;
"""


def test_the_text_of_mysqlbinlog_is_read():
    found: list[Transaction] = []
    previous = parse(TEXT.splitlines(keepends=True), found.append)
    assert str(previous) == f"{UUID}:1-5:1000001-1000003,7f2a0d0e-6f0e-4f57-9d1b-7a7b5f6d3c11:1"
    assert found == [
        Transaction(f"{UUID}:6", 1795514401000123),
        Transaction(f"{UUID}:7", 1795514402000000),
    ]


@pytest.mark.parametrize("more", [-1, 0, 1, LINE_CHARACTERS])
@pytest.mark.parametrize("end", ["", "\n", "\nnext\n"])
def test_a_very_long_line_is_cut_unless_it_may_be_a_set_of_gtids(more: int, end: str):
    for mark, whole_line in (("INSERT ", False), ("# ", True)):
        line = mark + "x" * (LINE_CHARACTERS + more - len(mark))
        first, *others = lines(io.StringIO(line + end))
        kept = line if whole_line else line[:LINE_CHARACTERS]
        assert first.rstrip("\n") == kept
        assert others == (["next\n"] if "next" in end else [])
