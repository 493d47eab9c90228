"""Where else the published tables go: a PostgreSQL server that many read at once, S3.

Each target is a step of its own that brings it up to what the DuckDB warehouse now holds, whatever it missed
before: a target that is down delays itself alone, and its next run catches up.
"""
