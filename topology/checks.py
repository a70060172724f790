"""What a configuration must not say: rules that concern several keys, or a key's meaning."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from topology.application_checks import check_application
from topology.instance_types import DATABASE_MEMORY_GIB, SHAPE, architecture, obstacle, short_of_memory
from topology.names import PARAMETER_NAME, Edge, Role
from topology.problems import Problem
from topology.settings import ServerSettings, Settings
from topology.subscriptions import check_subscriptions

# "tripod-" + stack + "-" + 12 digits of account + "-" + region (at most 14) must fit the 63 of a bucket's name.
STACK_NAME = re.compile(r"^[a-z][a-z0-9-]{0,21}[a-z0-9]$|^[a-z]$")

# What tells the bucket of backups from the other one (topology/names.py).
BACKUPS = "-bk"

# A server's name is also its host name (RFC 1123), its report_host and part of IAM role names (64 characters).
SERVER_NAME = re.compile(r"^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$")

HOST_NAME = re.compile(r"^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$")

# MySQL manual, "Group Replication Limitations": at most nine members.
LARGEST_GROUP = 9

MOST_TAGS = 6

# Tags of every resource (components/configuration.py), and the name of each. In lower case: the keys of an IAM role's
# tags must differ in more than capitals (IAM user guide, "Tags for AWS Identity and Access Management resources").
RESERVED_TAGS = {"project", "stack", "managedby", "name"}


def check_settings(
    settings: Settings, *, stack: str, specs: Sequence[ServerSettings], edge: Edge, primary: str
) -> Iterator[Problem]:
    """Every rule that does not depend on addresses and zones."""
    if not STACK_NAME.match(stack):
        found = f"the stack's name '{stack}' cannot be used in the names of its bucket and servers"
        yield Problem("(stack)", found, "Use 1 to 23 of a-z, 0-9 and '-', beginning with a letter")
    elif stack.endswith(BACKUPS):
        other = stack.removesuffix(BACKUPS)
        found = f"the bucket of stack '{stack}' would be called as that of the backups of a stack '{other}' is"
        yield Problem("(stack)", found, f"Use a name that does not end in '{BACKUPS}'")
    yield from _names(specs)
    yield from _roles(specs)
    yield from _edge(settings, specs, edge)
    yield from _primary(specs, primary)
    yield from _instance_types(settings, specs)
    yield from _sizes(settings, specs)
    yield from _domain(settings)
    yield from _tls(settings)
    yield from check_application(settings)
    yield from _backup(settings)
    yield from _tags(settings)
    yield from check_subscriptions(settings)


def _backup(settings: Settings) -> Iterator[Problem]:
    lock, kept = settings.backup.object_lock_days, settings.backup.keep_days
    if lock > kept:
        found = f"objects would be locked for {lock} days, but expire after {kept} (backup.keepDays)"
        yield Problem("backup.objectLockDays", found, f"Use 0 to {kept}")


def _names(specs: Sequence[ServerSettings]) -> Iterator[Problem]:
    for index, spec in enumerate(specs):
        if not SERVER_NAME.match(spec.name):
            mend = "Use 1 to 20 of a-z, 0-9 and '-', beginning with a letter, ending without '-'"
            yield Problem(f"servers[{index}].name", f"'{spec.name}' is not a name a host can have", mend)
    for name, count in Counter(spec.name for spec in specs).items():
        if count > 1:
            yield Problem("servers", f"{count} servers are called '{name}'", "Give each server its own name")


def _roles(specs: Sequence[ServerSettings]) -> Iterator[Problem]:
    for index, spec in enumerate(specs):
        key = f"servers[{index}].roles"
        for role, count in Counter(spec.roles).items():
            if count > 1:
                yield Problem(key, f"'{role}' is listed twice", "List each role once")
        if Role.DATABASE in spec.roles and Role.READ_REPLICA in spec.roles:
            found = f"{spec.name} is both 'database' and 'read_replica'"
            yield Problem(key, found, "A server is one or the other: a member of the group, or its follower")
    members = sum(Role.DATABASE in spec.roles for spec in specs)
    for role, what in (
        (Role.LOAD_BALANCER, "nobody could reach the site"),
        (Role.APP, "nothing would answer requests"),
        (Role.DATABASE, "there would be no data"),
    ):
        if not any(role in spec.roles for spec in specs):
            yield Problem("servers", f"no server has the role '{role}': {what}", f"Give '{role}' to one or more")
    if members and members % 2 == 0:
        found = f"{members} servers have the role 'database': an even quorum survives no more than {members - 1}"
        yield Problem("servers", found, f"Use {members - 1} or {members + 1}; further servers can be 'read_replica'")
    if members > LARGEST_GROUP:
        found = f"{members} servers have the role 'database'; a MySQL group has at most {LARGEST_GROUP}"
        yield Problem("servers", found, "Make the others 'read_replica'")


def _edge(settings: Settings, specs: Sequence[ServerSettings], edge: Edge) -> Iterator[Problem]:
    count = sum(Role.LOAD_BALANCER in spec.roles for spec in specs)
    if edge is Edge.EIP and count > 1:
        found = f"edge 'eip' leads to one load balancer, but {count} servers have that role"
        yield Problem("edge", found, "Use 'floating-eip', 'nlb' or 'dns', or keep one load balancer")
    if edge is Edge.FLOATING_EIP and count == 1:
        yield Problem("edge", "edge 'floating-eip' needs two load balancers", "Add one, or use 'eip'")
    if edge is Edge.DNS and not settings.domain:
        yield Problem("domain", "edge 'dns' needs a domain", "Set 'domain' and 'hostedZoneId', or use another edge")


def _primary(specs: Sequence[ServerSettings], primary: str) -> Iterator[Problem]:
    members = [spec.name for spec in specs if Role.DATABASE in spec.roles]
    if members and primary not in members:
        found = f"'{primary}' is not a server with the role 'database'"
        yield Problem("preferredPrimary", found, f"Use one of: {', '.join(members)}")


def _instance_types(settings: Settings, specs: Sequence[ServerSettings]) -> Iterator[Problem]:
    types = {"instanceType": settings.instance_type}
    holding: dict[str, list[str]] = {}
    for index, spec in enumerate(specs):
        key = f"servers[{index}].instanceType" if spec.instance_type else "instanceType"
        types[key] = spec.instance_type or settings.instance_type
        if Role.DATABASE in spec.roles or Role.READ_REPLICA in spec.roles:
            holding.setdefault(key, []).append(spec.name)
    for key, instance_type in types.items():
        if not SHAPE.match(instance_type):
            yield Problem(key, f"'{instance_type}' is not an instance type", "Write one such as t3.medium")
        if why := obstacle(instance_type):
            yield Problem(key, f"'{instance_type}' {why}", "Use one such as t3.medium")
        if key in holding and short_of_memory(instance_type):
            found = f"'{instance_type}' has too little memory for a database server ({', '.join(holding[key])})"
            yield Problem(key, found, f"Use one with {DATABASE_MEMORY_GIB} GiB or more, such as t3.medium")
    used = {spec.instance_type or settings.instance_type for spec in specs}
    if len({architecture(instance_type) for instance_type in used}) > 1:
        found = f"{', '.join(sorted(used))} are of different architectures, but a stack has one image"
        yield Problem("instanceType", found, "Use only x86_64 or only arm64 (Graviton) types")


def _sizes(settings: Settings, specs: Sequence[ServerSettings]) -> Iterator[Problem]:
    for index, spec in enumerate(specs):
        for key, size in (("rootVolumeGib", spec.root_volume_gib), ("dataVolumeGib", spec.data_volume_gib)):
            if size is not None and not 8 <= size <= 16384:
                yield Problem(f"servers[{index}].{key}", f"{size} is out of range", "Use 8 to 16384 (GiB)")
    if settings.image and not re.match(r"^ami-([0-9a-f]{8}|[0-9a-f]{17})$", settings.image):
        mend = "Write 'ami-' and 8 or 17 hex digits, or leave it out for Ubuntu 26.04 LTS"
        yield Problem("image", f"'{settings.image}' is not the id of an image", mend)


def _domain(settings: Settings) -> Iterator[Problem]:
    if settings.domain and not HOST_NAME.match(settings.domain):
        mend = "Write one such as www.example.org, in small letters; other than a to z as DNS has it (xn--...)"
        yield Problem("domain", f"'{settings.domain}' is not a host name", mend)
    if settings.hosted_zone_id and not settings.domain:
        yield Problem("domain", "there is a 'hostedZoneId' but no domain", "Set 'domain' too, or remove it")
    if settings.hosted_zone_id and not re.match(r"^Z[A-Z0-9]{1,31}$", settings.hosted_zone_id):
        found = f"'{settings.hosted_zone_id}' is not the id of a hosted zone"
        yield Problem("hostedZoneId", found, "Write it as Route 53 shows it: Z and capital letters and digits")
    if settings.edge is Edge.DNS and settings.domain and not settings.hosted_zone_id:
        yield Problem("hostedZoneId", "edge 'dns' needs the hosted zone of the domain", "Set 'hostedZoneId'")


def _tls(settings: Settings) -> Iterator[Problem]:
    tls = settings.tls
    given = {"certificateParameter": tls.certificate_parameter, "keyParameter": tls.key_parameter}
    for key, value in given.items():
        if tls.mode == "provided" and not value:
            found = "tls.mode 'provided' needs a certificate and its key"
            yield Problem(f"tls.{key}", found, "Name the SSM parameter that holds it, in PEM")
        elif tls.mode == "self-signed" and value:
            found = "tls.mode 'self-signed' makes its own certificate"
            yield Problem(f"tls.{key}", found, "Remove this key, or set tls.mode to 'provided'")
        elif value and not PARAMETER_NAME.match(value):
            found = f"'{value}' is not the full name of an SSM parameter"
            yield Problem(f"tls.{key}", found, "Write a path such as /example/tls/key.pem")


def _tags(settings: Settings) -> Iterator[Problem]:
    for key in settings.tags:
        if key.lower() in RESERVED_TAGS:
            yield Problem(f"tags.{key}", "Tripod sets this tag itself", "Use another key")
    for one in sorted({key.lower() for key in settings.tags}):
        alike = [key for key in settings.tags if key.lower() == one]
        if len(alike) > 1:
            found = f"{' and '.join(alike)} are the same key on an IAM role"
            yield Problem("tags", found, "Keep one of them")
    # Objects of S3 have the least room: 10 tags (S3 guide, "Categorizing your objects using tags"), four of which are
    # Tripod's own. Keys to 128 and values to 256 characters, no `aws:` prefix.
    if len(settings.tags) > MOST_TAGS:
        found = f"{len(settings.tags)} tags are too many: S3 gives an object ten, and Tripod sets four"
        yield Problem("tags", found, f"Use at most {MOST_TAGS}")
    for key, value in settings.tags.items():
        if key.lower().startswith(("aws:", "tripod:")) or not 1 <= len(key) <= 128:
            found = f"'{key}' cannot be the key of a tag"
            yield Problem("tags", found, "Use 1 to 128 characters that do not begin with aws: or tripod:")
        if len(value) > 256:
            yield Problem(f"tags.{key}", "the value is too long", "Use at most 256 characters")
        # IAM API reference, Tag: letters, spaces and digits of any script, and seven signs. S3 and EC2 take more.
        strange = "".join(sorted({sign for sign in key + value if not _in_tags(sign)}))
        if strange:
            found = f"'{strange}' cannot be in a tag of an IAM role"
            yield Problem(f"tags.{key}", found, "Use letters, digits, spaces and + - = . _ : / @")


def _in_tags(sign: str) -> bool:
    return sign in "_.:/=+-@" or unicodedata.category(sign)[0] in "LZN"
