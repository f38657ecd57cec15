"""Benchmarks: each prints a table, writes JSON and compares in the same run with what one would use instead."""
