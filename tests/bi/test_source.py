"""What Superset is given to read, and what is said where it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from bi import __main__ as start
from bi.source import source
from bi.superset_process import Superset
from qianmian import settings
from qianmian.ports import LOOPBACK
from qianmian.settings import Settings
from qianmian.step import StepError
from tests.bi.conftest import PASSWORD, READER, SCHEMA


@pytest.fixture
def shop(home: Path) -> Settings:
    return settings.load("simulated", {"QIANMIAN_HOME": str(home)})


def test_the_file_where_no_server_is_set(shop: Settings) -> None:
    found = source(shop)
    assert make_url(found.uri).database == str(shop.warehouse)
    assert found.schema == "main"


def test_nothing_published_yet(shop: Settings, tmp_path: Path) -> None:
    with pytest.raises(StepError, match="nothing was published yet") as error:
        source(replace(shop, home=tmp_path))
    assert "make run SHOP=simulated" in error.value.remedy


def test_the_server_as_its_reader_and_without_a_password(
    shop: Settings, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    there = replace(
        shop, postgres_target=f"{postgres} sslmode=prefer", postgres_schema=SCHEMA, postgres_reader_role=READER
    )
    found = source(there)
    url = make_url(found.uri)
    assert (url.username, url.host, url.database) == (READER, "127.0.0.1", "postgres")
    assert url.query == {"sslmode": "prefer"}
    assert PASSWORD not in found.uri
    assert found.schema == SCHEMA


def test_a_schema_that_is_not_there(shop: Settings, postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with pytest.raises(StepError, match=f"schema nothing cannot be read as {READER}"):
        source(replace(shop, postgres_target=postgres, postgres_schema="nothing", postgres_reader_role=READER))


@pytest.mark.parametrize(
    ("target", "said"),
    [("postgresql://me:secret@db/bi", "holds a password"), ("host=db pass word", "cannot be read as an address")],
)
def test_addresses_that_are_refused(shop: Settings, target: str, said: str) -> None:
    with pytest.raises(StepError, match=said) as error:
        source(replace(shop, postgres_target=target))
    assert "secret" not in error.value.what


def test_it_is_served_on_this_machine_only_and_its_secrets_are_ours_alone(shop: Settings, tmp_path: Path) -> None:
    superset = Superset(replace(shop, home=tmp_path))
    assert f"--bind={LOOPBACK}:8088" in superset.server(8088)
    assert superset.password == superset.password
    environ = superset.environ
    for name in ("superset_admin.password", "superset.key"):
        file = tmp_path / "secrets" / name
        assert file.stat().st_mode & 0o077 == 0
        assert file.read_text() not in [*superset.server(8088), *environ.values()]


def test_a_port_in_use_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        monkeypatch.setenv("QIANMIAN_SUPERSET_PORT", str(taken.getsockname()[1]))
        assert start.main([]) == 2
    said = capsys.readouterr().err
    assert "which superset_port asks for, is in use" in said
    assert "WHAT TO DO" in said
