"""Frozen settings, secrets by name, and the access policy. Imports nothing of the project."""
