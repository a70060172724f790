"""The dead man's switch: while Prometheus and Alertmanager of this server work, tell CloudWatch so.

The alert Watchdog always fires. It is looked for in the local Prometheus, which must evaluate it, and in the local
Alertmanager, which must have got it and keeps it for four minutes after the last time (Prometheus' `resend`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from botocore.exceptions import BotoCoreError, ClientError

from .__main__ import client
from .errors import StepError
from .identity import PATH, Identity
from .metrics import FACTS
from .status import Get, get


def ill(facts: Mapping[str, Any], get: Get = get) -> str | None:
    """Why there must be no heartbeat now; None when all is well."""
    name = facts["watchdog"]
    question = urlencode({"active": "true", "filter": f'alertname="{name}"'})
    alertmanager = _ask(f"{facts['alertmanager']}/api/v2/alerts?{question}", get)
    if isinstance(alertmanager, str):
        return f"Alertmanager {alertmanager}"
    if not alertmanager:
        return f"Alertmanager does not have the alert {name}"
    prometheus = _ask(f"{facts['prometheus']}/api/v1/alerts", get)
    if isinstance(prometheus, str):
        return f"Prometheus {prometheus}"
    firing = [a for a in prometheus["data"]["alerts"] if a["labels"]["alertname"] == name and a["state"] == "firing"]
    return None if firing else f"the alert {name} does not fire in Prometheus"


def _ask(url: str, get: Get) -> Any:
    """The decoded answer, or, as text, what is wrong with it."""
    code, body = get(url)
    if code != 200:
        return f"does not answer ({code or body})"
    try:
        return json.loads(body)
    except ValueError as error:
        return f"answers nonsense ({error})"


def beat(cloudwatch: Any, facts: Mapping[str, Any]) -> None:
    """One heartbeat. Raises ClientError or BotoCoreError."""
    metric = {"MetricName": facts["heartbeat"], "Value": 1.0, "Unit": "Count"}
    cloudwatch.put_metric_data(Namespace=facts["namespace"], MetricData=[metric])


def main() -> int:
    """Beat once, or say why not; exit code 1 then."""
    try:
        identity = Identity.load(Path(PATH))
        facts = json.loads(Path(FACTS).read_text())
        reason = ill(facts)
        if reason:
            print(f"no heartbeat: {reason}", file=sys.stderr)
            return 1
        beat(client("cloudwatch", identity), facts)
    except (StepError, OSError, ValueError, KeyError, ClientError, BotoCoreError) as error:
        print(f"no heartbeat: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
