"""Saving: whatever happens meanwhile, the path holds the old file or the new one, complete."""

import fcntl
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
import types

import fastmlp
import pytest
from fastmlp import Network
from fastmlp.formats import atomic_write
from problems import parameters

pytest.importorskip("safetensors")


@pytest.fixture(autouse=True)
def fsync_alone(monkeypatch):
    """On macOS, too, os.fsync is the step that tests watch."""
    monkeypatch.delattr(fcntl, "F_FULLFSYNC", raising=False)


def folder_of(path):
    return sorted(os.listdir(path.parent))


def test_replacing_a_file_keeps_its_permissions_and_leaves_no_other(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"old")
    path.chmod(0o640)
    atomic_write.write_file(path, b"new and longer")
    assert path.read_bytes() == b"new and longer" and path.stat().st_mode & 0o777 == 0o640
    assert folder_of(path) == ["net.safetensors"]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="lists the open files of a process as Linux does")
def test_on_windows_the_file_is_closed_before_it_is_renamed_or_removed(tmp_path, monkeypatch):
    """Windows does neither with a file that is open."""
    path = tmp_path / "net.safetensors"

    def open_files():
        return [os.readlink(link) for link in os.scandir("/proc/self/fd") if os.path.lexists(link)]

    def watched(function):
        def call(name, *more):
            assert not any(".unfinished" in target for target in open_files())
            return function(name, *more)

        return call

    monkeypatch.setattr(atomic_write, "ON_WINDOWS", True)
    monkeypatch.setattr(atomic_write, "fcntl", None)
    monkeypatch.delattr(os, "fchmod")
    for name in ("replace", "unlink"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    for content in (b"first\n", b"second\r\n"):
        atomic_write.write_file(path, content)
        assert path.read_bytes() == content and folder_of(path) == [path.name]
    monkeypatch.setattr(os, "replace", lambda *names: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        atomic_write.write_file(path, b"third")
    assert path.read_bytes() == content and folder_of(path) == [path.name]


def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "net", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    atomic_write.write_file(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        atomic_write.write_file(path, b"new")
        assert path.is_fifo() and os.read(reader, 9) == b"new"
    finally:
        os.close(reader)


def test_an_empty_path_and_a_folder_raise(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for path, error in (("", FileNotFoundError), (".", IsADirectoryError)):
        with pytest.raises(error):
            atomic_write.write_file(path, b"new")
    assert os.listdir(tmp_path) == ["here"]


def test_a_pipe_that_is_standard_output_is_written_to():
    if not os.path.exists("/dev/stdout"):
        pytest.skip("this system has no /dev/stdout")
    script = "from fastmlp.formats import atomic_write; atomic_write.write_file('/dev/stdout', b'new')"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=True).stdout == b"new"


def test_names_of_any_length_and_paths_of_bytes(tmp_path):
    for name in (b"n" * 244, b"n" * 245, b"n" * 255, b"n" * 243 + b".unfinished", "ü".encode() * 127):
        path = os.fsencode(tmp_path) + b"/" + name
        for content in (b"old", b"new"):
            atomic_write.write_file(path, content)
        with open(path, "rb") as file:
            assert file.read() == b"new"
        assert os.listdir(os.fsencode(tmp_path)) == [name]
        os.unlink(path)


def test_a_long_name_that_ends_as_the_other_s_is_not_written_in_place(tmp_path, monkeypatch):
    path = tmp_path / ("n" * 244 + ".unfinished")
    path.write_bytes(b"old")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(OSError, match="No space"):
        atomic_write.write_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_link_planted_in_the_way_is_not_written_through(tmp_path):
    path, victim = tmp_path / "net", tmp_path / "victim"
    victim.write_bytes(b"precious")
    unfinished = tmp_path / ("net" + atomic_write.SUFFIX)
    unfinished.symlink_to(victim)
    with pytest.raises(OSError, match=r"net\.unfinished"):
        atomic_write.write_file(path, b"new")
    unfinished.unlink()
    for plant in (lambda: os.link(victim, unfinished), lambda: os.mkfifo(unfinished)):
        plant()
        atomic_write.write_file(path, b"new")
        assert path.read_bytes() == b"new" and not path.is_symlink()
        assert folder_of(path) == ["net", "victim"]
    assert victim.read_bytes() == b"precious"


def test_the_owner_is_kept_and_what_replaces_a_private_file_is_private_at_once(tmp_path, monkeypatch):
    path, modes, whole = tmp_path / "net", [], os.open
    path.write_bytes(b"old")
    path.chmod(0o600)
    if os.getuid() == 0:
        os.chown(path, 65534, 65534)
    owner = path.stat().st_uid, path.stat().st_gid

    def opens(*args, **settings):
        descriptor = whole(*args, **settings)
        modes.append(os.fstat(descriptor).st_mode & 0o777)
        return descriptor

    monkeypatch.setattr(os, "open", opens)
    atomic_write.write_file(path, b"new")
    assert modes[0] == 0o600 and (path.stat().st_uid, path.stat().st_gid) == owner


def test_a_drive_that_keeps_content_in_a_cache_is_flushed(tmp_path, monkeypatch):
    """As macOS, where fsync alone does not."""
    calls = []
    like_macos = types.SimpleNamespace(
        flock=lambda *args: None, LOCK_EX=2, F_FULLFSYNC=51, fcntl=lambda descriptor, command: calls.append(command)
    )
    monkeypatch.setattr(atomic_write, "fcntl", like_macos)
    atomic_write.write_file(tmp_path / "net", b"new")
    assert calls == [51, 51]


def test_the_content_and_then_its_name_are_on_the_disk(tmp_path, monkeypatch):
    path, synced, whole = tmp_path / "net", [], os.fsync

    def fsync(descriptor):
        whole(descriptor)
        synced.append(("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file", path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    atomic_write.write_file(path, b"new")
    assert synced == [("file", False), ("folder", True)]


STEPS = ["fchmod", "ftruncate", "write", "fsync", "replace"]


@pytest.mark.parametrize("step", STEPS)
def test_an_error_at_any_step_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "net"
    path.write_bytes(b"old")

    def fail(*args, **settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space"):
        atomic_write.write_file(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old" and folder_of(path) == ["net"]


@pytest.mark.parametrize("step", STEPS)
def test_an_interrupt_after_any_step_leaves_one_whole_file(tmp_path, monkeypatch, step):
    path = tmp_path / "net"
    path.write_bytes(b"old")
    whole = getattr(os, step)

    def interrupt(*args, **settings):
        whole(*args, **settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write.write_file(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == (b"new" if step == "replace" else b"old") and folder_of(path) == ["net"]


def test_an_interrupt_after_the_last_step_leaves_the_next_saver_s_file_alone(tmp_path, monkeypatch):
    path, other, whole = tmp_path / "net", tmp_path / ("net" + atomic_write.SUFFIX), os.replace

    def interrupt(*args):
        whole(*args)
        other.write_bytes(b"of another")
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write.write_file(path, b"new")
    assert path.read_bytes() == b"new" and other.read_bytes() == b"of another"


@pytest.mark.parametrize("step", ["write", "replace"])
def test_a_kill_while_saving_over_a_read_only_file_blocks_no_other_saver(tmp_path, step):
    path, unfinished = tmp_path / "net", tmp_path / ("net" + atomic_write.SUFFIX)
    path.write_bytes(b"old")
    path.chmod(0o444)
    script = f"""
        import os, signal
        from fastmlp.formats import atomic_write
        os.{step} = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
        atomic_write.write_file({str(path)!r}, b"new")
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=60, check=False)
    assert result.returncode == -signal.SIGKILL and path.read_bytes() == b"old"
    assert unfinished.stat().st_mode & 0o600 == 0o600, "whoever is not root could not open it again"
    atomic_write.write_file(path, b"new")
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o444 and folder_of(path) == ["net"]


def test_a_full_device_is_an_os_error():
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OSError, match="No space"):
        Network((3, 2)).save("/dev/full")
    assert not os.path.exists("/dev/full" + atomic_write.SUFFIX)


def test_a_limit_on_file_sizes_leaves_the_old_file(tmp_path):
    path = tmp_path / "net"
    Network((3, 2), seed=1).save(path)
    old = path.read_bytes()
    script = f"""
        import resource, signal
        import fastmlp
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        try:
            fastmlp.Network((300, 200)).save({str(path)!r})
        except OSError as error:
            print(error.errno)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.split() == ["27"], "EFBIG"
    assert path.read_bytes() == old and folder_of(path) == ["net"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY, "of the child alone"


def test_savers_of_one_path_do_not_meet(tmp_path):
    nets = [Network((30, 20), seed=seed) for seed in range(4)]
    path, wrong = tmp_path / "net", []

    def save(net):
        for _ in range(25):
            net.save(path)
            found = parameters(fastmlp.load(path))
            if not any(all((a == b).all() for a, b in zip(found, parameters(net))) for net in nets):
                wrong.append(found)

    threads = [threading.Thread(target=save, args=(net,)) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and folder_of(path) == ["net"]


def test_a_kill_while_saving_leaves_a_file_that_loads(tmp_path):
    """Twenty here; the long test run makes two hundred."""
    kills = int(os.environ.get("FASTMLP_KILLS", "20"))
    path = tmp_path / "net"
    Network((64, 256, 10), seed=0).save(path)
    script = f"""
        import fastmlp
        nets = [fastmlp.Network((64, 256, 10), seed=seed) for seed in range(2)]
        print("ready", flush=True)
        while True:
            for net in nets:
                net.save({str(path)!r})
    """
    expected = [parameters(Network((64, 256, 10), seed=seed)) for seed in range(2)]
    moments = random.Random(0)
    for _ in range(kills):
        with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE) as child:
            assert child.stdout.readline() == b"ready\n"
            time.sleep(moments.uniform(0, 0.03))
            child.send_signal(signal.SIGKILL)
        found = parameters(fastmlp.load(path))
        assert any(all((a == b).all() for a, b in zip(found, one)) for one in expected)
        assert set(folder_of(path)) <= {"net", "net" + atomic_write.SUFFIX}
    Network((64, 256, 10), seed=0).save(path)
    assert folder_of(path) == ["net"], "the next saver takes what a killed one left"
