"""Keys."""

from __future__ import annotations

from rehearsal.resources.base import Inputs, Kind, Outcome, Outputs, kind, present


@kind("aws:kms/key:Key")
class Key(Kind):
    """A customer managed key."""

    taggable = True

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        kms = self.aws.client("kms")
        tags = [{"TagKey": key, "TagValue": value} for key, value in (inputs.get("tagsAll") or {}).items()]
        key = kms.create_key(Tags=tags, **present(Description=inputs.get("description"), Policy=inputs.get("policy")))[
            "KeyMetadata"
        ]
        self._rotation(key["KeyId"], inputs)
        return Outcome(key["KeyId"], {"arn": key["Arn"], "keyId": key["KeyId"]})

    def _rotation(self, key: str, inputs: Inputs) -> None:
        kms = self.aws.client("kms")
        (kms.enable_key_rotation if inputs.get("enableKeyRotation") else kms.disable_key_rotation)(KeyId=key)

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        kms = self.aws.client("kms")
        if new.get("policy"):
            kms.put_key_policy(KeyId=resource_id, PolicyName="default", Policy=new["policy"])
        kms.update_key_description(KeyId=resource_id, Description=new.get("description") or "")
        self._rotation(resource_id, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("kms").schedule_key_deletion(
            KeyId=resource_id, PendingWindowInDays=int(inputs.get("deletionWindowInDays") or 30)
        )
