"""Metrics: exporters on every server, Prometheus and Alertmanager on monitoring servers."""
