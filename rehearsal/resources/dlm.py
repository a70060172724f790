"""Amazon Data Lifecycle Manager. The emulated AWS has none: a policy is in the state only, and snapshots nothing."""

from __future__ import annotations

import secrets

from rehearsal.resources.base import Inputs, Kind, Outcome, Outputs, kind


@kind("aws:dlm/lifecyclePolicy:LifecyclePolicy")
class LifecyclePolicy(Kind):
    """A policy of snapshots."""

    taggable = True

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        found = f"policy-{secrets.token_hex(9)[:17]}"
        return Outcome(found, {"arn": self.aws.arn("dlm", f"policy/{found}")})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        return {}
