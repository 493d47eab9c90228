"""Users who asked are forgotten by the DAG, after a day that ran through Airflow: in everything that it left."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

from expectations.tables import receipts_dir
from qianmian.local_airflow import FORGETTING_DAG_ID
from spark_jobs.pseudonyms import Pseudonyms
from tests.privacy.shop import contents

if TYPE_CHECKING:
    from conftest import AirflowForTests


def test_nothing_is_left_of_who_asked_but_the_receipt(airflow: AirflowForTests, published_run: str) -> None:
    shop = airflow.settings("simulated")
    asked = {
        row["user_id"]
        for file in (shop.lake / "landing" / "erasure_requests").glob("*.csv")
        for row in csv.DictReader(file.open())
    }
    key = Pseudonyms(airflow.environ["QIANMIAN_PSEUDONYM_KEY"].encode())
    theirs = {key.of(user_id) for user_id in asked}
    assert theirs
    needles = [text.encode() for text in (*asked, *theirs)]

    def places() -> set[str]:
        # Of all under the home: Airflow's logs and database, lineage and MLflow's store lie there too.
        return {place for place, held in contents(shop.home) if any(needle in held for needle in needles)}

    # Of who asked nothing is published any more; what was handed over and cleaned is still there.
    before = places()
    for place in ("landing/events", "landing/erasure_requests", "clean/events", "features.duckdb"):
        assert any(place in found for found in before), place
    run_id = airflow.trigger(FORGETTING_DAG_ID, shop="simulated", as_of="2026-10-31")
    state = airflow.wait(run_id, dag_id=FORGETTING_DAG_ID)
    assert state == "success", airflow.states(run_id, FORGETTING_DAG_ID)
    assert places() == set()
    receipts = [json.loads(file.read_text()) for file in receipts_dir(shop.lake).glob("[0-9a-f]*.json")]
    assert {receipt["user_id"] for receipt in receipts} == theirs
    assert all(receipt["forgotten_at"] for receipt in receipts)
    # All others are there as before, in a set that stands.
    assert airflow.api.run("personalize_daily", published_run)["state"] == "success"
    assert shop.warehouse.is_file()
