"""Where moto 5.2 differs from AWS in what Tripod uses, mended. Each function says which gap it closes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

from moto.core.config import default_user_config
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends, elastic_ip_addresses
from moto.ec2.models.amis import Ami
from moto.ec2.models.instances import Instance
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.responses.instances import InstanceResponse
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket
from moto.ssm import models as ssm_models
from moto.ssm.exceptions import SSMException
from moto.ssm.responses import SimpleSystemManagerResponse

from rehearsal.moto_changes import Changes

IMAGES = {"x86_64": "ami-0a7d26040a0000064", "arm64": "ami-0a7d26040b0000064"}
"""The rehearsal's image under the name of Ubuntu 26.04 LTS, per architecture."""

UBUNTU = "/aws/service/canonical/ubuntu/server"
"""Public parameters of Canonical (documentation.ubuntu.com/aws, "Find Ubuntu images"):
UBUNTU/26.04/stable/current/{amd64,arm64}/hvm/ebs-gp3/ami-id."""

Managed = Callable[[str], bool]
Start = Callable[[Any], None]


def install(changes: Changes, managed: Managed, start: Start) -> None:
    """Mend every gap.

    `managed(instance_id)` says whether an instance's agent is there to take commands; `start(command)` begins a
    command of SSM and returns at once.
    """
    # AWS has its managed policies (AmazonSSMManagedInstanceCore for one); moto leaves them out for speed.
    changes.entry(default_user_config, "iam", {"load_aws_managed_policies": True})
    changes.attribute(elastic_ip_addresses, "random_ip", _next_elastic_ip)
    _rules_of_any_protocol(changes)
    _termination_protection_from_the_start(changes)
    _count_power_cycles(changes)
    _run_command(changes, managed, start)
    _managed_instances(changes, managed)
    _ubuntu_images(changes)
    _conditions_of_bucket_policies(changes)


ELASTIC_NUMBERS = range(10, 255)
_numbers = itertools.cycle(ELASTIC_NUMBERS)


def _next_elastic_ip() -> str:
    # moto's Elastic IPs are random ones of 127.0.0.0/8, which every host would take for itself.
    # 203.0.113.0/24 is TEST-NET-3 (RFC 5737).
    taken = {
        address.public_ip for regions in ec2_backends.values() for ec2 in regions.values() for address in ec2.addresses
    }
    for _ in ELASTIC_NUMBERS:
        address = f"203.0.113.{next(_numbers)}"
        if address not in taken:
            return address
    raise EC2ClientError("AddressLimitExceeded", f"The rehearsal has {len(ELASTIC_NUMBERS)} Elastic IPs.")


def _rules_of_any_protocol(changes: Changes) -> None:
    # moto wants ports for every protocol but -1; EC2 wants none for those that have none, such as 112 (VRRP).
    original = SecurityGroupRule.__init__

    def init(self: Any, ec2_backend: Any, ip_protocol: str, *arguments: Any, **named: Any) -> None:
        portless = str(ip_protocol).isdigit() and str(ip_protocol) not in {"1", "6", "17"}
        if not portless:
            original(self, ec2_backend, ip_protocol, *arguments, **named)
            return
        group_id, _, _, *rest = arguments if arguments else (named.pop("group_id"), 0, 0)
        named.pop("from_port", None)
        named.pop("to_port", None)
        original(self, ec2_backend, "-1", group_id, None, None, *rest, **named)
        self.ip_protocol = str(ip_protocol)

    changes.attribute(SecurityGroupRule, "__init__", init)


def _termination_protection_from_the_start(changes: Changes) -> None:
    # moto knows DisableApiTermination as an attribute to be modified, and overlooks it in RunInstances.
    original = InstanceResponse.run_instances

    def run_instances(self: Any) -> Any:
        before = {instance.id for instance in self.ec2_backend.all_instances()}
        answer = original(self)
        for instance in self.ec2_backend.all_instances():
            if instance.id not in before:
                instance.disable_api_termination = bool(self._get_param("DisableApiTermination"))
        return answer

    changes.attribute(InstanceResponse, "run_instances", run_instances)


def _count_power_cycles(changes: Changes) -> None:
    # moto stops and starts at once, so a stop and start between two looks would leave no trace; a reboot never does.
    for name in ("start", "reboot"):
        _count_calls(changes, name)


def _count_calls(changes: Changes, name: str) -> None:
    original = getattr(Instance, name)

    def counted(self: Any, *arguments: Any, **named: Any) -> Any:
        self.power_cycles = power_cycles(self) + 1
        return original(self, *arguments, **named)

    changes.attribute(Instance, name, counted)


def power_cycles(instance: Any) -> int:
    """How often an instance was started again or rebooted."""
    return int(getattr(instance, "power_cycles", 0))


def _run_command(changes: Changes, managed: Managed, start: Start) -> None:
    # moto answers Success at once and runs nothing.
    original = ssm_models.SimpleSystemManagerBackend.send_command

    def send_command(self: Any, *arguments: Any, **named: Any) -> Any:
        if named.get("document_name") != "AWS-RunShellScript":
            raise SSMException("InvalidDocument", "The rehearsal runs AWS-RunShellScript only.")
        unknown = [one for one in named.get("instance_ids") or [] if not managed(one)]
        if unknown:
            raise SSMException("InvalidInstanceId", f"Instances {unknown} not in a valid state for account")
        wanted = list(named.get("instance_ids") or [])
        command = original(self, *arguments, **named)
        if not named.get("targets"):
            # moto takes "no targets" for "every instance".
            command.instance_ids = wanted
            command.invocations = [one for one in command.invocations if one["InstanceId"] in wanted]
            command.target_count = len(wanted)
        command.status = command.status_details = "InProgress"
        command.completed_count = 0
        for invocation in command.invocations:
            invocation.update(Status="InProgress", StatusDetails="InProgress", ResponseCode=-1)
        start(command)
        return command

    changes.attribute(ssm_models.SimpleSystemManagerBackend, "send_command", send_command)

    # moto does not have the operation.
    def cancel_command(self: Any) -> ActionResult:
        command = self.ssm_backend.get_command_by_id(self._get_param("CommandId"))
        command.cancelled = True
        return ActionResult({})

    changes.attribute(SimpleSystemManagerResponse, "cancel_command", cancel_command)


def _managed_instances(changes: Changes, managed: Managed) -> None:
    # moto does not have the operation.
    def describe_instance_information(self: Any) -> ActionResult:
        backend = ec2_backends[self.current_account][self.region]
        return ActionResult(
            {
                "InstanceInformationList": [
                    {
                        "InstanceId": instance.id,
                        "PingStatus": "Online",
                        "AgentVersion": "3.3.0.0",
                        "PlatformType": "Linux",
                        "PlatformName": "Debian GNU/Linux",
                        "ResourceType": "EC2Instance",
                        "IPAddress": instance.private_ip,
                        "ComputerName": instance.private_dns_name,
                    }
                    for instance in backend.all_instances()
                    if _wanted(self, instance.id) and managed(instance.id)
                ]
            }
        )

    changes.attribute(SimpleSystemManagerResponse, "describe_instance_information", describe_instance_information)


def _wanted(request: Any, instance_id: str) -> bool:
    given = [
        *(request._get_param("Filters") or []),  # noqa: SLF001  (how every operation of moto reads its input)
        *(
            {"Key": item.get("key"), "Values": item.get("valueSet")}
            for item in request._get_param("InstanceInformationFilterList") or []  # noqa: SLF001
        ),
    ]
    return all(instance_id in (item.get("Values") or []) for item in given if item.get("Key") == "InstanceIds")


def _ubuntu_images(changes: Changes) -> None:
    # moto knows the public parameters of Amazon's images, not those of Canonical's.
    original = ssm_models.ParameterDict._check_loading_status  # noqa: SLF001  (where moto loads Amazon's)

    def check(self: Any, key: str) -> None:
        original(self, key)
        key = str(key or "")
        if not key.startswith(f"{UBUNTU}/") or dict.__contains__(self, key):
            return
        # .../server/RELEASE/stable/current/ARCH/hvm/ebs-gp3/ami-id
        parts = key.removeprefix(f"{UBUNTU}/").split("/")
        architecture = {"amd64": "x86_64", "arm64": "arm64"}.get(parts[3] if len(parts) > 3 else "")
        if architecture is None or parts[-1] != "ami-id":
            return
        from moto.core.utils import utcnow  # noqa: PLC0415

        dict.__setitem__(
            self,
            key,
            [
                ssm_models.Parameter(
                    account_id=self.account_id,
                    name=key,
                    value=IMAGES[architecture],
                    parameter_type="String",
                    description=None,
                    allowed_pattern=None,
                    keyid=None,
                    last_modified_date=utcnow(),
                    version=1,
                    data_type="aws:ec2:image",
                )
            ],
        )

    changes.attribute(ssm_models.ParameterDict, "_check_loading_status", check)


def _conditions_of_bucket_policies(changes: Changes) -> None:
    # moto reads a bucket policy without its conditions, so "deny what is not TLS" denies everything.
    def get_permission(self: Any, action: str, resource: str) -> Any:
        if self.policy is None:
            return PermissionResult.NEUTRAL
        policy = json.loads(self.policy)
        statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
        applicable = [
            {key: value for key, value in statement.items() if key != "Condition"}
            for statement in statements
            if _met(statement.get("Condition") or {})
        ]
        if not applicable:
            return PermissionResult.NEUTRAL
        return IAMPolicy(json.dumps({**policy, "Statement": applicable})).is_action_permitted(action, resource)

    changes.attribute(FakeBucket, "get_permission", get_permission)


# The emulated endpoints speak plain HTTP inside this machine; they stand for AWS's TLS ones.
_CONTEXT = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}


def _met(condition: dict[str, dict[str, Any]]) -> bool:
    for test, variables in condition.items():
        for variable, wanted in variables.items():
            if variable not in _CONTEXT:
                return False
            values = [str(one) for one in (wanted if isinstance(wanted, list) else [wanted])]
            actual = _CONTEXT[variable]
            matches = {
                "Bool": actual in values,
                "NumericLessThan": any(float(actual) < float(one) for one in values) if test[0] == "N" else False,
            }
            if not matches.get(test, False):
                return False
    return True


def register_images(backend: Any) -> None:
    """Make the emulated region's images those of the rehearsal: moto comes with some of 2018."""
    backend.amis.clear()
    for architecture, image in IMAGES.items():
        backend.amis[image] = Ami(
            backend,
            image,
            name=f"ubuntu/images/hvm-ssd-gp3/ubuntu-rehearsal-26.04-{architecture}-server",
            description="the image of the hosts, in the place of Ubuntu 26.04 LTS",
            owner_id="099720109477",  # Canonical's account
            public=True,
            virtualization_type="hvm",
            architecture=architecture,
            root_device_type="ebs",
            root_device_name="/dev/sda1",
            region_name=backend.region_name + "a",
        )
