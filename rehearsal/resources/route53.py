"""DNS: zones, records and health checks. Nothing resolves them here; they are kept as AWS would keep them."""

from __future__ import annotations

import secrets
from typing import Any

from rehearsal.resources.base import Inputs, Kind, Outcome, Outputs, kind, present, tag_list


@kind("aws:route53/zone:Zone")
class Zone(Kind):
    """A hosted zone."""

    taggable = True
    replace_on = frozenset({"name"})

    def create(self, name: str, inputs: Inputs) -> Outcome:
        answer = self.aws.client("route53").create_hosted_zone(
            Name=inputs.get("name") or name, CallerReference=secrets.token_hex(8)
        )
        zone_id = answer["HostedZone"]["Id"].removeprefix("/hostedzone/")
        return Outcome(zone_id, {"zoneId": zone_id, "nameServers": answer["DelegationSet"]["NameServers"]})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("route53").delete_hosted_zone(Id=resource_id)


def record_set(inputs: Inputs) -> dict[str, Any]:
    """The `ResourceRecordSet` of a record."""
    alias = (inputs.get("aliases") or [None])[0]
    return present(
        Name=inputs["name"],
        Type=inputs["type"],
        TTL=None if inputs.get("ttl") is None else int(inputs["ttl"]),
        SetIdentifier=inputs.get("setIdentifier"),
        MultiValueAnswer=inputs.get("multivalueAnswerRoutingPolicy"),
        HealthCheckId=inputs.get("healthCheckId"),
        ResourceRecords=[{"Value": value} for value in inputs.get("records") or []] or None,
        AliasTarget=None
        if alias is None
        else {
            "HostedZoneId": alias["zoneId"],
            "DNSName": alias["name"],
            "EvaluateTargetHealth": bool(alias.get("evaluateTargetHealth")),
        },
    )


@kind("aws:route53/record:Record")
class Record(Kind):
    """A record set of a zone."""

    replace_on = frozenset({"zoneId", "name", "type", "setIdentifier"})

    def _change(self, action: str, inputs: Inputs) -> None:
        self.aws.client("route53").change_resource_record_sets(
            HostedZoneId=inputs["zoneId"],
            ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": record_set(inputs)}]},
        )

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        self._change("UPSERT" if inputs.get("allowOverwrite") else "CREATE", inputs)
        return Outcome(
            "_".join([inputs["zoneId"], inputs["name"], inputs["type"], *filter(None, [inputs.get("setIdentifier")])]),
            {"fqdn": inputs["name"].rstrip(".")},
        )

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        self._change("UPSERT", new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self._change("DELETE", inputs)


@kind("aws:route53/healthCheck:HealthCheck")
class HealthCheck(Kind):
    """A health check."""

    taggable = True
    replace_on = frozenset({"type", "requestInterval", "measureLatency"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        route53 = self.aws.client("route53")
        check = route53.create_health_check(
            CallerReference=secrets.token_hex(8),
            HealthCheckConfig=present(
                Type=inputs["type"],
                IPAddress=inputs.get("ipAddress"),
                Port=None if inputs.get("port") is None else int(inputs["port"]),
                ResourcePath=inputs.get("resourcePath"),
                FullyQualifiedDomainName=inputs.get("fqdn"),
                RequestInterval=int(inputs.get("requestInterval") or 30),
                FailureThreshold=int(inputs.get("failureThreshold") or 3),
                EnableSNI=inputs.get("enableSni"),
            ),
        )["HealthCheck"]["Id"]
        if tag_list(inputs):
            route53.change_tags_for_resource(ResourceType="healthcheck", ResourceId=check, AddTags=tag_list(inputs))
        return Outcome(check, {"arn": f"arn:aws:route53:::healthcheck/{check}"})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        self.aws.client("route53").update_health_check(
            HealthCheckId=resource_id,
            **present(
                IPAddress=new.get("ipAddress"),
                Port=None if new.get("port") is None else int(new["port"]),
                ResourcePath=new.get("resourcePath"),
                FailureThreshold=int(new.get("failureThreshold") or 3),
            ),
        )
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("route53").delete_health_check(HealthCheckId=resource_id)
