"""Logs to CloudWatch Logs: rsyslog reads the journal and queues on disk, host/log_shipper.py delivers."""
