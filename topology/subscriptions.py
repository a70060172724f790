"""Who is told of alerts: what SNS accepts as an endpoint of each protocol."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from topology.problems import Problem
from topology.settings import Settings

_MAIL = (r"^[^@\s]+@[^@\s]+\.[^@\s]+$", "Write an address such as oncall@example.org")

# SNS API reference, Subscribe: what the endpoint is, by protocol. Plain http is left out: an alert names servers.
ENDPOINTS = {
    "email": _MAIL,
    "email-json": _MAIL,
    "https": (r"^https://[^\s/]+(/\S*)?$", "Write an address such as https://example.org/alerts"),
    "sms": (r"^\+[1-9]\d{6,14}$", "Write it as E.164 has it, in quotes, such as '+14155550100'"),
    "sqs": (r"^arn:[a-z-]+:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]+$", "Write the ARN of a queue"),
    "lambda": (r"^arn:[a-z-]+:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_:$-]+$", "Write the ARN of a function"),
}


def check_subscriptions(settings: Settings) -> Iterator[Problem]:
    """Every endpoint has its protocol's shape, and none is there twice."""
    subscriptions = settings.alerts.subscriptions
    for index, one in enumerate(subscriptions):
        shape, mend = ENDPOINTS[one.protocol]
        if not re.match(shape, one.endpoint):
            found = f"'{one.endpoint}' is not an endpoint for '{one.protocol}'"
            yield Problem(f"alerts.subscriptions[{index}].endpoint", found, mend)
    for (protocol, endpoint), count in Counter((one.protocol, one.endpoint) for one in subscriptions).items():
        if count > 1:
            yield Problem("alerts.subscriptions", f"{protocol} {endpoint} is there {count} times", "List it once")
