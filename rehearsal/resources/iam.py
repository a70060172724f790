"""Roles, policies and instance profiles."""

from __future__ import annotations

import json
from typing import Any

from rehearsal.resources.base import Aws, Inputs, Kind, Outcome, Outputs, kind, physical_name, present, tag_list


def document(value: Any) -> str:
    """A policy as JSON text, whether the program gave text or an object."""
    return value if isinstance(value, str) else json.dumps(value)


def retag_role(aws: Aws, name: str, old: Inputs, new: Inputs) -> None:
    """Make a role's tags those of `new`."""
    before, after = old.get("tagsAll") or {}, new.get("tagsAll") or {}
    gone = [key for key in before if key not in after]
    if gone:
        aws.client("iam").untag_role(RoleName=name, TagKeys=gone)
    if after != before:
        aws.client("iam").tag_role(RoleName=name, Tags=tag_list(new))


@kind("aws:iam/role:Role")
class Role(Kind):
    """A role with its trust policy, and inline or managed policies when they are given here."""

    taggable = True
    replace_on = frozenset({"name", "namePrefix", "path"})

    def create(self, name: str, inputs: Inputs) -> Outcome:
        iam = self.aws.client("iam")
        role_name = physical_name(name, inputs, limit=64)
        role = iam.create_role(
            RoleName=role_name,
            AssumeRolePolicyDocument=document(inputs["assumeRolePolicy"]),
            Tags=tag_list(inputs),
            **present(
                Path=inputs.get("path"),
                Description=inputs.get("description"),
                PermissionsBoundary=inputs.get("permissionsBoundary"),
            ),
        )["Role"]
        for arn in inputs.get("managedPolicyArns") or []:
            iam.attach_role_policy(RoleName=role_name, PolicyArn=arn)
        for policy in inputs.get("inlinePolicies") or []:
            iam.put_role_policy(
                RoleName=role_name, PolicyName=policy["name"], PolicyDocument=document(policy["policy"])
            )
        return Outcome(role_name, {"name": role_name, "arn": role["Arn"], "uniqueId": role["RoleId"]})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        iam = self.aws.client("iam")
        if old.get("assumeRolePolicy") != new.get("assumeRolePolicy"):
            iam.update_assume_role_policy(RoleName=resource_id, PolicyDocument=document(new["assumeRolePolicy"]))
        for policy in new.get("inlinePolicies") or []:
            iam.put_role_policy(
                RoleName=resource_id, PolicyName=policy["name"], PolicyDocument=document(policy["policy"])
            )
        retag_role(self.aws, resource_id, old, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        iam = self.aws.client("iam")
        for policy in iam.list_attached_role_policies(RoleName=resource_id)["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=resource_id, PolicyArn=policy["PolicyArn"])
        for policy in iam.list_role_policies(RoleName=resource_id)["PolicyNames"]:
            iam.delete_role_policy(RoleName=resource_id, PolicyName=policy)
        iam.delete_role(RoleName=resource_id)


@kind("aws:iam/rolePolicy:RolePolicy")
class RolePolicy(Kind):
    """An inline policy of a role."""

    replace_on = frozenset({"name", "namePrefix", "role"})

    def create(self, name: str, inputs: Inputs) -> Outcome:
        policy = physical_name(name, inputs, limit=128)
        self._put(inputs["role"], policy, inputs)
        return Outcome(f"{inputs['role']}:{policy}", {"name": policy})

    def _put(self, role: str, policy: str, inputs: Inputs) -> None:
        self.aws.client("iam").put_role_policy(
            RoleName=role, PolicyName=policy, PolicyDocument=document(inputs["policy"])
        )

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        role, policy = resource_id.split(":", 1)
        self._put(role, policy, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        role, policy = resource_id.split(":", 1)
        self.aws.client("iam").delete_role_policy(RoleName=role, PolicyName=policy)


@kind("aws:iam/policy:Policy")
class Policy(Kind):
    """A managed policy."""

    taggable = True
    replace_on = frozenset({"name", "namePrefix", "path", "description", "policy"})

    def create(self, name: str, inputs: Inputs) -> Outcome:
        policy = self.aws.client("iam").create_policy(
            PolicyName=physical_name(name, inputs, limit=128),
            PolicyDocument=document(inputs["policy"]),
            Tags=tag_list(inputs),
            **present(Path=inputs.get("path"), Description=inputs.get("description")),
        )["Policy"]
        return Outcome(policy["Arn"], {"arn": policy["Arn"], "name": policy["PolicyName"]})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        self.aws.client("iam").tag_policy(PolicyArn=resource_id, Tags=tag_list(new))
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("iam").delete_policy(PolicyArn=resource_id)


@kind("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
class RolePolicyAttachment(Kind):
    """A managed policy on a role."""

    replace_on = frozenset({"role", "policyArn"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        self.aws.client("iam").attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
        return Outcome(f"{inputs['role']}/{inputs['policyArn']}")

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("iam").detach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])


@kind("aws:iam/instanceProfile:InstanceProfile")
class InstanceProfile(Kind):
    """The profile that gives a role to an instance."""

    taggable = True
    replace_on = frozenset({"name", "namePrefix", "path"})

    def create(self, name: str, inputs: Inputs) -> Outcome:
        iam = self.aws.client("iam")
        profile_name = physical_name(name, inputs, limit=128)
        profile = iam.create_instance_profile(
            InstanceProfileName=profile_name, Tags=tag_list(inputs), **present(Path=inputs.get("path"))
        )["InstanceProfile"]
        if inputs.get("role"):
            iam.add_role_to_instance_profile(InstanceProfileName=profile_name, RoleName=inputs["role"])
        return Outcome(profile_name, {"name": profile_name, "arn": profile["Arn"]})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        iam = self.aws.client("iam")
        if old.get("role") != new.get("role"):
            if old.get("role"):
                iam.remove_role_from_instance_profile(InstanceProfileName=resource_id, RoleName=old["role"])
            iam.add_role_to_instance_profile(InstanceProfileName=resource_id, RoleName=new["role"])
        iam.tag_instance_profile(InstanceProfileName=resource_id, Tags=tag_list(new))
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        iam = self.aws.client("iam")
        if inputs.get("role"):
            iam.remove_role_from_instance_profile(InstanceProfileName=resource_id, RoleName=inputs["role"])
        iam.delete_instance_profile(InstanceProfileName=resource_id)
