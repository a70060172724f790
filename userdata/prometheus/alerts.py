"""Every alert of a stack, as data. The rules file, its tests and the runbook come from here."""

from __future__ import annotations

from topology.model import Topology
from topology.names import Edge
from userdata.prometheus.alert import Alert
from userdata.prometheus.data_alerts import DATA_ALERTS
from userdata.prometheus.host_alerts import HOST_ALERTS

# No answer of a metric is no proof of health: `or vector(0)` makes an absent one count as none.
_APPS_UP = 'sum(haproxy_backend_active_servers{proxy="app"} and on (server) up{job="haproxy"} == 1) or vector(0)'
_REQUESTS = 'sum(rate(haproxy_frontend_http_responses_total{proxy="https"}[1m]))'
_ERRORS = 'sum(rate(haproxy_frontend_http_responses_total{proxy="https", code="5xx"}[1m]))'


def _floats(topology: Topology) -> bool:
    return topology.edge is Edge.FLOATING_EIP


def _pair(topology: Topology) -> bool:
    return len(topology.monitors) > 1


SITE_ALERTS = (
    Alert(
        "SiteDown",
        "critical",
        f"({_APPS_UP}) < 1",
        10,
        "No load balancer has an application server that it can send a request to.",
        "The site is down: every request fails.",
    ),
    Alert(
        "LoadBalancerDown",
        "critical",
        'up{job="haproxy", load_balancer="yes"} == 0',
        20,
        "The load balancer on {{ $labels.server }} does not answer.",
        "With one load balancer the site is down; with several, one more loss away from it.",
    ),
    Alert(
        "ApplicationServerDown",
        "critical",
        'label_replace(max by (exported_server) (haproxy_server_status{proxy="app", state="UP"}) == 0, '
        '"server", "$1", "exported_server", "(.*)")',
        20,
        "No load balancer can reach the application on {{ $labels.server }}.",
        "Nothing while another application server is up; the site is slower, and has less in reserve.",
    ),
    Alert(
        "ErrorRate",
        "critical",
        f"{_ERRORS} / {_REQUESTS} > 0.05 and {_ERRORS} > 0.1",
        60,
        "{{ $value | humanizePercentage }} of the answers are server errors (5xx).",
        "That share of the visitors sees an error.",
    ),
    Alert(
        "Latency",
        "warning",
        'haproxy_backend_total_time_average_seconds{proxy="app"} > 1 '
        'and rate(haproxy_backend_http_requests_total{proxy="app"}[5m]) > 0',
        300,
        "Requests through {{ $labels.server }} take {{ $value | humanizeDuration }} on average.",
        "The site is slow.",
    ),
    Alert(
        "FloatingAddressNowhere",
        "critical",
        "(sum(tripod_floating_address_here) or vector(0)) < 1",
        20,
        "No load balancer has the floating address.",
        "The site is down: its address leads nowhere.",
        _floats,
    ),
    Alert(
        "FloatingAddressMisplaced",
        "critical",
        "tripod_vrrp_master == 1 and tripod_floating_address_here == 0",
        30,
        "{{ $labels.server }} is VRRP master, but the floating address is on another server.",
        "Nothing while the other server works; if it is lost the site is down.",
        _floats,
    ),
    Alert(
        "TwoVrrpMasters",
        "critical",
        "sum(tripod_vrrp_master) > 1",
        30,
        "{{ $value }} load balancers are VRRP master at once: they do not hear each other.",
        "Connections may break when the address moves back and forth.",
        _floats,
    ),
    Alert(
        "NoVrrpMaster",
        "critical",
        "(sum(tripod_vrrp_master) or vector(0)) < 1",
        30,
        "No load balancer is VRRP master.",
        "Nothing now; nobody takes the address over when its server is lost.",
        _floats,
    ),
)

MONITORING_ALERTS = (
    Alert(
        "TargetMissing",
        "warning",
        "up == 0",
        120,
        "Prometheus gets no metrics of {{ $labels.job }} on {{ $labels.server }}.",
        "Nothing; what breaks there is not noticed.",
    ),
    Alert(
        "NotificationsFail",
        "warning",
        'rate(alertmanager_notifications_failed_total{integration="sns"}[5m]) > 0',
        60,
        "Alertmanager on {{ $labels.server }} cannot send to SNS: {{ $labels.reason }}.",
        "Nothing; alerts may not reach you.",
    ),
    Alert(
        "MonitoringPairBroken",
        "warning",
        'up{job=~"prometheus|alertmanager"} == 0',
        60,
        "{{ $labels.job }} on {{ $labels.server }} is down.",
        "Nothing; one fewer watches.",
        _pair,
    ),
    Alert(
        "AlertmanagersApart",
        "warning",
        'alertmanager_cluster_members < on () group_left () count(up{job="alertmanager"})',
        300,
        "Alertmanager on {{ $labels.server }} sees only {{ $value }} of its cluster.",
        "Nothing; messages may come twice.",
        _pair,
    ),
)

ALERTS = (*SITE_ALERTS, *DATA_ALERTS, *HOST_ALERTS, *MONITORING_ALERTS)

WATCHDOG = "Watchdog"
"""An alert that always fires, and is sent nowhere: host/heartbeat.py looks for it in Alertmanager."""


def alerts(topology: Topology) -> tuple[Alert, ...]:
    """The alerts that this stack has, most pressing topics first."""
    return tuple(alert for alert in ALERTS if alert.applies(topology))
