"""A hosted zone whose reference is a zone's id gets that id: a stack names the zone that its account has."""

from __future__ import annotations

import re
from typing import Any

from moto.route53.models import HostedZoneIdentifier, Route53Backend
from moto.utilities.id_generator import moto_id_manager

from rehearsal.moto_changes import Changes

ZONE_ID = re.compile(r"Z[A-Z0-9]{1,31}")


def install(changes: Changes) -> None:
    """Let moto take the id of a zone from its reference."""
    original = Route53Backend.create_hosted_zone

    def create_hosted_zone(self: Any, name: str, *rest: Any, **named: Any) -> Any:
        reference = str(named.get("caller_reference") or "")
        if not ZONE_ID.fullmatch(reference):
            return original(self, name, *rest, **named)
        identifier = HostedZoneIdentifier(self.account_id, name, named.get("delegation_set_id"))
        moto_id_manager.set_custom_id(identifier, reference)
        try:
            return original(self, name, *rest, **named)
        finally:
            moto_id_manager.unset_custom_id(identifier)

    changes.attribute(Route53Backend, "create_hosted_zone", create_hosted_zone)
