"""Paths, locks and sockets of DATA_DIR/postgres."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.adapters.embedded_postgres import ClusterNotOurs, DataDirectoryInUse, PostgresFailed
from proxy.adapters.postgres_folder import (
    SOCKET_NAME,
    PostgresFolder,
    can_hold_socket,
    failures_explained,
    is_listening,
    make_folder,
    make_socket_folder,
    pid_is_strange,
    release_lock,
    remove_half_made,
    remove_socket_folder,
    running_server_dsn,
    tail,
    take_lock,
)
from proxy.adapters.postgres_identity import me


@pytest.fixture
def folder(tmp_path: Path) -> PostgresFolder:
    made = PostgresFolder(tmp_path)
    make_folder(made)
    return made


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=63))
def test_the_dsn_carries_any_path(name: str) -> None:
    host = parse_qs(urlsplit(PostgresFolder(Path("/", name)).dsn()).query)["host"]
    assert host == [str(Path("/", name, "postgres/socket"))]


def test_a_socket_fits_up_to_the_bound(tmp_path: Path) -> None:
    room = 103 - len(str(tmp_path)) - 2 - len(SOCKET_NAME)
    for length, fits in ((room, True), (room + 1, False)):
        place = tmp_path / ("x" * length)
        place.mkdir()
        assert can_hold_socket(place) is fits


def test_a_folder_that_a_dsn_cannot_name_holds_no_socket(tmp_path: Path) -> None:
    place = tmp_path / "a,b"
    place.mkdir()
    assert not can_hold_socket(place)


def test_a_socket_that_nobody_holds_any_more_is_no_server(folder: PostgresFolder) -> None:
    make_socket_folder(folder, me())
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder.socket / SOCKET_NAME))
        server.listen()
        assert is_listening(folder.socket)
        assert running_server_dsn(folder.data_dir) == folder.dsn()
    assert (folder.socket / SOCKET_NAME).exists()
    assert running_server_dsn(folder.data_dir) is None


def test_a_full_queue_is_somebody_too(folder: PostgresFolder) -> None:
    make_socket_folder(folder, me())
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as waiting:
        server.bind(str(folder.socket / SOCKET_NAME))
        server.listen(0)
        waiting.connect(str(folder.socket / SOCKET_NAME))
        assert is_listening(folder.socket)


def test_a_link_whose_folder_was_cleaned_away_is_made_anew(folder: PostgresFolder, tmp_path: Path) -> None:
    folder.socket.symlink_to(tmp_path / "discogs-proxy-gone")
    assert running_server_dsn(folder.data_dir) is None
    make_socket_folder(folder, me())
    assert folder.socket_folder().is_dir()


def test_a_link_to_a_folder_that_we_did_not_make_is_not_followed(folder: PostgresFolder, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / SOCKET_NAME).write_text("precious")
    folder.socket.symlink_to(foreign)
    remove_socket_folder(folder)
    assert (foreign / SOCKET_NAME).read_text() == "precious"
    assert not folder.socket.is_symlink()


def test_what_was_half_made_is_removed_and_nothing_else(folder: PostgresFolder) -> None:
    for name in ("data.new-abc/base", "bin.new-abc/bin", "data/base", "bin-18.6/bin"):
        (folder.root / name).mkdir(parents=True)
    remove_half_made(folder)
    assert sorted(path.name for path in folder.root.iterdir()) == ["bin-18.6", "data"]


def test_the_lock_goes_to_one_and_then_to_the_next(folder: PostgresFolder) -> None:
    first = take_lock(folder)
    with pytest.raises(DataDirectoryInUse) as caught:
        take_lock(folder)
    assert caught.value.data_dir == folder.data_dir
    release_lock(first)
    release_lock(take_lock(folder))


def test_a_link_in_the_locks_place_is_not_written_through(folder: PostgresFolder, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    folder.lock.symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"):
        take_lock(folder)
    assert precious.read_text() == "precious"


def test_an_owner_who_did_not_write_a_pid_yet_is_unknown(tmp_path: Path) -> None:
    assert "(pid unknown)" in str(DataDirectoryInUse(tmp_path, ""))


@pytest.mark.parametrize("text", ["", "not a number\n", "999999999\n"])
def test_a_pid_file_that_names_nobody_is_left_to_postgresql(folder: PostgresFolder, text: str) -> None:
    folder.cluster.mkdir()
    folder.pid_file.write_text(text)
    assert not pid_is_strange(folder)


@pytest.mark.parametrize(
    ("error", "expected"),
    [(PermissionError(13, "Permission denied"), ClusterNotOurs), (OSError(28, "No space left"), PostgresFailed)],
)
def test_failures_of_the_file_system_name_data_dir(
    folder: PostgresFolder, error: OSError, expected: type[Exception]
) -> None:
    with pytest.raises(expected, match=f"DATA_DIR {folder.data_dir} cannot be used"), failures_explained(folder):
        raise error


def test_the_tail_of_a_log_is_its_last_lines() -> None:
    assert tail("\n".join(str(number) for number in range(100))).split("\n") == [str(n) for n in range(80, 100)]
