"""The audit: one line for each apply that changed something or failed, and no content of any file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.host.fakes import CFG, Site, fails, make, upload
from userdata.host.errors import StepError


def lines(site: Site) -> list[dict[str, Any]]:
    assert {identifier for identifier, _ in site.machine.journal} <= {"tripod-apply"}
    return [json.loads(text) for _, text in site.machine.journal]


def test_an_apply_says_what_it_changed(site: Site) -> None:
    bundle = make()
    upload(site.s3, bundle)
    site.apply()
    (line,) = lines(site)
    assert line["ok"]
    assert (line["server"], line["by"], line["before"], line["digest"]) == ("server-1", "command", None, bundle.digest)
    assert CFG in line["paths"]
    assert "restart haproxy.service" in line["actions"]


def test_an_apply_that_changes_nothing_says_nothing(applied: Site) -> None:
    applied.machine.journal.clear()
    applied.apply()
    assert lines(applied) == []


def test_a_refused_apply_says_why_and_what_runs(applied: Site) -> None:
    applied.machine.journal.clear()
    upload(applied.s3, make("global\n  nonsense\n"))
    applied.machine.faults.append(fails("haproxy", output="unknown keyword 'nonsense'"))
    with pytest.raises(StepError):
        applied.apply()
    (line,) = lines(applied)
    assert not line["ok"]
    assert "unknown keyword" in line["error"]
    assert line["digest"] == line["before"] == make().digest


def test_no_content_is_told(site: Site) -> None:
    upload(site.s3, make("global\n  # very-special-content\n"))
    site.apply()
    text = json.dumps(lines(site))
    assert "hush" not in text, "the secret of the fake site"
    assert "very-special-content" not in text
