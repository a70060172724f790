"""Token and claims in an emulated parameter store."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws

from userdata.host import group_registry
from userdata.host.group_decision import Registry, Token
from userdata.host.group_registry import ParameterStore

PATH = "/tripod/dev/group"


@pytest.fixture
def ssm(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        yield boto3.client("ssm", region_name="eu-central-1")


def store(ssm, server="server-1"):
    return ParameterStore(PATH, server, "eu-central-1", ssm)


def test_a_new_stack_has_neither(ssm):
    assert store(ssm).read() == Registry()


def test_one_server_creates_the_token(ssm):
    assert store(ssm, "server-2").create_token()
    assert not store(ssm, "server-1").create_token()
    assert store(ssm).read().token == Token("server-2", complete=False)
    value = json.loads(ssm.get_parameter(Name=f"{PATH}/initialised")["Parameter"]["Value"])
    assert value["server"] == "server-2"
    assert datetime.fromisoformat(value["at"]).tzinfo


def test_one_server_makes_a_claim(ssm):
    assert store(ssm, "server-3").create_claim(1)
    assert not store(ssm, "server-1").create_claim(1)
    claim = store(ssm).read().claim
    assert (claim.number, claim.server, claim.done) == (1, "server-3", False)
    assert claim.age < 5


def test_each_claim_names_a_group_that_never_was(ssm):
    names = []
    for number in (1, 2):
        store(ssm).create_claim(number)
        names.append(store(ssm).read().claim.group_name)
        assert store(ssm).read().claim.group_name == names[-1], "one claim, one name"
    assert len({uuid.UUID(name) for name in names}) == 2


def test_the_greatest_number_counts_beyond_a_page(ssm):
    for number in range(1, 13):
        store(ssm, f"server-{number}").create_claim(number)
    assert store(ssm).read().claim.number == 12


def test_complete_is_said_once_and_of_the_last_claim(ssm):
    one = store(ssm)
    one.create_token()
    one.create_claim(1)
    one.create_claim(2)
    one.complete(one.read())
    registry = one.read()
    assert registry.token == Token("server-1", complete=True)
    assert (registry.claim.number, registry.claim.done) == (2, True)
    store(ssm, "server-2").complete(registry)
    assert one.read().token == registry.token
    one.create_claim(3)
    assert not one.read().claim.done


def test_a_claim_s_age_is_by_the_parameter_store_s_clock(ssm):
    store(ssm).create_claim(1)
    with patch.object(group_registry, "_date", lambda page: datetime.now(UTC) + timedelta(seconds=90)):
        assert 85 < store(ssm).read().claim.age < 95
    with patch.object(group_registry, "_date", lambda page: datetime.now(UTC) - timedelta(seconds=90)):
        assert store(ssm).read().claim.age == 0.0


def test_the_answer_s_date_is_read():
    page = {"ResponseMetadata": {"HTTPHeaders": {"date": "Tue, 24 Nov 2026 05:54:00 GMT"}}}
    assert group_registry._date(page) == datetime(2026, 11, 24, 5, 54, tzinfo=UTC)


def test_a_parameter_store_that_refuses_is_an_error(ssm):
    one = store(ssm)
    full = ssm.exceptions.ParameterLimitExceeded({}, "PutParameter")
    with patch.object(ssm, "put_parameter", side_effect=full), pytest.raises(group_registry.RegistryError):
        one.create_token()
