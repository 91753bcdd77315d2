"""Faults done to a running service on purpose, under load."""
