"""Instances, volumes and Elastic IPs."""

from __future__ import annotations

from typing import Any

from rehearsal.resources.base import Inputs, Kind, Outcome, Outputs, kind, present, tag_list
from rehearsal.resources.network import retag, specification


def root_device(inputs: Inputs) -> list[dict[str, Any]]:
    """The block device mapping of the root volume."""
    block = inputs.get("rootBlockDevice") or {}
    return [
        {
            "DeviceName": "/dev/sda1",
            "Ebs": present(
                DeleteOnTermination=block.get("deleteOnTermination", True),
                VolumeSize=None if block.get("volumeSize") is None else int(block["volumeSize"]),
                VolumeType=block.get("volumeType"),
                Encrypted=block.get("encrypted"),
            ),
        }
    ]


def metadata_options(inputs: Inputs) -> dict[str, Any] | None:
    """`MetadataOptions` of an instance."""
    options = inputs.get("metadataOptions")
    if not options:
        return None
    hops = options.get("httpPutResponseHopLimit")
    return present(
        HttpEndpoint=options.get("httpEndpoint"),
        HttpTokens=options.get("httpTokens"),
        HttpPutResponseHopLimit=None if hops is None else int(hops),
        InstanceMetadataTags=options.get("instanceMetadataTags"),
    )


@kind("aws:ec2/instance:Instance")
class Instance(Kind):
    """An instance. Its host starts when the reconciler sees it."""

    taggable = True
    replace_on = frozenset(
        {
            "ami",
            "availabilityZone",
            "subnetId",
            "privateIp",
            "keyName",
            "rootBlockDevice",
            "associatePublicIpAddress",
        }
    )

    def must_replace(self, old: Inputs, changed: frozenset[str]) -> bool:
        user_data = changed & {"userData", "userDataBase64"}
        if user_data and old.get("userDataReplaceOnChange"):
            return True
        return super().must_replace(old, changed)

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        profile = inputs.get("iamInstanceProfile")
        ec2 = self.aws.client("ec2")
        instance = ec2.run_instances(
            MinCount=1,
            MaxCount=1,
            BlockDeviceMappings=root_device(inputs),
            TagSpecifications=specification("instance", inputs),
            **present(
                ImageId=inputs["ami"],
                InstanceType=inputs.get("instanceType"),
                SubnetId=inputs.get("subnetId"),
                PrivateIpAddress=inputs.get("privateIp"),
                SecurityGroupIds=inputs.get("vpcSecurityGroupIds"),
                IamInstanceProfile={"Name": profile} if profile else None,
                UserData=inputs.get("userData"),
                MetadataOptions=metadata_options(inputs),
                DisableApiTermination=inputs.get("disableApiTermination"),
                DisableApiStop=inputs.get("disableApiStop"),
                EbsOptimized=inputs.get("ebsOptimized"),
                KeyName=inputs.get("keyName"),
                Monitoring={"Enabled": True} if inputs.get("monitoring") else None,
            ),
        )["Instances"][0]
        if inputs.get("sourceDestCheck") is False:
            ec2.modify_instance_attribute(InstanceId=instance["InstanceId"], SourceDestCheck={"Value": False})
        self._tag_root_volume(instance["InstanceId"], inputs)
        return Outcome(instance["InstanceId"], self._outputs(instance["InstanceId"]))

    def _tag_root_volume(self, instance_id: str, inputs: Inputs) -> None:
        block = inputs.get("rootBlockDevice") or {}
        tags = {**(inputs.get("volumeTags") or {}), **(block.get("tags") or {})}
        if tags:
            root = self._outputs(instance_id)["rootBlockDevice"]["volumeId"]
            retag(self.aws, root, {}, {"tagsAll": tags})

    def _outputs(self, instance_id: str) -> Outputs:
        instance = self.aws.client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][
            0
        ]
        root = next(
            device["Ebs"]
            for device in instance["BlockDeviceMappings"]
            if device["DeviceName"] == instance["RootDeviceName"]
        )
        return {
            "arn": self.aws.arn("ec2", f"instance/{instance_id}"),
            "privateIp": instance["PrivateIpAddress"],
            "privateDns": instance["PrivateDnsName"],
            "publicIp": instance.get("PublicIpAddress", ""),
            "publicDns": instance.get("PublicDnsName", ""),
            "availabilityZone": instance["Placement"]["AvailabilityZone"],
            "instanceState": instance["State"]["Name"],
            "primaryNetworkInterfaceId": instance["NetworkInterfaces"][0]["NetworkInterfaceId"],
            "rootBlockDevice": {"volumeId": root["VolumeId"], "deviceName": instance["RootDeviceName"]},
        }

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        ec2 = self.aws.client("ec2")
        changed = {key for key in {*old, *new} if old.get(key) != new.get(key)}
        # EC2 changes these only on a stopped instance, so the provider stops and starts it.
        if changed & {"userData", "instanceType"}:
            ec2.stop_instances(InstanceIds=[resource_id])
            if "userData" in changed:
                ec2.modify_instance_attribute(
                    InstanceId=resource_id, UserData={"Value": (new.get("userData") or "").encode()}
                )
            if "instanceType" in changed:
                ec2.modify_instance_attribute(InstanceId=resource_id, InstanceType={"Value": new["instanceType"]})
            ec2.start_instances(InstanceIds=[resource_id])
        if "vpcSecurityGroupIds" in changed:
            ec2.modify_instance_attribute(InstanceId=resource_id, Groups=new["vpcSecurityGroupIds"])
        if "disableApiTermination" in changed:
            ec2.modify_instance_attribute(
                InstanceId=resource_id,
                DisableApiTermination={"Value": bool(new.get("disableApiTermination"))},
            )
        if "metadataOptions" in changed:
            ec2.modify_instance_metadata_options(InstanceId=resource_id, **(metadata_options(new) or {}))
        retag(self.aws, resource_id, old, new)
        return self._outputs(resource_id)

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("ec2").terminate_instances(InstanceIds=[resource_id])


@kind("aws:ebs/volume:Volume")
class Volume(Kind):
    """An EBS volume: a sparse file of the rehearsal once it is attached."""

    taggable = True
    replace_on = frozenset({"availabilityZone", "encrypted", "kmsKeyId", "snapshotId"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        volume_type = inputs.get("type")
        volume = self.aws.client("ec2").create_volume(
            TagSpecifications=specification("volume", inputs),
            **present(
                AvailabilityZone=inputs["availabilityZone"],
                Size=None if inputs.get("size") is None else int(inputs["size"]),
                VolumeType=volume_type,
                Encrypted=inputs.get("encrypted"),
                KmsKeyId=inputs.get("kmsKeyId"),
                SnapshotId=inputs.get("snapshotId"),
                Iops=int(inputs["iops"]) if inputs.get("iops") else None,
                Throughput=int(inputs["throughput"]) if inputs.get("throughput") else None,
            ),
        )
        return Outcome(volume["VolumeId"], {"arn": self.aws.arn("ec2", f"volume/{volume['VolumeId']}")})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        changes = present(
            Size=int(new["size"]) if old.get("size") != new.get("size") else None,
            VolumeType=new["type"] if old.get("type") != new.get("type") else None,
        )
        if changes:
            self.aws.client("ec2").modify_volume(VolumeId=resource_id, **changes)
        retag(self.aws, resource_id, old, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("ec2").delete_volume(VolumeId=resource_id)


@kind("aws:ec2/volumeAttachment:VolumeAttachment")
class VolumeAttachment(Kind):
    """A volume on an instance."""

    replace_on = frozenset({"deviceName", "instanceId", "volumeId"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        self.aws.client("ec2").attach_volume(
            Device=inputs["deviceName"], InstanceId=inputs["instanceId"], VolumeId=inputs["volumeId"]
        )
        return Outcome(f"vai-{inputs['volumeId'].removeprefix('vol-')}")

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        # Only options of the deletion (stopInstanceBeforeDetaching, skipDestroy) are left.
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        if inputs.get("skipDestroy"):
            return
        ec2 = self.aws.client("ec2")
        volume = ec2.describe_volumes(VolumeIds=[inputs["volumeId"]])["Volumes"][0]
        if not any(item["InstanceId"] == inputs["instanceId"] for item in volume["Attachments"]):
            return
        if inputs.get("stopInstanceBeforeDetaching"):
            ec2.stop_instances(InstanceIds=[inputs["instanceId"]])
        ec2.detach_volume(VolumeId=inputs["volumeId"], InstanceId=inputs["instanceId"])


@kind("aws:ec2/eip:Eip")
class Eip(Kind):
    """An Elastic IP, from 203.0.113.0/24 in the rehearsal."""

    taggable = True
    replace_on = frozenset({"domain", "publicIpv4Pool"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        ec2 = self.aws.client("ec2")
        address = ec2.allocate_address(
            Domain=inputs.get("domain") or "vpc", TagSpecifications=specification("elastic-ip", inputs)
        )
        allocation = address["AllocationId"]
        if inputs.get("instance"):
            ec2.associate_address(AllocationId=allocation, InstanceId=inputs["instance"])
        public = address["PublicIp"]
        return Outcome(
            allocation,
            {
                "allocationId": allocation,
                "publicIp": public,
                "publicDns": f"ec2-{public.replace('.', '-')}.{self.aws.region}.compute.amazonaws.com",
                "arn": self.aws.arn("ec2", f"elastic-ip/{allocation}"),
            },
        )

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:
        if new.get("instance") and old.get("instance") != new["instance"]:
            self.aws.client("ec2").associate_address(
                AllocationId=resource_id, InstanceId=new["instance"], AllowReassociation=True
            )
        retag(self.aws, resource_id, old, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("ec2").release_address(AllocationId=resource_id)


@kind("aws:ec2/eipAssociation:EipAssociation")
class EipAssociation(Kind):
    """An Elastic IP on an instance."""

    replace_on = frozenset({"allocationId", "instanceId", "networkInterfaceId", "privateIpAddress"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        association = self.aws.client("ec2").associate_address(
            **present(
                AllocationId=inputs["allocationId"],
                InstanceId=inputs.get("instanceId"),
                NetworkInterfaceId=inputs.get("networkInterfaceId"),
                PrivateIpAddress=inputs.get("privateIpAddress"),
                AllowReassociation=inputs.get("allowReassociation"),
            )
        )["AssociationId"]
        return Outcome(association)

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        ec2 = self.aws.client("ec2")
        addresses = ec2.describe_addresses(AllocationIds=[inputs["allocationId"]])["Addresses"]
        if addresses and addresses[0].get("AssociationId") == resource_id:
            ec2.disassociate_address(AssociationId=resource_id)


@kind("aws:ec2/keyPair:KeyPair")
class KeyPair(Kind):
    """A public key."""

    taggable = True
    replace_on = frozenset({"keyName", "publicKey"})

    def create(self, name: str, inputs: Inputs) -> Outcome:
        key_name = inputs.get("keyName") or name
        self.aws.client("ec2").import_key_pair(
            KeyName=key_name,
            PublicKeyMaterial=inputs["publicKey"].encode(),
            TagSpecifications=[{"ResourceType": "key-pair", "Tags": tag_list(inputs)}],
        )
        return Outcome(key_name, {"keyName": key_name})

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("ec2").delete_key_pair(KeyName=resource_id)
