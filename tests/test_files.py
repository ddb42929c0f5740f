"""A written file is whole or not there."""

import contextlib
import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from costmodel.errors import CostModelError
from costmodel.report.files import write

TEXT = "layer,total\nétage,1\n"


@pytest.fixture
def umask():
    """A setter of the process's mask, which is put back at the end."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def refused(path):
    with pytest.raises(CostModelError) as caught:
        write(path, TEXT)
    assert str(caught.value).startswith(f"{path}: cannot write it: ")
    return str(caught.value)


def test_a_file_is_written_as_utf_8_with_its_own_line_ends(tmp_path):
    write(tmp_path / "a.csv", TEXT + "x\r\n")
    assert (tmp_path / "a.csv").read_bytes() == (TEXT + "x\r\n").encode()
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]


def test_bytes_are_written_as_they_are(tmp_path, capsysbinary):
    picture = b"\x89PNG\r\n\x1a\n\x00\xff"
    write(tmp_path / "a.png", picture)
    assert (tmp_path / "a.png").read_bytes() == picture
    write(Path("-"), picture)
    assert capsysbinary.readouterr().out == picture


def test_a_shorter_text_replaces_a_longer_one(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("old " * 1000, encoding="utf-8")
    write(file, TEXT)
    assert file.read_text(encoding="utf-8") == TEXT


def test_a_relative_path_is_below_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("a.csv"), TEXT)
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == TEXT


def test_the_text_is_whole_and_in_the_same_folder_before_it_takes_its_name(tmp_path, monkeypatch):
    file, seen, replace = tmp_path / "a.csv", [], Path.replace
    file.write_text("old", encoding="utf-8")

    def watched(self, target):
        seen.append((self.parent, self.read_text(encoding="utf-8"), file.read_text(encoding="utf-8")))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    write(file, TEXT)
    assert seen == [(tmp_path.resolve(), TEXT, "old")]


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize(
    ("step", "failure", "raised"),
    [
        ("replace", OSError(errno.ENOSPC, "No space left on device"), CostModelError),
        ("replace", PermissionError(errno.EACCES, "Permission denied"), CostModelError),
        ("chmod", OSError(errno.EIO, "Input/output error"), CostModelError),
        ("replace", KeyboardInterrupt(), KeyboardInterrupt),
        ("replace", MemoryError(), MemoryError),
    ],
)
def test_a_failure_keeps_what_was_there_and_leaves_nothing(step, failure, raised, existing, tmp_path, monkeypatch):
    file = tmp_path / "a.csv"
    if existing:
        file.write_text("old", encoding="utf-8")

    def fail(*_):
        raise failure

    monkeypatch.setattr(Path, step, fail)
    with pytest.raises(raised) as caught:
        write(file, TEXT)
    if raised is CostModelError:
        assert str(caught.value) == f"{file}: cannot write it: {failure.strerror}"
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == ([("a.csv", "old")] * existing)


def test_a_text_that_cannot_be_encoded_keeps_what_was_there(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("old", encoding="utf-8")
    with pytest.raises((UnicodeError, CostModelError)):
        write(file, "half \ud800")
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("a.csv", "old")]


# Permissions


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0o000, 0o666)])
def test_a_new_file_follows_the_umask(mask, expected, tmp_path, umask):
    umask(mask)
    write(tmp_path / "a.csv", TEXT)
    assert mode(tmp_path / "a.csv") == expected
    assert umask(mask) == mask  # and it is as it was


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o700, 0o666])
def test_an_existing_file_keeps_its_mode(bits, tmp_path, umask):
    file = tmp_path / "a.csv"
    file.write_text("old", encoding="utf-8")
    file.chmod(bits)
    write(file, TEXT)
    assert (mode(file), file.read_text(encoding="utf-8")) == (bits, TEXT)


# Links


def test_a_link_stays_and_its_target_changes(tmp_path):
    target, link = tmp_path / "there" / "target.csv", tmp_path / "link.csv"
    target.parent.mkdir()
    target.write_text("old", encoding="utf-8")
    link.symlink_to(Path("there") / "target.csv")
    write(link, TEXT)
    assert link.is_symlink()
    assert link.readlink() == Path("there") / "target.csv"
    assert target.read_text(encoding="utf-8") == TEXT
    assert [file.name for file in target.parent.iterdir()] == ["target.csv"]


def test_a_link_to_a_missing_file_makes_it(tmp_path):
    link = tmp_path / "link.csv"
    link.symlink_to("target.csv")
    write(link, TEXT)
    assert link.is_symlink()
    assert (tmp_path / "target.csv").read_text(encoding="utf-8") == TEXT


def test_a_link_to_itself_is_refused(tmp_path):
    link = tmp_path / "link.csv"
    link.symlink_to("link.csv")
    refused(link)
    assert [file.name for file in tmp_path.iterdir()] == ["link.csv"]


# Other places


def test_a_dash_is_standard_output(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("-"), TEXT)
    assert capsys.readouterr().out == TEXT
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_written_and_stays_a_device():
    write(Path(os.devnull), TEXT)
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_device_is_named():
    assert "No space left" in refused(Path("/dev/full"))


def test_a_named_pipe_is_written_and_stays_a_pipe(tmp_path):
    pipe, received = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_text(encoding="utf-8")), daemon=True)
    reader.start()
    write(pipe, TEXT)
    with contextlib.suppress(OSError):  # a reader that nobody wrote to would wait for ever
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    reader.join(timeout=10)
    assert received == [TEXT]
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("name", "reason"), [("", "directory"), ("missing/a.csv", "No such file"), ("file/a.csv", "Not a directory")]
)
def test_what_cannot_be_written_is_named_with_the_reason(name, reason, tmp_path):
    (tmp_path / "file").write_text("old", encoding="utf-8")
    assert reason in refused(tmp_path / name)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file", "old")]


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "網" * 85], ids=["one-byte", "two-byte", "three-byte"])
def test_the_longest_names_of_a_file_system_can_be_written(name, tmp_path):
    file = tmp_path / name
    try:
        file.touch()
    except OSError:
        pytest.skip("this file system takes no such name")
    file.unlink()
    write(file, TEXT)
    assert file.read_text(encoding="utf-8") == TEXT


def test_a_name_too_long_for_the_file_system_is_refused(tmp_path):
    refused(tmp_path / ("a" * 5000))
    assert list(tmp_path.iterdir()) == []
