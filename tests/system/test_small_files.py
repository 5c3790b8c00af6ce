"""Small files that somebody else may have made."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.system.small_files import read_small, read_small_text


def refused(path: Path, **options: Any) -> int | None:
    with pytest.raises(OSError, match=r".") as caught:
        read_small(path, 8, **options)
    return caught.value.errno


def test_a_file_of_just_the_bound_is_read(tmp_path: Path) -> None:
    (tmp_path / "ref").write_bytes(b"12345678")
    assert read_small(tmp_path / "ref", 8) == b"12345678"
    assert read_small_text(tmp_path / "ref", 8) == "12345678"


def test_one_byte_more_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ref").write_bytes(b"123456789")
    assert refused(tmp_path / "ref") == errno.EOVERFLOW


def test_an_endless_device_is_refused() -> None:
    assert refused(Path("/dev/zero")) == errno.EINVAL


def test_a_fifo_without_a_writer_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert refused(tmp_path / "fifo") == errno.EINVAL


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path) == errno.EINVAL


def test_a_symlink_is_followed_only_on_request(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"x")
    (tmp_path / "link").symlink_to("there")
    assert refused(tmp_path / "link") == errno.ELOOP
    assert read_small(tmp_path / "link", 8, follow=True) == b"x"


def test_a_name_is_relative_to_an_open_folder(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"x")
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert read_small("there", 8, dir_fd=folder) == b"x"
    finally:
        os.close(folder)
