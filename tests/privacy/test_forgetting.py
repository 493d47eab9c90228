"""Forgetting a user: nothing of them is left anywhere but the receipt, and nothing of them comes back."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from feeds.landing_journal import Journal
from privacy import close_receipts, forget_users
from privacy.s3_versions import Version, VersionedPrefix
from qianmian.step import StepError
from tests.privacy.shop import ASKED, AT, BUCKET, DAYS, GONE, THEIRS, PublishedShop
from tests.spark_jobs.small_shop import event

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("QIANMIAN_KILLS", "2"))


def users_of(shop: PublishedShop, table: str) -> set[str]:
    with duckdb.connect(str(shop.warehouse), read_only=True) as connection:
        return {row[0] for row in connection.sql(f"select user_id from {table}").fetchall()}


def counts(shop: PublishedShop) -> dict[str, dict[str, Any]]:
    """All files' counts; each file's rows are clean, quarantined or set aside."""
    found = {}
    for feed in ("events", "users", "reviews", "erasure_requests"):
        for path, entry in shop.manifest(feed)["inputs"].items():
            found[path] = entry["counts"]
            sums = sum(entry["counts"]["quarantined"].values()) + sum(entry["counts"]["set_aside"].values())
            assert entry["counts"]["rows"] == entry["counts"]["clean"] + sums, path
    return found


def test_nothing_is_left_but_the_receipt_and_nothing_comes_back(shop_with_targets: PublishedShop) -> None:
    shop = shop_with_targets
    before = shop.found(GONE, THEIRS)
    for place in (
        *("landing/events", "clean/events", "clean/quarantine", "features.duckdb seen", "outputs"),
        *("published/home_recommendations", "checks_tables.html", "postgres bi_sets", "s3 tables"),
    ):
        assert any(place in found for found in before), place
    others = users_of(shop, "user_portraits") - {THEIRS}

    assert shop.forget()["closed"] == 1
    assert shop.found(GONE, THEIRS) == []
    [receipt] = shop.receipts()
    assert (receipt["user_id"], receipt["requested_at"]) == (THEIRS, "2026-10-31T12:00:00+00:00")
    assert receipt["forgotten_at"]
    assert receipt["search"]["found"] == 0
    assert receipt["removed"]["landing"] == 7  # a row of each of five files, a broken line, the request
    assert {"features", "outputs", "postgres", "published", "s3", "texts"} <= receipt["removed"].keys()

    # All others are as they were, in a set that holds together.
    assert users_of(shop, "user_portraits") == others
    with duckdb.connect(str(shop.warehouse), read_only=True) as connection:
        orphans = connection.sql(
            "select count(*) from recommendation_explanations "
            "anti join home_recommendations using (recommendation_id)"
        ).fetchall()
        assert orphans == [(0,)]
        assert connection.sql("select count(distinct as_of_date) from user_portraits_history").fetchall() == [(2,)]
    with duckdb.connect(str(shop.lake / "features.duckdb"), read_only=True) as features:
        assert features.sql("select count(*) from features.features.seen").fetchall() == [(0,)]
    prefix, local = VersionedPrefix(BUCKET, shop.endpoint), shop.folder / "object"
    for name in prefix.keys("manifests/"):
        manifest = prefix.read(name)
        assert manifest
        for file in manifest[0]["files"]:
            assert prefix.bring(Version(file["key"]), local)
            assert hashlib.sha256(local.read_bytes()).hexdigest() == file["sha256"]

    # Landing again copies nothing, though the shop still has it all; what it hands over anew is set aside.
    landed = Journal(shop.lake / "landing" / "manifest.jsonl").files
    assert landed[f"events/only-{DAYS[1]}.jsonl"].emptied
    shop.land()
    assert Journal(shop.lake / "landing" / "manifest.jsonl").files == landed
    shop.write(f"events/{DAYS[0]}-again.jsonl", [event("d7", AT, GONE), event("d8", AT, "u3")])
    shop.write("events/2026-11-01.jsonl", [event("n1", "2026-11-01T09:00:00Z", "u2"), event("n2", AT, GONE)])
    shop.write(f"erasure_requests/{DAYS[1]}.csv", f"user_id,requested_at\n{GONE}, {ASKED}\n")
    shop.clean(full_refresh=True)
    counted = counts(shop)
    assert counted["events/2026-11-01.jsonl"]["set_aside"] == {"forgotten": 1}
    assert counted[f"events/{DAYS[0]}-again.jsonl"] == {
        "rows": 2, "clean": 1, "quarantined": {}, "set_aside": {"forgotten": 1}, "anonymised": 0,
    }  # fmt: skip
    assert counted[f"erasure_requests/{DAYS[1]}.csv"]["set_aside"] == {"forgotten": 1}
    assert all("/landing/" in place for place in shop.found(GONE, THEIRS))
    shop.forget()
    assert shop.found(GONE, THEIRS) == []
    assert [one["forgotten_at"] for one in shop.receipts()] == [receipt["forgotten_at"]]
    counts(shop)


def test_a_person_who_comes_back_is_somebody_new(shop: PublishedShop) -> None:
    shop.forget()
    after = "2026-11-02T08:00:00Z"
    shop.write("users/2026-11-02.csv", f"user_id,registered_at\n{GONE},{after}\n")
    shop.write("events/2026-11-02.jsonl", [event("x1", "2026-11-02T09:00:00Z", GONE), event("x2", AT, GONE)])
    shop.clean()
    assert [row["event_id"] for row in shop.rows("events") if row["user_id"] == THEIRS] == ["x1"]
    assert [row["user_id"] for row in shop.rows("users") if row["arrived_on"].isoformat() > DAYS[1]] == [THEIRS]
    shop.forget()  # closed long ago: what came after the request stays
    assert [row["event_id"] for row in shop.rows("events") if row["user_id"] == THEIRS] == ["x1"]
    shop.write("erasure_requests/2026-11-03.csv", f"user_id,requested_at\n{GONE},2026-11-03T08:00:00Z\n")
    shop.land()
    args = shop.more()
    args.as_of = "2026-11-02"
    forget_users.forget_users(args)
    assert THEIRS in str(shop.rows("events")), "asked for on a later day"
    args.as_of = "2026-11-03"
    forget_users.forget_users(args)
    close_receipts.close_receipts(args)
    assert shop.found(GONE, THEIRS) == []
    [receipt] = shop.receipts()
    assert [one["requested_at"] for one in receipt["earlier"]] == ["2026-10-31T12:00:00+00:00"]


def test_a_receipt_stays_open_while_anything_is_found(shop: PublishedShop) -> None:
    forget_users.forget_users(shop.more())
    stray = shop.lake / "models" / "weights.bin"
    stray.parent.mkdir()
    stray.write_bytes(b"\xff\xfe" + THEIRS.encode())
    with pytest.raises(StepError, match=r"still in .*weights\.bin"):
        close_receipts.close_receipts(shop.more())
    assert [receipt["forgotten_at"] for receipt in shop.receipts()] == [""]
    with pytest.raises(StepError, match=r"weights\.bin names a user"):
        forget_users.forget_users(shop.more())
    stray.unlink()
    assert shop.forget()["closed"] == 1


def test_killed_at_any_moment_it_goes_on(shop: PublishedShop) -> None:
    command = [
        *(sys.executable, "-m", "privacy.forget_users", f"--lake={shop.lake}", "--as-of=2026-10-31"),
        *("--run-id=killed", f"--warehouse={shop.warehouse}", "--driver-memory=1g"),
    ]
    rng = random.Random(int(os.environ.get("QIANMIAN_SEED", "7")))
    for _ in range(KILLS):
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not shop.receipts() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 8))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert users_of(shop, "user_portraits")  # a reader finds a whole warehouse
    assert shop.forget()["closed"] == 1
    assert shop.found(GONE, THEIRS) == []
    assert len(shop.receipts()) == 1
    counts(shop)
    left = [path for path in (shop.folder / "shop").rglob("*.tmp*") if "spark" not in str(path)]
    assert left == []
    assert json.loads((shop.lake / "at_work.json").read_text())["run_id"] == "killed"
