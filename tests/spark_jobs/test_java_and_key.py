"""What Spark runs on, what pseudonyms are made with, which files are read again."""

from __future__ import annotations

import subprocess
from datetime import date
from pathlib import Path

import pytest

from qianmian.step import StepError
from spark_jobs.java import java_home
from spark_jobs.landed import Landed, changed_since, plan
from spark_jobs.pseudonyms import Pseudonyms, existing_key, read_key


def test_the_bundled_java_starts_with_what_spark_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    java = java_home(tmp_path / "a folder") / "bin" / "java"
    asked = [
        str(java),
        "--add-modules=jdk.incubator.vector",
        "-Dsaid=two words",
        "-XshowSettings:properties",
        "-version",
    ]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stderr
    assert "said = two words" in told


def test_java_home_goes_first_unless_it_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert java_home(tmp_path / "made") == tmp_path
    (tmp_path / "release").write_text('IMPLEMENTOR="x"\nJAVA_VERSION="17.0.2"\n')
    assert java_home(tmp_path / "made") == tmp_path
    (tmp_path / "release").write_text('JAVA_VERSION="1.8.0_392"\n')
    assert java_home(tmp_path / "made") == tmp_path / "made" / "java"


def test_a_pseudonym_is_the_hmac_that_a_shop_computes() -> None:
    # printf 'u00001241' | openssl dgst -sha256 -hmac 'a key of good length'
    assert Pseudonyms(b"a key of good length").of("u00001241") == "9cbd1093810fe97ab709982833742948"


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QIANMIAN_PSEUDONYM_KEY", raising=False)
    file = tmp_path / "secrets" / "pseudonym.key"
    key = read_key(file)
    assert (len(bytes.fromhex(key.decode())), file.stat().st_mode & 0o777) == (32, 0o600)
    assert read_key(file) == key
    monkeypatch.setenv("QIANMIAN_PSEUDONYM_KEY", key.decode() + "\n")
    assert read_key(tmp_path / "none") == key
    assert not (tmp_path / "none").exists()
    monkeypatch.setenv("QIANMIAN_PSEUDONYM_KEY", "short")
    with pytest.raises(StepError, match="fewer than 16"):
        read_key(file)


def known(*days: str) -> dict[str, dict[str, str]]:
    return {f"events/{day}.csv": {"sha256": "same", "arrived_through": day} for day in days}


def landed(**sha256: str) -> list[Landed]:
    return [Landed(f"events/{day.replace('_', '-').strip('d')}.csv", 1, value) for day, value in sha256.items()]


def test_a_change_reaches_what_arrived_with_it_and_later() -> None:
    files = landed(d2026_10_29="same", d2026_10_30="other", d2026_10_31="same")
    inputs = known("2026-10-29", "2026-10-30", "2026-10-31")
    since = changed_since({file.path: file.sha256 for file in files}, dict.fromkeys(inputs, "same"))
    work = plan(files, inputs, since)
    assert since == date(2026, 10, 30)
    assert [file.path for file in work.read] == ["events/2026-10-30.csv", "events/2026-10-31.csv"]
    assert list(work.kept) == ["events/2026-10-29.csv"]


def test_a_vanished_file_is_a_change_and_no_change_is_none() -> None:
    inputs = known("2026-10-29", "2026-10-30")
    assert changed_since({"events/2026-10-30.csv": "same"}, dict.fromkeys(inputs, "same")) == date(2026, 10, 29)
    assert changed_since(dict.fromkeys(inputs, "same"), dict.fromkeys(inputs, "same")) is None
    assert not plan(landed(d2026_10_29="same", d2026_10_30="same"), inputs, None).is_stale


def test_an_undated_file_that_is_touched_touches_everything() -> None:
    history = {"events/history.csv": {"sha256": "same", "arrived_through": "2026-10-30"}}
    files = [Landed("events/history.csv", 1, "same"), *landed(d2026_10_29="same", d2026_10_31="new")]
    inputs = {**history, **known("2026-10-29")}
    assert [file.path for file in plan(files, inputs, date(2026, 10, 31)).read] == ["events/2026-10-31.csv"]
    assert len(plan(files, inputs, date(2026, 10, 30)).read) == 3


def test_looking_a_user_up_makes_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new key would answer with ids that are nobody's."""
    monkeypatch.delenv("QIANMIAN_PSEUDONYM_KEY", raising=False)
    file = tmp_path / "secrets" / "pseudonym.key"
    with pytest.raises(StepError, match="There is no key of the pseudonyms"):
        existing_key(file)
    assert not file.exists()
    made = read_key(file)
    assert existing_key(file) == made
