"""Writing a file so that a crash, a kill or a full disk leaves the old file or the new one, complete."""

from __future__ import annotations

import contextlib
import os
import stat

try:
    import fcntl
except ModuleNotFoundError:  # not POSIX: savers of the same path must not meet
    fcntl = None  # type: ignore[assignment]

SUFFIX = ".unfinished"
LONGEST_NAME = 255  # bytes, of nearly all file systems


def write_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace the file at `path`, or make it; when this returns, the content is on the disk.

    It is written to ``<path>.unfinished`` first, in the same folder, which then takes the place of the old file. A
    process that is killed meanwhile leaves that one at most, and the next saver writes over it. A symbolic link at
    `path` is followed, one at ``<path>.unfinished`` refused; a device or pipe is written to directly. The old file's
    permissions are kept, and its owner where the system allows it; but a save that is killed, or meets another, may
    leave a read-only file that its owner can write to.

    Raises
    ------
    OSError
        If the file cannot be written; the old one is as it was.
    """
    path = os.fsdecode(path)
    try:
        old = os.stat(path)  # not of the real path: that of a pipe under /proc leads nowhere
    except FileNotFoundError:
        old = None
    if not path or (old is not None and not stat.S_ISREG(old.st_mode)):  # open says what is wrong with ""
        with open(path, "wb") as file:
            file.write(content)
        return
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    if len(os.fsencode(name)) + len(SUFFIX) > LONGEST_NAME:  # cut to one byte less, so that it never is the file's own
        name = os.fsencode(name)[: -len(SUFFIX) - 1].decode(errors="ignore")
    unfinished = os.path.join(folder, name + SUFFIX)
    descriptor = _open_alone(unfinished, 0o666 if old is None else 0o600)
    try:
        if old is not None:
            with contextlib.suppress(OSError, AttributeError):  # only root gives files away, and only on POSIX
                os.fchown(descriptor, old.st_uid, old.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(old.st_mode) | 0o600)  # what a kill leaves must be writable
        os.ftruncate(descriptor, 0)
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        _sync(descriptor)
        os.replace(unfinished, path)
        if old is not None and old.st_mode & 0o600 != 0o600:
            os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    except BaseException:
        with contextlib.suppress(FileNotFoundError):  # interrupted when it had been moved
            if os.path.samestat(os.fstat(descriptor), os.lstat(unfinished)):  # and not the next saver's
                os.unlink(unfinished)
        raise
    finally:
        os.close(descriptor)
    _sync_folder(folder)


def _open_alone(path: str, mode: int) -> int:
    """Opens it for writing, and waits for others who do the same: a regular file, and under no other name."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    while True:
        descriptor = os.open(path, flags, mode)
        try:
            if fcntl is not None:
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            found = os.fstat(descriptor)
            if os.path.samestat(found, os.lstat(path)):  # else it has become somebody's finished file
                if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
                    return descriptor
                os.unlink(path)  # safe under its lock: whoever waits for that sees another file here, or none
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS, whose fsync leaves the content in the drive's cache
    if full is not None:
        with contextlib.suppress(OSError):  # a file system that lacks it
            fcntl.fcntl(descriptor, full)
            return
    os.fsync(descriptor)


def _sync_folder(folder: str) -> None:
    """The name is on the disk, too."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:  # a system that does not open folders
        return
    try:
        _sync(descriptor)
    except OSError:  # or does not sync them; the content is complete either way
        pass
    finally:
        os.close(descriptor)
