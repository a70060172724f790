"""One message for all faults: those of shape do not hide those of meaning, and nothing is told that is not there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.topology.test_bad_configurations import APPLICATION, CORPUS
from topology.problems import ConfigurationError, Problem
from topology.reading import read_configuration
from topology.settings import Settings

LB, APP, DB = "load_balancer", "app", "database"
REGION = {"aws:region": "eu-west-1"}


def server(name: object, *roles: str, **more: object) -> dict[str, object]:
    return {"name": name, "roles": list(roles), **more}


def keyed(settings: dict[str, object]) -> dict[str, object]:
    return {f"tripod:{key}": value for key, value in settings.items()}


def faults(config: dict[str, Any], stack: str = "test") -> dict[str, str]:
    """What is said of each key."""
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(config, stack)
    assert len(caught.value.problems) == len(set(caught.value.problems)), str(caught.value)
    return {problem.key: f"{problem.found}. {problem.mend}" for problem in caught.value.problems}


def found(stack: str = "test", **settings: object) -> set[str]:
    return set(faults({**REGION, **keyed(settings)}, stack))


def test_what_is_right_is_read() -> None:
    read = read_configuration({**REGION, "aws:profile": "web", "random:seed": 1, "tripod:rootVolumeGib": "20"}, "test")
    assert (read.region, read.settings.root_volume_gib, len(read.topology.servers)) == ("eu-west-1", 20, 3)


def test_faults_of_shape_and_of_meaning_are_told_together() -> None:
    assert found(
        "Bad_Name", preset="triple", verify="perhaps", domain="not a host", image="ubuntu", networkCidr="8.8.8.0/24"
    ) == {"preset", "verify", "domain", "image", "networkCidr", "(stack)"}


def test_a_bad_server_hides_nothing_of_its_neighbours() -> None:
    servers = [
        server("a-1", LB, APP, DB, "web"),
        server("b-2", APP, address="10.99.0.1"),
        {**server("c-3", APP), "adress": "x"},
        server("Web_4", APP),
    ]
    keys = {"servers[0].roles[3]", "servers[1].address", "servers[2].adress", "servers[3].name"}
    # The roles of the first one are not known: whether there is a database server, nobody can say.
    assert found(servers=servers) == keys


def test_of_a_list_without_a_good_entry_nothing_more_is_told() -> None:
    servers = [server("a-1", LB, APP, DB, "web"), server(7, APP)]
    assert found(servers=servers, preferredPrimary="a-1", edge="floating-eip", image="x") == {
        "servers[0].roles[3]",
        "servers[1].name",
        "image",
    }


def test_what_is_left_out_is_no_fault_of_its_own() -> None:
    # With the default for keepDays the lock would be too long; who wrote keepDays meant something else.
    assert found(backup={"keepDays": "sixty", "objectLockDays": 40}) == {"backup.keepDays"}
    assert found(backup={"keepdays": 60, "objectLockDays": 40}) == {"backup.keepdays"}
    assert found(backup={"hour": 24, "objectLockDays": 40}) == {"backup.hour", "backup.objectLockDays"}
    assert found(tls={"mode": "own", "certificateParameter": "/a", "keyParameter": "/b"}) == {"tls.mode"}
    assert found(preset="triple", edge="floating-eip", preferredPrimary="server-9") == {"preset"}
    assert found(zones="eu-west-1b", servers=[server("a-1", LB, APP, DB, zone="eu-west-1d")]) == {"zones"}


def test_a_part_of_the_application_hides_nothing_of_the_rest() -> None:
    application = {**APPLICATION, "port": "http", "sha256": "latest", "ports": 9000}
    application.pop("health")
    assert found(application=application) == {
        "application.port",
        "application.sha256",
        "application.ports",
        "application.health",
    }


def test_subscribers_are_counted_as_the_file_has_them() -> None:
    subscriptions = [{"protocol": "fax", "endpoint": "1"}, {"protocol": "email", "endpoint": "oncall"}]
    assert found(alerts={"subscriptions": subscriptions}) == {
        "alerts.subscriptions[0].protocol",
        "alerts.subscriptions[1].endpoint",
    }


def test_the_engines_text_is_read_as_the_files_values_are() -> None:
    text = '[{"name": "a-1", "roles": ["web"]}, {"name": "b-2", "roles": ["app"], "zone": "eu-west-1q"}]'
    assert found(servers=text) == {"servers[0].roles[0]", "servers[1].zone"}


def test_a_server_without_a_number_is_told_all_at_once() -> None:
    said = faults({**REGION, **keyed({"servers": [server("web", LB, APP, DB)]})})
    assert list(said) == ["servers[0].zone"]
    assert said["servers[0].zone"] == (
        "web has no number at its end to choose a zone and an address by. "
        "Name a zone (eu-west-1a, eu-west-1b, eu-west-1c), and an 'address' in it"
    )


def test_without_a_network_a_wrong_zone_is_still_told() -> None:
    servers = [server("a-1", LB, APP, DB, zone="us-east-1a"), server("b-99999", APP)]
    assert found(networkCidr="10.0.0.0/8", servers=servers) == {"networkCidr", "servers[0].zone"}


# Judged by themselves: the others can cure a fault, as a preset does that fits the edge.
ALONE = [
    (key, raw)
    for raw, *_ in CORPUS.values()
    for key in raw
    if len(raw) == 1 and key not in {"servers", "preset", "edge", "zones", "preferredPrimary", "hostedZoneId", "domain"}
]


@given(st.lists(st.sampled_from(ALONE), min_size=2, max_size=5, unique_by=lambda case: case[0]))
def test_any_faults_of_different_keys_are_told_together(cases: list[tuple[str, dict[str, object]]]) -> None:
    together = {key: value for _, raw in cases for key, value in raw.items()}
    assert found(**together) == {key for _, raw in cases for key in found(**raw)}


@pytest.mark.parametrize(
    "region, said",
    [
        (None, "no region is named. Run: pulumi config set aws:region us-east-1"),
        ("", "no region is named. Run: pulumi config set aws:region us-east-1"),
        ("no where", "'no where' is not the name of a region. Write one region's name, such as eu-central-1"),
        (["eu-west-1"], "['eu-west-1'] is not the name of a region. Write one region's name, such as eu-central-1"),
        ("eu-west", "'eu-west' is not the name of a region. Write one region's name, such as eu-central-1"),
    ],
)
def test_a_region_is_needed_and_its_lack_hides_nothing(region: object, said: str) -> None:
    servers = [server("a-1", LB, APP, DB, zone="eu-west-1a")]
    config = {"aws:region": region, **keyed({"zones": ["eu-west-1a"], "image": "x", "servers": servers})}
    assert faults(config).pop("aws:region") == said
    assert set(faults(config)) == {"aws:region", "image"}


@pytest.mark.parametrize("region", ["eu-central-1", "us-gov-west-1", "ap-southeast-7", "us-iso-east-1", "cn-north-1"])
def test_every_form_of_region_is_taken(region: str) -> None:
    assert read_configuration({"aws:region": region}, "test").topology.region == region


@pytest.mark.parametrize("zone", ["eu-west-1banana", "eu-west-1", "eu-west-1-lhr-1a", "eu-west-11a"])
def test_a_zone_is_its_region_and_a_letter(zone: str) -> None:
    (said,) = faults({**REGION, "tripod:zones": [zone]}).values()
    assert said == f"there is no zone '{zone}' in region eu-west-1. Write names such as eu-west-1a"


@pytest.mark.parametrize("key", ["Tripod:preset", "tripod-dev:preset", "tirpod:preset", "tripods:preset"])
def test_a_namespace_that_nobody_reads_is_told(key: str) -> None:
    assert faults({**REGION, key: "reference"}) == {key: "this key is not read. Write it as tripod:preset"}


@pytest.mark.parametrize(
    "key, guess", [("regoin", "Did you mean 'aws:region'?"), ("defaultTags", "Remove it."), ("Profile", "Did you mean")]
)
def test_a_key_of_aws_that_nobody_reads_is_told(key: str, guess: str) -> None:
    said = faults({**REGION, f"aws:{key}": "x"})[f"aws:{key}"]
    assert said.startswith(f"this key is not read. {guess}")
    assert said.endswith("Tripod reads aws:region and aws:profile; tags go to tripod:tags")


def test_every_key_that_may_be_meant_is_offered() -> None:
    said = faults({**REGION, "tripod:tls": {"certParameter": "/a", "Mode": "provided"}})
    assert "'certificateParameter'" in said["tls.certParameter"]
    assert "'keyParameter'" in said["tls.certParameter"]
    assert said["tls.Mode"] == "this key is not known. Did you mean 'mode'?"


def test_the_known_keys_are_listed_once() -> None:
    said = faults({**REGION, **keyed({"colour": "red", "flavour": "sweet", "backup": {"taste": 1}})})
    assert "Known keys here: preset, servers" in said["colour"]
    assert said["flavour"] == "this key is not known. Remove it; colour has the known ones"
    assert "Known keys here: hour" in said["backup.taste"]


@pytest.mark.parametrize(
    "key", ["servers", "zones", "tls", "verify", "dataVolumeGib", "preset", "networkCidr", "edges"]
)
def test_a_key_without_a_value_is_empty(key: str) -> None:
    said = faults({**REGION, f"tripod:{key}": None})[key]
    assert said == "this key is empty. Remove it, or fill it" or key == "edges"


JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", "app", "[", "{}", '[{"name": 1}, 2]']),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "roles", "mode", "port", "subscriptions", "endpiont", "", 1]), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*Settings.model_fields, "dataVolumeGib", "hostedZoneId", "colour"]), JUNK))
def test_whatever_the_file_holds_there_is_a_message_or_a_topology(settings: dict[str, Any]) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        read_configuration({**REGION, **keyed(settings)}, "test")
    except ConfigurationError as error:
        problems = error.problems
    assert all(problem.key and problem.found and problem.mend for problem in problems)
