"""What every server has: its facts, the host programs, limits of the journal, unattended security updates."""
