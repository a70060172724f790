"""Backups and binary logs, from a database server to S3."""
