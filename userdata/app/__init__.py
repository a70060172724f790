"""The application's service: the sample in app/, or the stack's own."""
