"""Files that stop the step: what it says, and that nothing is committed; and kills."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expectations.tables import CLEAN
from qianmian.step import StepError
from spark_jobs import clean
from tests.spark_jobs.small_shop import AT, DAY, ITEMS, SmallShop, event, pseudonym

NEXT_DAY = "2026-11-01"


def test_garbage_names_file_and_remedy_and_leaves_all_as_it_was(shop: SmallShop) -> None:
    shop.write("items/catalogue.csv", ITEMS)
    shop.write(f"events/{DAY}.jsonl", [event("e1")])
    shop.clean()
    before = {table: shop.manifest(table) for table in CLEAN}

    good = [event(f"good{number}", NEXT_DAY) for number in range(60)]
    bad = [event(f"bad{number}", "?", "secret-user") for number in range(20)]
    late = [event(f"future{number}", "2027-01-01") for number in range(3)]
    next_file = shop.write(f"events/{NEXT_DAY}.jsonl", [*good, *bad, *late])
    after = shop.write("events/2026-11-02.jsonl", [*good[:30], *bad[:10]])
    with pytest.raises(StepError) as refused:
        shop.clean()
    assert f"landing/events/{NEXT_DAY}.jsonl: 28% of its 83 rows are unusable" in refused.value.what
    assert "wrong_type:event_at: 20 rows, the first is row 61" in refused.value.what
    assert "future_time: 3 rows, the first is row 81" in refused.value.what
    assert pseudonym("secret-user") in refused.value.what
    assert "secret-user" not in refused.value.what
    assert "More files are unusable:\n  events/2026-11-02.jsonl: 25% of 40 rows" in refused.value.what
    assert "fill event_at" in refused.value.remedy

    next_file.write_bytes(b"")
    after.write_bytes(b"")
    with pytest.raises(StepError, match=rf"events/{NEXT_DAY}.jsonl is empty") as refused:
        shop.clean()
    assert "More files cannot be read either:\n  events/2026-11-02.jsonl is empty" in refused.value.what
    assert "write the file again" in refused.value.remedy

    after.unlink()
    with next_file.open("wb") as file:
        for _ in range(100):
            file.write(b"x" * (1 << 20))
    with pytest.raises(StepError, match=rf"events/{NEXT_DAY}.jsonl is not JSON Lines: none of its 1 lines"):
        shop.clean()
    assert {table: shop.manifest(table) for table in CLEAN} == before

    # A file handed over twice under two names, and one bad row of two, are no reason to stop.
    next_file.write_bytes((shop.source / f"events/{DAY}.jsonl").read_bytes() * 30)
    shop.write("events/2026-11-02.jsonl", [event("e2"), event("e3", "?")])
    counts = shop.clean()["events"]
    assert (counts["clean"], counts["quarantined"]) == (2, {"duplicate": 30, "wrong_type:event_at": 1})


KILL_IN_COMMIT = """
import os, signal, sys
import spark_jobs.clean as step, spark_jobs.settling as settling
from spark_jobs.cleaning import cleaning_parser
commit = settling.commit
def commit_and_die(folder, manifest):
    commit(folder, manifest)
    if manifest.table == "bots":
        os.kill(os.getpid(), signal.SIGKILL)
settling.commit = commit_and_die
step.main(cleaning_parser("").parse_args(sys.argv[1:]))
"""


def test_killed_between_commits_then_run_again_is_as_undisturbed(shop: SmallShop, tmp_path: Path) -> None:
    shop.write("items/catalogue.csv", ITEMS)
    crawl = [event(f"m{n}", f"{DAY}T08:{n // 60:02}:{n % 60:02}Z", "machine") for n in range(200)]
    shop.write(f"events/{DAY}.jsonl", [event("e1"), event("e1"), event("e2", "?"), *crawl])
    shop.write(f"reviews/{DAY}.jsonl", [{"review_id": "r", "user_id": "u", "item_id": "i1", "created_at": AT}])
    undisturbed = SmallShop(tmp_path / "undisturbed")
    undisturbed.source = shop.source
    undisturbed.clean()
    assert [(row["user_id"], row["rule"]) for row in undisturbed.rows("bots")] == [
        (pseudonym("machine"), "machine_pace")
    ]

    shop.land()
    command = [
        sys.executable,
        "-c",
        KILL_IN_COMMIT,
        "--lake",
        str(shop.lake),
        "--as-of",
        DAY,
        "--driver-memory",
        "1g",
    ]
    killed = subprocess.run(command, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert shop.rows("quarantine"), "the quarantine was committed"
    assert not (shop.lake / "clean/events/_manifest.json").exists(), "the events were not"
    clean.main(shop.args())
    assert {table: shop.rows(table) for table in CLEAN} == {table: undisturbed.rows(table) for table in CLEAN}


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=10),
    st.sampled_from(["i1", "u1", AT, "purchase", "view", "5", "-1", "1e9", "2026-10-31", "99999-01-01", "\0"]),
    st.lists(st.text(max_size=3), max_size=2),
)
ROWS = st.fixed_dictionaries(
    {
        "event_id": VALUES,
        "event_at": VALUES | st.just(AT),
        "user_id": VALUES,
        "event_type": VALUES | st.just("view"),
    },
    optional=dict.fromkeys(("item_id", "quantity", "unit_price", "rating", "platform", "session_id"), VALUES),
)


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(rows=st.lists(ROWS, min_size=40, max_size=60))
def test_any_rows_in_are_clean_or_rejected(shop: SmallShop, rows: list[dict[str, object]]) -> None:
    shop.write("items/catalogue.csv", ITEMS)
    shop.write("events/2026-10-31.jsonl", [*rows, event("sound")])
    shop.land()
    args = shop.args(full_refresh=True)
    args.max_quarantined_share = 1.0
    counts = clean.main(args)["feeds"]["events"]
    numbers = [row["row_number"] for row in shop.rows("events")] + [
        row["row_number"] for row in shop.rows("quarantine")
    ]
    assert sorted(numbers) == list(range(1, len(rows) + 2))
    assert counts["rows"] == len(rows) + 1 == counts["clean"] + sum(counts["quarantined"].values())
