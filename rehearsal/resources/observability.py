"""Alarms, dashboards, log groups and topics."""

from __future__ import annotations

from typing import Any

from rehearsal.resources.base import Inputs, Kind, Outcome, Outputs, kind, physical_name, present, tag_list


@kind("aws:cloudwatch/metricAlarm:MetricAlarm")
class MetricAlarm(Kind):
    """A CloudWatch alarm."""

    taggable = True
    replace_on = frozenset({"name"})

    def _put(self, alarm: str, inputs: Inputs) -> None:
        def whole(key: str) -> int | None:
            return None if inputs.get(key) is None else int(inputs[key])

        self.aws.client("cloudwatch").put_metric_alarm(
            AlarmName=alarm,
            ComparisonOperator=inputs["comparisonOperator"],
            EvaluationPeriods=int(inputs["evaluationPeriods"]),
            Tags=tag_list(inputs),
            **present(
                AlarmDescription=inputs.get("alarmDescription"),
                AlarmActions=inputs.get("alarmActions"),
                OKActions=inputs.get("okActions"),
                InsufficientDataActions=inputs.get("insufficientDataActions"),
                MetricName=inputs.get("metricName"),
                Namespace=inputs.get("namespace"),
                Statistic=inputs.get("statistic"),
                ExtendedStatistic=inputs.get("extendedStatistic"),
                Period=whole("period"),
                DatapointsToAlarm=whole("datapointsToAlarm"),
                Threshold=None if inputs.get("threshold") is None else float(inputs["threshold"]),
                TreatMissingData=inputs.get("treatMissingData"),
                Dimensions=[{"Name": key, "Value": value} for key, value in (inputs.get("dimensions") or {}).items()],
            ),
        )

    def create(self, name: str, inputs: Inputs) -> Outcome:
        alarm = inputs.get("name") or physical_name(name, inputs)
        self._put(alarm, inputs)
        return Outcome(alarm, {"name": alarm, "arn": self.aws.arn("cloudwatch", f"alarm:{alarm}")})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        self._put(resource_id, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("cloudwatch").delete_alarms(AlarmNames=[resource_id])


@kind("aws:cloudwatch/dashboard:Dashboard")
class Dashboard(Kind):
    """A CloudWatch dashboard."""

    replace_on = frozenset({"dashboardName"})

    def create(self, name: str, inputs: Inputs) -> Outcome:
        dashboard = inputs.get("dashboardName") or name
        self.aws.client("cloudwatch").put_dashboard(DashboardName=dashboard, DashboardBody=inputs["dashboardBody"])
        return Outcome(dashboard, {"dashboardArn": self.aws.arn("cloudwatch", f"dashboard/{dashboard}")})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        self.aws.client("cloudwatch").put_dashboard(DashboardName=resource_id, DashboardBody=new["dashboardBody"])
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("cloudwatch").delete_dashboards(DashboardNames=[resource_id])


@kind("aws:cloudwatch/logGroup:LogGroup")
class LogGroup(Kind):
    """A log group."""

    taggable = True
    replace_on = frozenset({"name", "namePrefix"})

    def create(self, name: str, inputs: Inputs) -> Outcome:
        group = physical_name(name, inputs)
        tags: dict[str, Any] = {"tags": inputs["tagsAll"]} if inputs.get("tagsAll") else {}
        self.aws.client("logs").create_log_group(logGroupName=group, **tags)
        self._retention(group, inputs)
        return Outcome(group, {"name": group, "arn": self.aws.arn("logs", f"log-group:{group}")})

    def _retention(self, group: str, inputs: Inputs) -> None:
        if inputs.get("retentionInDays"):
            self.aws.client("logs").put_retention_policy(
                logGroupName=group, retentionInDays=int(inputs["retentionInDays"])
            )

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        self._retention(resource_id, new)
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("logs").delete_log_group(logGroupName=resource_id)


@kind("aws:sns/topic:Topic")
class Topic(Kind):
    """An SNS topic."""

    taggable = True
    replace_on = frozenset({"name", "namePrefix"})

    def create(self, name: str, inputs: Inputs) -> Outcome:
        topic = physical_name(name, inputs)
        key = inputs.get("kmsMasterKeyId")
        arn = self.aws.client("sns").create_topic(
            Name=topic, Tags=tag_list(inputs), Attributes={"KmsMasterKeyId": key} if key else {}
        )["TopicArn"]
        return Outcome(arn, {"arn": arn, "name": topic})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        self.aws.client("sns").tag_resource(ResourceArn=resource_id, Tags=tag_list(new))
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("sns").delete_topic(TopicArn=resource_id)


@kind("aws:sns/topicPolicy:TopicPolicy")
class TopicPolicy(Kind):
    """Who may publish to a topic."""

    replace_on = frozenset({"arn"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        self.update(inputs["arn"], {}, inputs)
        return Outcome(inputs["arn"])

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        self.aws.client("sns").set_topic_attributes(
            TopicArn=resource_id, AttributeName="Policy", AttributeValue=new["policy"]
        )
        return {}


@kind("aws:sns/topicSubscription:TopicSubscription")
class TopicSubscription(Kind):
    """A subscriber of a topic, written down but never reached.

    moto would post to the address of an `https` subscription, and nothing may leave this machine. As an e-mail
    subscription, whatever its protocol, it is listed in the emulated SNS and nobody is told.
    """

    replace_on = frozenset({"topic", "protocol", "endpoint"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        arn = self.aws.client("sns").subscribe(
            TopicArn=inputs["topic"],
            Protocol="email",
            Endpoint=f"{inputs['protocol']}:{inputs['endpoint']}",
            ReturnSubscriptionArn=True,
        )["SubscriptionArn"]
        return Outcome(arn, {"arn": arn})

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        return {}

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self.aws.client("sns").unsubscribe(SubscriptionArn=resource_id)
