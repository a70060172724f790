"""PROXY protocol version 2, byte by byte as its specification has it."""

from __future__ import annotations

import pytest

from operations.remote import site_check
from rehearsal.proxy_protocol import LOCAL, header


def test_the_header_of_a_client():
    assert header(("198.51.100.7", 50000), ("10.20.15.250", 443)) == bytes.fromhex(
        "0d0a0d0a000d0a515549540a"  # signature
        "21"  # version 2, command PROXY
        "11"  # TCP over IPv4
        "000c"  # twelve bytes follow
        "c6336407"  # 198.51.100.7
        "0a140ffa"  # 10.20.15.250
        "c350"  # 50000
        "01bb"  # 443
    )


def test_the_header_of_a_health_check():
    assert bytes.fromhex("0d0a0d0a000d0a515549540a20000000") == LOCAL == site_check.PROXY_LOCAL


def test_only_ipv4():
    with pytest.raises(ValueError, match="2001:db8::1"):
        header(("2001:db8::1", 1), ("10.20.15.250", 443))
