"""Writes a file so that a crash, a kill or a full disk leaves either the old file or the new one, complete."""

from __future__ import annotations

import contextlib
import os
import stat
import threading

try:
    import fcntl
except ModuleNotFoundError:  # not POSIX: concurrent saves to one path are not serialised
    fcntl = None  # type: ignore[assignment]

ON_WINDOWS = os.name == "nt"

SUFFIX = ".unfinished"
MAX_NAME_BYTES = 255  # of nearly all file systems


def write_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace or create the file at `path`; on return, the content is on the disk.

    The content is written to ``<path>.unfinished`` in the same folder, which then replaces the old file. A process that
    is killed meanwhile leaves at most that file, and the next save overwrites it. A symbolic link at `path` is followed,
    one at ``<path>.unfinished`` rejected; a device or pipe is written to directly. The old file's permissions are kept,
    and its owner where the system allows it; but a save that is killed, or concurrent with another, may leave a read-only
    file writable for its owner.

    On Windows each save has an unfinished file of its own, which stays after a kill.

    Raises
    ------
    OSError
        If the file cannot be written; the old one is unchanged.
    """
    path = os.fsdecode(path)
    try:
        old = os.stat(path)  # not of the real path: that of a pipe under /proc does not exist
    except FileNotFoundError:
        old = None
    if not path or (old is not None and not stat.S_ISREG(old.st_mode)):  # open raises the error of ""
        with open(path, "wb") as file:
            file.write(content)
        return
    path = os.path.realpath(path)
    if ON_WINDOWS:
        _write_and_close(f"{path}.{os.getpid()}-{threading.get_ident()}{SUFFIX}", path, content)
        return
    folder, name = os.path.split(path)
    if (
        len(os.fsencode(name)) + len(SUFFIX) > MAX_NAME_BYTES
    ):  # cut to one byte less, so that it differs from the file's
        name = os.fsencode(name)[: -len(SUFFIX) - 1].decode(errors="ignore")
    unfinished = os.path.join(folder, name + SUFFIX)
    descriptor = _open_locked(unfinished, 0o666 if old is None else 0o600)
    try:
        if old is not None:
            with contextlib.suppress(OSError, AttributeError):  # only root changes owners, and only on POSIX
                os.fchown(descriptor, old.st_uid, old.st_gid)
            os.fchmod(
                descriptor, stat.S_IMODE(old.st_mode) | 0o600
            )  # the next save must be able to open it after a kill
        os.ftruncate(descriptor, 0)
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        _sync(descriptor)
        os.replace(unfinished, path)
        if old is not None and old.st_mode & 0o600 != 0o600:
            os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    except BaseException:
        with contextlib.suppress(FileNotFoundError):  # interrupted after os.replace
            if os.path.samestat(os.fstat(descriptor), os.lstat(unfinished)):  # and not that of the next save
                os.unlink(unfinished)
        raise
    finally:
        os.close(descriptor)
    with contextlib.suppress(OSError):  # a system that does not open or sync folders; the content is complete
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            _sync(descriptor)  # so that the name is on the disk, too
        finally:
            os.close(descriptor)


def _write_and_close(unfinished: str, path: str, content: bytes) -> None:
    """Windows neither renames nor removes a file that is open, and keeps no permissions in the file's mode."""
    try:
        with open(unfinished, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise


def _open_locked(path: str, mode: int) -> int:
    """Open a regular file with no other name for writing, once no other process holds its lock."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    while True:
        descriptor = os.open(path, flags, mode)
        try:
            if fcntl is not None:
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            status = os.fstat(descriptor)
            if os.path.samestat(status, os.lstat(path)):  # else another save has renamed it to its final name
                if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1:
                    return descriptor
                os.unlink(path)  # safe under the lock: waiting saves find another file here, or none, and try again
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS, whose fsync leaves the content in the drive's cache
    if full is not None:
        with contextlib.suppress(OSError):  # a file system without F_FULLFSYNC
            fcntl.fcntl(descriptor, full)
            return
    os.fsync(descriptor)
