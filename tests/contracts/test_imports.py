"""Who may import whom: the table of docs/architecture.md, held over every source file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "bench",
    "bi",
    "dags",
    "expectations",
    "feeds",
    "ml",
    "preview",
    "privacy",
    "qianmian",
    "spark_jobs",
    "warehouse",
)
LEAF = {"expectations.tables", "qianmian.shop_lock", "qianmian.step"}
# What a folder may import beside itself; `qianmian/` (the local control) and `bench/` may import anything.
ALLOWED = {
    # It starts Superset, which reads what is published in an environment of its own.
    "bi": LEAF | {"qianmian.files", "qianmian.ports", "qianmian.settings"},
    "dags": LEAF | {"qianmian.settings"},
    "expectations": LEAF,
    "feeds": LEAF,
    "ml": LEAF,
    # It reads what is published, and where the key is at hand finds a user by the shop's own id.
    "preview": LEAF
    | {"qianmian.ports", "qianmian.settings", "spark_jobs.pseudonyms"}
    | {"warehouse.history", "warehouse.relations", "warehouse.runs"},
    # It goes wherever users are: what landed, cleaning it again, what was published and where to.
    "privacy": LEAF
    | {f"feeds.{name}" for name in ("land", "landing_journal", "landing_sources", "prepared_folder")}
    | {"spark_jobs.reading.reader"}
    | {f"spark_jobs.{name}" for name in ("clean", "cleaning", "forgotten", "landed")}
    | {"spark_jobs.manifest", "spark_jobs.pseudonyms", "warehouse.targets.postgres", "warehouse.targets.s3_prefix"}
    | {f"warehouse.{name}" for name in ("history", "relations", "runs", "swap")},
    "spark_jobs": LEAF,
    "warehouse": LEAF,
}


def project_imports(file: Path) -> Iterator[str]:
    """Yield the project's modules that a file imports, at any depth: `qianmian.step`, `ml.metrics.ranking`."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            # `from ml.metrics import ranking` may name a module or what is in one
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if _is_module(name) else str(node.module) for name in names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in PACKAGES)


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_every_package_is_looked_at() -> None:
    found = {folder.name for folder in ROOT.iterdir() if any(folder.glob("*.py")) and folder.name != "tests"}
    assert found == set(PACKAGES)


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_folder_imports_only_what_its_row_allows(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in files
        for name in project_imports(file)
        if name.split(".")[0] != package and name not in ALLOWED[package]
    ]
    assert wrong == []


def test_the_leaf_imports_nothing_but_itself() -> None:
    leaf = sorted((ROOT / "expectations" / "tables").glob("*.py"))
    assert leaf
    assert all(n.startswith("expectations.tables") for file in leaf for n in project_imports(file))
    for name in ("step", "shop_lock"):
        assert set(project_imports(ROOT / "qianmian" / f"{name}.py")) <= LEAF


def test_a_forbidden_import_would_be_seen(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(
        "def f():\n    from ml.metrics import ranking\n    import spark_jobs.session\n    import json\n"
    )
    assert list(project_imports(file)) == ["ml.metrics.ranking", "spark_jobs.session"]
