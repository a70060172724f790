"""The SNS topic that carries every alert of a stack, the key that encrypts it, and its subscribers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.permissions import Account
from topology import names
from topology.settings import SubscriptionSettings

# Days in which a deleted key can still be brought back. KMS allows 7 to 30.
KEY_DELETION_DAYS = 7


@dataclass(frozen=True)
class AlertTopicArgs:
    """What the topic needs to know."""

    stack: str
    account: Account
    subscriptions: Sequence[SubscriptionSettings]


class AlertTopic(pulumi.ComponentResource):
    """An encrypted topic. Its ARN is known before it exists: `arn`, while `topic` is the resource to wait for."""

    arn: str
    topic: aws.sns.Topic
    policy: aws.sns.TopicPolicy

    def __init__(self, name: str, args: AlertTopicArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:topic:AlertTopic", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        label = names.alerts_topic(args.stack)
        self.arn = args.account.arn("sns", label)
        key = aws.kms.Key(
            f"{name}-key",
            description=f"Alerts of the Tripod stack {args.stack}",
            policy=key_policy(args.account),
            enable_key_rotation=True,
            deletion_window_in_days=KEY_DELETION_DAYS,
            tags={"Name": label},
            opts=child,
        )
        self.topic = aws.sns.Topic(f"{name}-topic", name=label, kms_master_key_id=key.arn, opts=child)
        self.policy = aws.sns.TopicPolicy(
            f"{name}-policy", arn=self.topic.arn, policy=topic_policy(args.stack, args.account), opts=child
        )
        for subscription in args.subscriptions:
            aws.sns.TopicSubscription(
                f"{name}-{subscription.protocol}-{subscription.endpoint}",
                topic=self.topic.arn,
                protocol=subscription.protocol,
                endpoint=subscription.endpoint,
                opts=child,
            )
        self.register_outputs({"arn": self.topic.arn})


def key_policy(account: Account) -> str:
    """The key's policy, as JSON.

    A key of its own, because the policy of alias/aws/sns cannot be changed and does not let CloudWatch publish
    (SNS guide, "Managing encryption keys and costs", section on event sources).
    """
    use = ["kms:Decrypt", "kms:GenerateDataKey*"]
    statements = [
        {
            "Sid": "AccountDecides",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:{account.partition}:iam::{account.id}:root"},
            "Action": "kms:*",
            "Resource": "*",
        },
        {
            "Sid": "AlarmsPublish",
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Action": use,
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:SourceAccount": account.id}},
        },
        {
            # As alias/aws/sns has it: who may publish to the topic may use its key, and only through SNS.
            "Sid": "PublishersThroughSns",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": use,
            "Resource": "*",
            "Condition": {
                "StringEquals": {
                    "kms:CallerAccount": account.id,
                    "kms:ViaService": f"sns.{account.region}.amazonaws.com",
                }
            },
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def topic_policy(stack: str, account: Account) -> str:
    """The topic's policy, as JSON: the alarms of this stack may publish, and nobody in clear text.

    Servers publish by their own roles, so the policy need not name them.
    """
    topic = account.arn("sns", names.alerts_topic(stack))
    statements = [
        {
            "Sid": "OwnAlarmsPublish",
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": topic,
            "Condition": {
                "StringEquals": {"aws:SourceAccount": account.id},
                "ArnLike": {"aws:SourceArn": account.arn("cloudwatch", f"alarm:{names.alarm(stack, '*', '*')}")},
            },
        },
        {
            "Sid": "OnlyEncryptedConnections",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sns:Publish",
            "Resource": topic,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
