"""Tripod: a stack's settings become a topology (topology/), and the topology becomes resources (components/)."""

import gc

# Nearly all that the program imports and makes lives to its end: looking for garbage in it was a third of a large
# stack's time, and a tenth of the imports'.
gc.set_threshold(500_000, 50, 50)

import pulumi

from components.backups import Backups, BackupsArgs
from components.bundle import Bucket, BucketArgs, Programs, ProgramsArgs
from components.certificates import Authority, AuthorityArgs
from components.configuration import configure
from components.edge import Edge, EdgeArgs, EdgeTargets, EdgeTargetsArgs
from components.firewall import Firewall, FirewallArgs
from components.logs import Logs, LogsArgs
from components.monitoring import Monitoring, MonitoringArgs
from components.network import Network, NetworkArgs
from components.outputs import export
from components.passwords import Passwords, PasswordsArgs
from components.server import Server, ServerArgs
from components.site import site_certificate
from components.snapshots import Snapshots, SnapshotsArgs
from components.topic import AlertTopic, AlertTopicArgs
from components.verification import Verification, VerificationArgs
from topology import names

stack = pulumi.get_stack()
found = configure(stack)
topology, account = found.topology, found.account
guarded = found.settings.deletion_protection
opts = pulumi.ResourceOptions(providers=[found.provider])

network = Network("network", NetworkArgs(topology), opts)
firewall = Firewall("firewall", FirewallArgs(topology, network.vpc_id), opts)
edge = Edge("edge", EdgeArgs(topology, network, firewall, guarded), opts)
passwords = Passwords("passwords", PasswordsArgs(stack), opts)
authority = Authority("authority", AuthorityArgs(stack), opts)
parameters = {**passwords.parameters, **authority.parameters}
if topology.tls.mode == "self-signed":
    site = site_certificate("site-certificate", topology, edge=edge, authority=authority, opts=opts)
    parameters |= site.parameters

bucket_name = names.bucket(stack, account.id, topology.region)
bucket = Bucket("bucket", BucketArgs(bucket_name, account.partition), opts)
backup_name = names.backup_bucket(stack, account.id, topology.region)
Backups("backups", BackupsArgs(backup_name, account.partition, topology.backup), opts)
Snapshots("snapshots", SnapshotsArgs(topology, account.partition), opts)
logs = Logs("logs", LogsArgs(topology, found.settings.log_retention_days), opts)
programs = Programs("programs", ProgramsArgs(bucket), opts)
shared = (account, found.image, network, firewall, bucket, bucket_name, programs, authority, parameters, logs, guarded)
servers = {spec.name: Server(spec.name, ServerArgs(topology, spec, *shared), opts) for spec in topology.servers}
targets = EdgeTargets("edge-targets", EdgeTargetsArgs(topology, network, edge, servers), opts)
topic = AlertTopic("alerts", AlertTopicArgs(stack, account, found.settings.alerts.subscriptions), opts)
Monitoring("monitoring", MonitoringArgs(topology, account, topic, servers, edge, targets), opts)

if found.settings.verify:
    timeout = found.settings.verify_timeout_minutes
    verified = VerificationArgs(topology, found.profile, timeout, servers, [targets])
    Verification("verification", verified, opts)
export(topology, edge=edge, servers=servers, authority=authority)
