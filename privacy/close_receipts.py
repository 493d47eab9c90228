"""Search everything for those who were forgotten, and close their receipts where nothing is found.

Every file of the shop is looked through: Parquet and DuckDB by their tables, archives unpacked, all else byte for
byte; in landing and in feeds of ours every user id is compared by its pseudonym; and every table and object of the
targets. A file that goes away meanwhile is gone. What a person of the same id did after the request may be in
landing and in the clean tables: only that.
"""

from __future__ import annotations

import argparse
import gzip
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from expectations.tables import landing_dir, receipts_dir
from feeds.land import is_landed
from privacy.feed_files import names_in_file
from privacy.landing import set_aside_of
from privacy.parquet_files import mentioned, names_by_any_id
from privacy.receipts import Receipts, now
from privacy.rule import Rule, mentions, moment_column
from qianmian.step import StepError, run_step, step_parser
from spark_jobs.pseudonyms import existing_key

log = logging.getLogger("qianmian")

_SHOWN = 20


def close_receipts(args: argparse.Namespace) -> dict[str, Any]:
    """Search, close, and return the step's report.

    Raises:
        StepError: a user is still somewhere; it says where. The receipts stay open.

    """
    lake = args.lake.resolve()
    receipts = Receipts(lake)
    users = frozenset(receipts.open)
    if not users:
        return {"closed": 0, "files": 0}
    key = existing_key(args.pseudonym_key_file or lake.parent.parent / "secrets" / "pseudonym.key")
    rule = Rule({user_id: receipts.all[user_id].moment for user_id in users}, key)
    files = [path for path in _files(args) if receipts_dir(lake) not in path.parents]
    found = [str(path) for path in files if _still_names_one(path, lake, args.feeds, args.truth, rule)]
    places = {"files": len(files)}
    if args.address:
        from privacy.forget_in_postgres import mentioned_in_postgres

        found += mentioned_in_postgres(args.address, args.schema, users)
        places["postgres"] = 1
    if args.to:
        from privacy.forget_in_s3 import mentioned_in_s3

        found += mentioned_in_s3(args.to, args.endpoint_url, users)
        places["s3"] = 1
    if found:
        more = f" and {len(found) - _SHOWN} more" if found[_SHOWN:] else ""
        raise StepError(
            f"Users who asked to be forgotten are still in {', '.join(found[:_SHOWN])}{more}.",
            "Run forget_users again; what it cannot clear (files of other programs) has to be deleted by hand.",
        )
    receipts.change(users, forgotten_at=now(), search={"searched": places, "found": 0})
    log.info("%d receipts closed: nothing found in %d files", len(users), len(files))
    return {"closed": len(users), **places}


def _files(args: argparse.Namespace) -> Iterator[Path]:
    folders = [args.lake.resolve(), args.feeds, args.truth, args.logs]
    for folder in folders:
        if folder and folder.is_dir():
            yield from sorted(_files_below(folder))
    if args.warehouse.exists():
        yield args.warehouse


def _files_below(folder: Path) -> Iterator[Path]:
    def failed(error: OSError) -> None:
        # A folder that cannot be listed would be taken for one without users.
        if not isinstance(error, FileNotFoundError):
            raise error

    for at, _, names in os.walk(folder, onerror=failed):
        yield from (path for path in (Path(at) / name for name in names) if path.is_file())


def _still_names_one(path: Path, lake: Path, feeds: Path | None, truth: Path | None, rule: Rule) -> bool:
    """Training, the scheduler's logs and the publishers' files go on meanwhile: what vanishes names nobody."""
    try:
        return _names_one(path, lake, feeds, truth, rule)
    except (OSError, duckdb.IOException):
        if path.exists():
            raise
        return False


def _names_one(path: Path, lake: Path, feeds: Path | None, truth: Path | None, rule: Rule) -> bool:
    users = frozenset(rule.forgotten)
    for root in (landing_dir(lake), feeds):
        if root and root in path.parents:
            feed = path.relative_to(root).parts[0]
            if moment_column(feed) and is_landed(path.name):
                return names_in_file(path, feed, rule)
    suffix = path.suffix.lower()
    if suffix == ".parquet" and any(root in path.parents for root in (set_aside_of(feeds), truth) if root):
        return names_by_any_id(path, rule)
    if suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            return any(_in_rows(file, group, path, lake, rule) for group in range(file.num_row_groups))
    if suffix == ".duckdb":
        return _in_duckdb(path, users)
    content = gzip.decompress(path.read_bytes()) if suffix == ".gz" else path.read_bytes()
    return any(mentions(content.decode("latin-1"), users))


def _in_rows(file: pq.ParquetFile, group: int, path: Path, lake: Path, rule: Rule) -> bool:
    rows = file.read_row_group(group)
    found = mentioned(rows, frozenset(rule.forgotten))
    if not found or lake / "clean" not in path.parents:
        return bool(found)
    column = moment_column(path.relative_to(lake / "clean").parts[0])
    if column not in rows.column_names:
        return True
    happened = zip(rows["user_id"].to_pylist(), rows[column].to_pylist(), strict=True)
    return any(user in found and not (at and at > rule.forgotten[user]) for user, at in happened)


def _in_duckdb(path: Path, users: frozenset[str]) -> bool:
    with duckdb.connect(str(path), read_only=True) as connection:
        columns = connection.execute(
            "select database_name, schema_name, table_name, column_name from duckdb_columns() "
            "join duckdb_tables() using (database_name, schema_name, table_name) "
            "where not duckdb_tables.internal and data_type = 'VARCHAR'"
        ).fetchall()
        for *names, column in columns:
            table = ".".join(f'"{name}"' for name in names)
            values = connection.execute(
                f'select distinct "{column}" from {table} where regexp_matches("{column}", \'[0-9a-f]{{32}}\')'
            )
            while batch := values.fetchmany(100_000):
                if any(any(mentions(value, users)) for (value,) in batch):
                    return True
    return False


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser(__doc__)
    parser.add_argument("--warehouse", type=Path, required=True, help="the DuckDB file that BI opens")
    parser.add_argument("--pseudonym-key-file", type=Path, help="key of the user pseudonyms")
    parser.add_argument("--feeds", type=Path, help="feed files that an adapter of ours wrote")
    parser.add_argument("--truth", type=Path, help="the simulated shop's truth")
    parser.add_argument("--logs", type=Path, help="folder of the tasks' logs")
    parser.add_argument("--address", default="", help="of PostgreSQL, where it is a target")
    parser.add_argument("--schema", default="qianmian", help="there (default: %(default)s)")
    parser.add_argument("--to", default="", help="s3://bucket/prefix, where it is a target")
    parser.add_argument("--endpoint-url", default="", help="of an S3-compatible store (default: AWS)")
    run_step("close_receipts", close_receipts, parser, argv)


if __name__ == "__main__":
    main()
