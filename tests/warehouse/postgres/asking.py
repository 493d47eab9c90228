"""One query, or one statement, over a connection of its own."""

from __future__ import annotations

from typing import Any

import psycopg2


def ask(address: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(address)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query, values or None)
            return cursor.fetchall()
    finally:
        connection.close()


def execute(address: str, statement: str) -> None:
    connection = psycopg2.connect(address)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()
