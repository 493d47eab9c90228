"""Time and memory of laying out home pages, and of the re-rank before it, on tables made up in size.

    python -m bench.pages [--users N] [--items N] [--keep DIR]

The tables are simulated: as many rows as a shop of that size has (some 30 actions a user, lists of 20), ids and
values from hashes, so that they are the same each time. The step runs as it does daily, in a process of its own;
so does the re-rank, of pools of 60. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
from scipy import sparse

from expectations.tables import FEATURES, features_db, outputs_dir, run_dir
from ml.rerank.attributes import NAMES, Attributes
from ml.rerank.reranker import Reranker
from ml.rerank.rules import Rules
from ml.rerank.settings import POOL_LENGTH, RerankSettings

DAY = "2026-10-31"
DIMENSIONS = 384  # of a text vector
RERANKED_AT_ONCE = 4096

#: One statement a feature table; $users and $items are the sizes. `hash` is DuckDB's own: the same on every run.
_FEATURES = {
    "item_features": """
        select
            printf('p%07d', n) as item_id, printf('Item number %d of the shop', n) as title,
            printf('category %d > %d', n % 20, n % 100) as category_path,
            printf('category %d', n % 20) as category,
            printf('brand %d', n % 200) as brand, 10.0 + n % 500 as price, 'mid' as price_band, 5 as stock,
            hash(n) % 20 > 0 as is_active,
            date '2026-10-31' - cast(hash(n, 'age') % 2000 as integer) as created_on,
            '' as item_text, '' as text_hash, 0 as views_7d, 0 as views_30d, 0 as purchases_7d, 0 as purchases_30d,
            0 as purchases_90d, 0 as purchases_365d, 0 as buyers_90d, 0.0 as return_rate,
            1000.0 / (1 + hash(n, 'popular') % 1000) as popularity, false as is_cold_start
        from range($items) as t(n)
    """,
    "user_features": """
        select
            md5(n::varchar) as user_id, printf('region %d', n % 30) as region, 'en' as language,
            printf('category %d', hash(n, 'favorite') % 20) as favorite_category,
            printf('segment %d', n % 9) as segment, 'active' as lifecycle_stage
        from range($users) as t(n)
    """,
    # Each user acts on some 15 items of their own, again and again.
    "user_actions": """
        select
            printf('%d-%d', users.n, times.n) as event_id, md5(users.n::varchar) as user_id,
            printf('p%07d', hash(users.n, hash(users.n, times.n) % 15) % $items) as item_id,
            ['view', 'view', 'view', 'click', 'click', 'cart', 'favorite', 'purchase', 'purchase', 'purchase'][
                1 + cast(hash(users.n, times.n, 'type') % 10 as integer)] as event_type,
            timestamp '2026-10-31 20:00:00'
            - to_hours(cast(hash(users.n, times.n, 'when') % 8000 as integer)) as event_at,
            event_at::date as event_date, event_date::varchar as session_id, 1.0 as quantity, 10.0 as amount
        from range($users) as users(n)
        cross join range(60) as times(n)
        where times.n < hash(users.n, 'busy') % 61
        order by user_id, event_at, event_id
    """,
    "user_impressions": """
        select
            md5(users.n::varchar) as user_id, printf('p%07d', hash(users.n, 'seen', times.n) % $items) as item_id,
            1 + max(hash(users.n, times.n, 'often') % 10) as impressions_14d, date '2026-10-30' as last_shown_on
        from range($users) as users(n)
        cross join range(10) as times(n)
        group by all
        order by user_id, item_id
    """,
    "price_drops": """
        select
            printf('p%07d', n) as item_id, 10.0 + n % 500 as price, 20.0 + n % 500 as price_before,
            date '2026-10-25' as dropped_on, 10.0 / (20.0 + n % 500) as price_drop
        from range($items) as t(n)
        where hash(n) % 20 > 0 and hash(n, 'drop') % 10 = 0
    """,
    "region_items": """
        select printf('region %d', r.n) as region, i.n + 1 as rank,
            printf('p%07d', (r.n * 7919 + i.n * 104729) % $items) as item_id, 100.0 / (i.n + 1) as score
        from range(30) as r(n) cross join range(100) as i(n)
    """,
    "segment_items": """
        select case when s.n = 9 then 'all' else printf('segment %d', s.n) end as segment, i.n + 1 as rank,
            printf('p%07d', (s.n * 1299709 + i.n * 15485863) % $items) as item_id, 100.0 / (i.n + 1) as score
        from range(10) as s(n) cross join range(200) as i(n)
    """,
    "active_campaigns": """
        select printf('c%02d', c.n) as campaign_id, printf('p%07d', i.n) as item_id,
            printf('Campaign %d', c.n) as campaign_name, date '2026-10-30' as starts_on,
            date '2026-11-10' as ends_on
        from range(10) as c(n) cross join range($items) as i(n)
        where i.n % 20 = c.n
    """,
}

_OUTPUTS = {
    "home_recommendations": """
        select
            md5(users.n::varchar) as user_id, 'home' as surface, places.n + 1 as rank,
            md5(printf('%d-%d', users.n, places.n)) as recommendation_id,
            printf('p%07d', (hash(users.n, 'list') % 1000000 + places.n * 7919) % $items) as item_id,
            0.1::double / (places.n + 1) as score,
            0.02::double / (places.n + 1) as probability,
            'item_to_item' as candidate_source, 'because_you_bought' as reason_code,
            printf('Because you bought Item number %d of the shop', users.n % $items) as reason_text,
            printf('因为你买过“Item number %d of the shop”', users.n % $items) as reason_text_zh,
            'item' as evidence_type, printf('p%07d', users.n % $items) as evidence_id,
            0.01::double as contribution,
            places.n = 15 as is_exploration, false as is_promoted,
            case when places.n = 15 then 0.025::double else 1.0 end as propensity, 'made-up' as model_version
        from range($users) as users(n)
        cross join range(20) as places(n)
        order by user_id, rank
    """,
    "similar_items": """
        select
            printf('p%07d', items.n) as item_id, places.n + 1 as rank,
            printf('p%07d', (items.n + 1 + places.n * 104729) % $items) as similar_item_id,
            1.0::double / (1 + 0.1 * places.n) as score,
            case when places.n % 2 = 0 then 'bought_together' else 'similar_text' end as reason_code,
            'made-up' as model_version
        from range($items) as items(n)
        cross join range(20) as places(n)
        order by item_id, rank
    """,
}


def make_lake(lake: Path, users: int, items: int) -> dict[str, int]:
    """Write features and outputs of that size, and return their rows."""
    outputs_dir(lake, DAY).mkdir(parents=True)
    rows: dict[str, int] = {}
    sizes = {"users": users, "items": items}
    with duckdb.connect(str(features_db(lake)), config={"threads": 2}) as connection:
        connection.execute("create schema features.features")
        for table in FEATURES.values():
            columns = ", ".join(f'"{column.name}" {column.duckdb_type}' for column in table.columns)
            connection.execute(f"create table features.features.{table.name} ({columns})")
            if table.name in _FEATURES:
                sql = _FEATURES[table.name]
                used = {name: size for name, size in sizes.items() if f"${name}" in sql}
                connection.execute(f"insert into features.features.{table.name} by name {sql}", used)
                rows[table.name] = connection.table(f"features.features.{table.name}").count("*").fetchall()[0][0]
        for name, sql in _OUTPUTS.items():
            used = {size: number for size, number in sizes.items() if f"${size}" in sql}
            file = str(outputs_dir(lake, DAY) / f"{name}.parquet").replace("'", "''")
            connection.execute(f"copy ({sql}) to '{file}' (format parquet, row_group_size 100000)", used)
            rows[name] = pq.read_metadata(file).num_rows
    return rows


def pages(lake: Path) -> dict[str, Any]:
    """Run the step in a process of its own and return its report."""
    command = [
        sys.executable,
        "-m",
        "ml.homepage.lay_out_pages",
        f"--lake={lake}",
        f"--as-of={DAY}",
        "--run-id=bench",
    ]
    subprocess.run(command, check=True)
    return json.loads((run_dir(lake, "bench") / "lay_out_pages.json").read_text())


def rerank(users: int, items: int) -> dict[str, Any]:
    """Re-rank every user's pool and return the seconds and the peak of memory."""
    random = np.random.default_rng(0)
    numbers = np.arange(items)
    values = {
        name: np.char.add(name, (numbers % size).astype(str))
        for name, size in zip(NAMES, (20, 200, 3), strict=True)
    }
    attributes = Attributes.of(numbers.astype(str).astype(object), values["category"].astype(object), **values)
    vectors = random.standard_normal((items, DIMENSIONS), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # Five items each, seen too often.
    where = (np.repeat(np.arange(users), 5), random.integers(0, items, 5 * users))
    seen = sparse.csr_matrix((np.full(5 * users, 9.0), where), shape=(users, items))
    reranker = Reranker(
        attributes, vectors, Rules.of([], "home", attributes), seen, numbers >= items // 5,
        np.arange(users).astype(str).astype(object), np.zeros(users, dtype=np.int64), "home", RerankSettings(),
    )  # fmt: skip
    seconds, listed = 0.0, 0
    for first in range(0, users, RERANKED_AT_ONCE):
        some = np.arange(first, min(first + RERANKED_AT_ONCE, users))
        starts = random.integers(0, items, len(some))
        pool = (starts[:, None] + 7919 * np.arange(POOL_LENGTH)) % items
        scores = np.sort(random.random((len(some), POOL_LENGTH)), axis=1)[:, ::-1]
        began = time.perf_counter()
        listed += int((reranker.rerank(some, pool, scores).items >= 0).sum())
        seconds += time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(seconds, 1), "peak_memory_mib": round(peak), "rows": listed}


def in_its_own_process(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Work where no other's memory counts: a process begins with the high-water mark of the one that starts it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000, help="(default: %(default)s)")
    parser.add_argument("--items", type=int, default=20_000, help="(default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="folder for the lake, kept afterwards (default: deleted)")
    args = parser.parse_args()
    folder = args.keep or Path(tempfile.mkdtemp(prefix="pages-"))
    lake = folder / "lake"
    try:
        rows = in_its_own_process(make_lake, lake, args.users, args.items)
        report = pages(lake)
        bytes_ = (outputs_dir(lake, DAY) / "homepage_layouts.parquet").stat().st_size
    finally:
        if not args.keep:
            shutil.rmtree(folder)
    reranked = in_its_own_process(rerank, args.users, args.items)
    table = {
        "pages": (report["seconds"], report["peak_memory_mib"], report["homepage_layouts"]),
        "re-rank": (reranked["seconds"], reranked["peak_memory_mib"], reranked["rows"]),
    }
    print(f"{args.users:,} simulated users, {args.items:,} items, {rows['user_actions']:,} actions")
    print(f"{'':<10}{'seconds':>10}{'us/user':>10}{'peak MiB':>10}{'rows':>12}")
    for name, (seconds, peak, written) in table.items():
        print(f"{name:<10}{seconds:>10.1f}{1e6 * seconds / args.users:>10.0f}{peak:>10,}{written:>12,}")
    share = {name: round(count / args.users, 3) for name, count in report["users_with_module"].items()}
    print("users with: " + ", ".join(f"{name} {part:.0%}" for name, part in share.items()))
    print(
        json.dumps(
            {
                "bench": "pages",
                "data": "simulated sizes",
                "users": args.users,
                "items": args.items,
                "rows": rows,
                "pages": {
                    "seconds": report["seconds"],
                    "peak_memory_mib": report["peak_memory_mib"],
                    "rows": report["homepage_layouts"],
                    "bytes": bytes_,
                    "users_with_module": share,
                },
                "rerank": reranked,
            }
        )
    )


if __name__ == "__main__":
    main()
