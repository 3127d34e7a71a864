"""Which user PostgreSQL runs as, and what that user can reach."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.adapters.postgres_identity import (
    Identity,
    Myself,
    Namespace,
    OtherUser,
    User,
    closed_folder,
    environment,
    let_in,
    possible_identities,
    user_name,
)

ROOT = User(0, 0)
SHOPKEEPER = User(1000, 1000)
NEIGHBOUR = User(1001, 1001)
SPARE = User(101, 104)
NAMESPACE = Namespace(inside=SPARE, outside=ROOT)


@pytest.mark.parametrize(
    ("who", "owner", "allow_namespace", "expected"),
    [
        (SHOPKEEPER, None, True, [Myself(SHOPKEEPER)]),
        (SHOPKEEPER, SHOPKEEPER, True, [Myself(SHOPKEEPER)]),
        (SHOPKEEPER, User(1000, 5), True, [Myself(SHOPKEEPER)]),
        (SHOPKEEPER, NEIGHBOUR, True, []),
        (SHOPKEEPER, ROOT, True, []),
        (ROOT, None, True, [NAMESPACE, OtherUser(SPARE)]),
        (ROOT, None, False, [OtherUser(SPARE)]),
        (ROOT, ROOT, True, [NAMESPACE, OtherUser(SPARE)]),
        (ROOT, ROOT, False, [OtherUser(SPARE)]),
        (ROOT, SHOPKEEPER, True, [OtherUser(SHOPKEEPER), NAMESPACE]),
        (ROOT, SPARE, True, [OtherUser(SPARE), NAMESPACE]),
        (ROOT, SPARE, False, [OtherUser(SPARE)]),
    ],
)
def test_the_owner_of_the_cluster_decides(
    who: User, owner: User | None, allow_namespace: bool, expected: list[Identity]
) -> None:
    assert possible_identities(who, owner, SPARE, allow_namespace=allow_namespace) == expected


@pytest.mark.parametrize(
    ("mode", "user", "passes"),
    [
        (0o700, User(os.geteuid(), 9999), True),
        (0o600, User(os.geteuid(), 9999), False),
        (0o710, User(9999, os.getegid()), True),
        (0o701, User(9999, os.getegid()), False),
        (0o701, User(9999, 9999), True),
        (0o710, User(9999, 9999), False),
    ],
)
def test_the_first_folder_that_a_user_cannot_pass_is_found(tmp_path: Path, mode: int, user: User, passes: bool) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(mode)
    outside = closed_folder(tmp_path, user)
    assert closed_folder(folder, user) == (outside or (None if passes else folder))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lets others in")
@pytest.mark.parametrize(("before", "after"), [(0o700, 0o710), (0o750, 0o750), (0o755, 0o755), (0o701, 0o701)])
def test_only_a_folder_that_was_closed_to_all_is_opened_and_to_one_group_alone(
    tmp_path: Path, before: int, after: int
) -> None:
    tmp_path.chmod(before)
    let_in(tmp_path, SPARE)
    status = tmp_path.stat()
    assert status.st_mode & 0o777 == after
    assert (status.st_gid == SPARE.gid) == (before != after)


def test_users_are_named_where_they_have_a_name() -> None:
    assert user_name(0) == "root (uid 0)"
    assert user_name(54_321) == "uid 54321"


def test_postgresql_sees_none_of_the_callers_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", "/elsewhere")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert environment().keys() <= {"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LC_ALL", "TZ"}
    assert environment()["LC_ALL"] == "C"
