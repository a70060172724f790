"""MySQL of database servers: its configuration, its group, its accounts."""
