"""User data: the few lines by which a new server finds its bundle."""
