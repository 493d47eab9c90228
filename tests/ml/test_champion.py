"""Which recommender serves a day, whatever was killed, deleted or trained since."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from expectations.tables import recommenders_dir
from ml.recommender.champion import (
    champion,
    find_version,
    last_decision,
    promote,
    record_decision,
    save_version,
)
from qianmian.step import StepError


def save(lake: Path, as_of: str = "2026-10-31", content: str = "weights"):
    def write(folder: Path) -> None:
        (folder / "model.json").write_text(content)
        (folder / "trees").mkdir()
        (folder / "trees" / "ranker.txt").write_text("trees")

    return save_version(lake, as_of, write, text_version="test-1", trained_before=20750.0, seed=7)


def test_nobody_promoted_is_no_champion(tmp_path):
    save(tmp_path)
    assert champion(tmp_path, "2026-10-31") is None


def test_a_day_has_the_champion_promoted_last_up_to_it(tmp_path):
    first, second = save(tmp_path, "2026-10-24", "one"), save(tmp_path, "2026-10-31", "two")
    promote(tmp_path, "2026-10-24", first.name)
    promote(tmp_path, "2026-10-31", second.name)
    days = ("2026-10-23", "2026-10-24", "2026-10-30", "2026-10-31", "2027-01-01")
    found = [champion(tmp_path, day) for day in days]
    assert [f and f.name for f in found] == [None, first.name, first.name, second.name, second.name]
    assert found[-1].text_version == "test-1"
    assert found[-1].about["seed"] == 7


def test_the_same_content_is_the_same_version_and_other_content_is_not(tmp_path):
    first = save(tmp_path)
    assert save(tmp_path).name == first.name
    assert save(tmp_path, content="others").name != first.name
    assert (first.folder / "trees" / "ranker.txt").read_text() == "trees"


def test_a_training_killed_while_saving_leaves_nothing_to_see(tmp_path):
    def killed(folder: Path) -> None:
        (folder / "model.json").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_version(tmp_path, "2026-10-31", killed, text_version="test-1", trained_before=0.0)
    assert list((recommenders_dir(tmp_path) / "versions").iterdir()) == []


@pytest.mark.parametrize("harm", ["deleted", "cut", "file_gone", "about_gone"])
def test_a_champion_that_is_not_whole_is_told_with_a_remedy(tmp_path, harm):
    version = save(tmp_path)
    promote(tmp_path, "2026-10-31", version.name)
    if harm == "deleted":
        shutil.rmtree(version.folder)
    elif harm == "cut":
        (version.folder / "model.json").write_text("weig")
    elif harm == "file_gone":
        (version.folder / "trees" / "ranker.txt").unlink()
    else:
        (version.folder / "about.json").unlink()
    with pytest.raises(StepError, match=version.name) as error:
        champion(tmp_path, "2026-11-01")
    assert "promotions" in error.value.remedy


def test_saving_again_mends_a_torn_version(tmp_path):
    version = save(tmp_path)
    (version.folder / "model.json").unlink()
    assert find_version(tmp_path, save(tmp_path).name).folder == version.folder


def test_what_is_not_whole_cannot_be_promoted(tmp_path):
    version = save(tmp_path)
    (version.folder / "model.json").unlink()
    with pytest.raises(StepError):
        promote(tmp_path, "2026-10-31", version.name)
    assert champion(tmp_path, "2026-10-31") is None


def test_a_promotion_that_names_nothing_is_told(tmp_path):
    (recommenders_dir(tmp_path) / "promotions").mkdir(parents=True)
    (recommenders_dir(tmp_path) / "promotions" / "2026-10-31.json").write_text("{}")
    with pytest.raises(StepError, match=r"2026-10-31\.json"):
        champion(tmp_path, "2026-10-31")


def test_taking_a_promotion_back_brings_the_one_before(tmp_path):
    first, second = save(tmp_path, "2026-10-24", "one"), save(tmp_path, "2026-10-31", "two")
    promote(tmp_path, "2026-10-24", first.name)
    promote(tmp_path, "2026-10-31", second.name)
    (recommenders_dir(tmp_path) / "promotions" / "2026-10-31.json").unlink()
    assert champion(tmp_path, "2026-11-05").name == first.name


def test_a_day_has_the_last_decision_up_to_it(tmp_path):
    record_decision(tmp_path, "2026-10-24", {"promoted": True})
    record_decision(tmp_path, "2026-10-31", {"promoted": False})
    assert last_decision(tmp_path, "2026-10-23") is None
    assert last_decision(tmp_path, "2026-10-30") == {"promoted": True}
    assert last_decision(tmp_path, "2026-11-30") == {"promoted": False}
