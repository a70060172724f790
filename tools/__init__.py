"""Generators of what this repository derives from itself: pictures, tables, pins."""
