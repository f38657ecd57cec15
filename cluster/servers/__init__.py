"""The servers that the platform brings along: Postgres and Redis, started from wheels, without Docker or
root.
"""
