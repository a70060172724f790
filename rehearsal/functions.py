"""Data sources of the program, answered from the emulated AWS."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rehearsal.resources.base import Aws, UnknownTypeError

Answer = dict[str, Any]


def get_availability_zones(aws: Aws, arguments: dict[str, Any]) -> Answer:
    """`aws.get_availability_zones`."""
    filters = [{"Name": item["name"], "Values": item["values"]} for item in arguments.get("filters") or []]
    zones = aws.client("ec2").describe_availability_zones(Filters=filters)["AvailabilityZones"]
    state = arguments.get("state")
    chosen = [
        zone
        for zone in zones
        if (state is None or zone["State"] == state)
        and zone["ZoneName"] not in (arguments.get("excludeNames") or [])
        and zone["ZoneId"] not in (arguments.get("excludeZoneIds") or [])
    ]
    chosen.sort(key=lambda zone: str(zone["ZoneName"]))
    return {
        "id": aws.region,
        "names": [zone["ZoneName"] for zone in chosen],
        "zoneIds": [zone["ZoneId"] for zone in chosen],
        "groupNames": [aws.region],
    }


def get_caller_identity(aws: Aws, arguments: dict[str, Any]) -> Answer:  # noqa: ARG001
    """`aws.get_caller_identity`."""
    identity = aws.client("sts").get_caller_identity()
    return {
        "id": identity["Account"],
        "accountId": identity["Account"],
        "arn": identity["Arn"],
        "userId": identity["UserId"],
    }


def get_region(aws: Aws, arguments: dict[str, Any]) -> Answer:
    """`aws.get_region`."""
    region = arguments.get("region") or aws.region
    return {
        "id": region,
        "name": region,
        "region": region,
        "description": region,
        "endpoint": f"ec2.{region}.amazonaws.com",
    }


def get_partition(aws: Aws, arguments: dict[str, Any]) -> Answer:  # noqa: ARG001
    """`aws.get_partition`."""
    return {
        "id": "aws",
        "partition": "aws",
        "dnsSuffix": "amazonaws.com",
        "reverseDnsPrefix": "com.amazonaws",
    }


def get_parameter(aws: Aws, arguments: dict[str, Any]) -> Answer:
    """`aws.ssm.get_parameter`."""
    parameter = aws.client("ssm").get_parameter(
        Name=arguments["name"], WithDecryption=arguments.get("withDecryption", True)
    )["Parameter"]
    return {
        "id": parameter["Name"],
        "name": parameter["Name"],
        "arn": parameter["ARN"],
        "type": parameter["Type"],
        "value": parameter["Value"],
        "insecureValue": "" if parameter["Type"] == "SecureString" else parameter["Value"],
        "version": parameter["Version"],
    }


def get_ami(aws: Aws, arguments: dict[str, Any]) -> Answer:
    """`aws.ec2.get_ami`: the one Ubuntu image of the emulated region matches whatever is asked for."""
    images = aws.client("ec2").describe_images(ImageIds=arguments.get("imageIds") or [])["Images"]
    if not images:
        raise LookupError("no image matches")
    image = max(images, key=lambda candidate: str(candidate["CreationDate"]))
    return {
        "id": image["ImageId"],
        "imageId": image["ImageId"],
        "name": image["Name"],
        "architecture": image["Architecture"],
        "rootDeviceName": image["RootDeviceName"],
        "ownerId": image["OwnerId"],
        "creationDate": image["CreationDate"],
    }


def get_instance_type(aws: Aws, arguments: dict[str, Any]) -> Answer:
    """`aws.ec2.get_instance_type`."""
    found = aws.client("ec2").describe_instance_types(InstanceTypes=[arguments["instanceType"]])
    described = found["InstanceTypes"][0]
    return {
        "id": described["InstanceType"],
        "instanceType": described["InstanceType"],
        "supportedArchitectures": described["ProcessorInfo"]["SupportedArchitectures"],
        "memorySize": described["MemoryInfo"]["SizeInMiB"],
        "defaultVcpus": described["VCpuInfo"]["DefaultVCpus"],
    }


def get_instance_type_offerings(aws: Aws, arguments: dict[str, Any]) -> Answer:
    """`aws.ec2.get_instance_type_offerings`."""
    filters = [{"Name": item["name"], "Values": item["values"]} for item in arguments.get("filters") or []]
    location = arguments.get("locationType") or "region"
    offers = aws.client("ec2").describe_instance_type_offerings(LocationType=location, Filters=filters)
    found = offers["InstanceTypeOfferings"]
    return {
        "id": aws.region,
        "instanceTypes": [offer["InstanceType"] for offer in found],
        "locations": [offer["Location"] for offer in found],
        "locationTypes": [location] * len(found),
    }


def get_prefix_list(aws: Aws, arguments: dict[str, Any]) -> Answer:
    """`aws.ec2.get_managed_prefix_list` and `get_prefix_list`, by name."""
    for prefix_list in aws.client("ec2").describe_managed_prefix_lists()["PrefixLists"]:
        if prefix_list["PrefixListName"] == arguments.get("name"):
            return {"id": prefix_list["PrefixListId"], "name": prefix_list["PrefixListName"]}
    raise LookupError(f"there is no prefix list {arguments.get('name')}")


def get_zone(aws: Aws, arguments: dict[str, Any]) -> Answer:
    """`aws.route53.get_zone`, by id or name."""
    route53 = aws.client("route53")
    if arguments.get("zoneId"):
        zone = route53.get_hosted_zone(Id=arguments["zoneId"])["HostedZone"]
    else:
        name = str(arguments["name"]).rstrip(".") + "."
        zones = route53.list_hosted_zones()["HostedZones"]
        zone = next((candidate for candidate in zones if candidate["Name"] == name), None)
        if zone is None:
            raise LookupError(f"there is no hosted zone {name}")
    zone_id = zone["Id"].removeprefix("/hostedzone/")
    return {"id": zone_id, "zoneId": zone_id, "name": zone["Name"].rstrip(".")}


def get_policy_document(aws: Aws, arguments: dict[str, Any]) -> Answer:  # noqa: ARG001
    """`aws.iam.get_policy_document`: statements as JSON."""

    def principals(items: list[dict[str, Any]]) -> Any:
        if any(item["type"] == "*" for item in items):
            return "*"
        return {item["type"]: item["identifiers"] for item in items}

    statements = []
    for given in arguments.get("statements") or []:
        statement: dict[str, Any] = {"Effect": given.get("effect") or "Allow"}
        names = (
            ("sid", "Sid"),
            ("actions", "Action"),
            ("notActions", "NotAction"),
            ("resources", "Resource"),
            ("notResources", "NotResource"),
        )
        statement.update({target: given[key] for key, target in names if given.get(key)})
        if given.get("principals"):
            statement["Principal"] = principals(given["principals"])
        for condition in given.get("conditions") or []:
            tests = statement.setdefault("Condition", {}).setdefault(condition["test"], {})
            tests[condition["variable"]] = condition["values"]
        statements.append(statement)
    text = json.dumps({"Version": arguments.get("version") or "2012-10-17", "Statement": statements})
    return {"id": str(hash(text)), "json": text, "minifiedJson": text}


FUNCTIONS: dict[str, Callable[[Aws, dict[str, Any]], Answer]] = {
    "aws:index/getAvailabilityZones:getAvailabilityZones": get_availability_zones,
    "aws:index/getCallerIdentity:getCallerIdentity": get_caller_identity,
    "aws:index/getRegion:getRegion": get_region,
    "aws:index/getPartition:getPartition": get_partition,
    "aws:ssm/getParameter:getParameter": get_parameter,
    "aws:ec2/getAmi:getAmi": get_ami,
    "aws:ec2/getInstanceType:getInstanceType": get_instance_type,
    "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": get_instance_type_offerings,
    "aws:ec2/getManagedPrefixList:getManagedPrefixList": get_prefix_list,
    "aws:ec2/getPrefixList:getPrefixList": get_prefix_list,
    "aws:route53/getZone:getZone": get_zone,
    "aws:iam/getPolicyDocument:getPolicyDocument": get_policy_document,
}


def call(aws: Aws, token: str, arguments: dict[str, Any]) -> Answer:
    """Answer a data source. Raises UnknownTypeError for one that is not here."""
    if token not in FUNCTIONS:
        raise UnknownTypeError(f"the rehearsal has no function {token}: add it to rehearsal/functions.py")
    return {**arguments, **FUNCTIONS[token](aws, arguments)}
