"""What is installed is whole: the wheel alone can migrate a database."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.migrations.conftest import Place

SOURCE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=SOURCE, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_holds_every_migration_and_statement(wheel: Path):
    held = set(ZipFile(wheel).namelist())
    migrations = {
        f"syncd/_migrations/versions/{file.name}" for file in (SOURCE / "migrations/versions").glob("*.py")
    }
    statements = {f"syncd/database/sql/{file.name}" for file in (SOURCE / "syncd/database/sql").glob("*.sql")}
    assert len(migrations) > 0
    assert len(statements) > 0
    assert (
        migrations
        | statements
        | {"syncd/_migrations/env.py", "syncd/_config/syncd.example.toml", "syncd/py.typed"}
        <= held
    )
    assert not [name for name in held if name.startswith(("tests/", "migrations/"))]


def test_an_installed_wheel_migrates_without_the_source_tree(wheel: Path, place: Place, tmp_path: Path):
    site = tmp_path / "site"
    install = [
        "-m",
        "pip",
        "install",
        "-qq",
        "--disable-pip-version-check",
        "--no-index",
        "--no-deps",
        "--target",
        str(site),
    ]
    subprocess.run([sys.executable, *install, str(wheel)], check=True, capture_output=True)
    environment = os.environ | {"PYTHONPATH": str(site), "SYNCD_DATABASE__URL": place.url}

    def run(*command: str) -> str:
        result = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    # Otherwise the checkout would be tested, which this environment has installed too.
    where = run(
        "-c", "import syncd.database.migrate as m; print(m.__file__); print(m.scripts())"
    ).splitlines()
    assert all(line.startswith(str(site)) for line in where)
    run("-m", "syncd", "migrate")
    assert place.rows("SELECT version_num FROM syncd.alembic_version") == [
        (max(file.name.partition("_")[0] for file in (SOURCE / "migrations/versions").glob("*.py")),)
    ]
