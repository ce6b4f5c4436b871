"""The default number of threads: quotas of containers, OMP_NUM_THREADS, affinity, other fits."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from fastmlp import Network, Trainer, _core, ops, threads
from fastmlp.threads import cgroup_quota, share_of_cores
from subprocesses import run_python
from teams import team_of


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(os.fsencode(text))


def test_a_quota_of_cgroup_v2(tmp_path):
    write(tmp_path, "proc/self/cgroup", "0::/pod/box\n")
    assert cgroup_quota(tmp_path) == math.inf
    write(tmp_path, "sys/fs/cgroup/pod/box/cpu.max", "max 100000\n")
    assert cgroup_quota(tmp_path) == math.inf
    write(tmp_path, "sys/fs/cgroup/pod/cpu.max", "350000 100000\n")
    assert cgroup_quota(tmp_path) == 3.5, "a parent's quota holds"
    write(tmp_path, "sys/fs/cgroup/pod/box/cpu.max", "50000 100000\n")
    assert cgroup_quota(tmp_path) == 0.5


def test_a_quota_of_cgroup_v1(tmp_path):
    write(tmp_path, "proc/self/cgroup", "5:memory:/box\n3:cpu,cpuacct:/box\n1:name=systemd:/\n")
    write(tmp_path, "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "-1\n")
    assert cgroup_quota(tmp_path) == math.inf
    write(tmp_path, "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "200000\n")
    write(tmp_path, "sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n")
    assert cgroup_quota(tmp_path) == 2


def test_other_controllers_of_cgroup_v1_are_none_of_the_quota(tmp_path):
    """Their names begin or end alike; the quota is in the folder of the line that lists `cpu`."""
    for lines in ("4:cpuset:/other\n3:cpu:/box\n2:cpuacct:/other\n", "3:cpuacct,cpu:/box\n4:cpuset:/other\n"):
        write(tmp_path, "proc/self/cgroup", lines)
        for folder in ("cpu", "cpuset", "cpuacct", "cpuacct,cpu", "cpu,cpuacct"):
            write(tmp_path, f"sys/fs/cgroup/{folder}/other/cpu.cfs_quota_us", "50000\n")
            write(tmp_path, f"sys/fs/cgroup/{folder}/other/cpu.cfs_period_us", "100000\n")
            write(tmp_path, f"sys/fs/cgroup/{folder}/box/cpu.cfs_quota_us", "300000\n")
            write(tmp_path, f"sys/fs/cgroup/{folder}/box/cpu.cfs_period_us", "100000\n")
        assert cgroup_quota(tmp_path) == 3


@pytest.mark.parametrize(
    "text", ["", "nonsense\n", "100000\n", "a b\n", "100 0\n", "9" * 400 + " 1\n", "100\udcff 1\n"]
)
def test_files_that_say_nothing_limit_nothing(tmp_path, text):
    assert cgroup_quota(tmp_path) == math.inf
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    write(tmp_path, "sys/fs/cgroup/cpu.max", text)
    assert cgroup_quota(tmp_path) == math.inf


bytes_alone = pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no names that are not UTF-8")


@pytest.mark.parametrize("name", ["größe", "a\x85b", "a:b", pytest.param("\udcff\udcfe", marks=bytes_alone)])
def test_a_cgroup_may_have_any_name(tmp_path, name):
    write(tmp_path, "proc/self/cgroup", f"0::/pod/{name}\n")
    write(tmp_path, f"sys/fs/cgroup/pod/{name}/cpu.max", "200000 100000\n")
    assert cgroup_quota(tmp_path) == 2


@pytest.mark.parametrize("line", ["garbage", "", "0", "3:cpu", "0::/a\0b"])
def test_lines_that_say_nothing_limit_nothing(tmp_path, line):
    write(tmp_path, "proc/self/cgroup", f"{line}\n0::/pod\n")
    write(tmp_path, "sys/fs/cgroup/pod/cpu.max", "200000 100000\n")
    assert cgroup_quota(tmp_path) == 2


def test_a_quota_limits_the_default_unless_a_number_is_requested(monkeypatch):
    monkeypatch.setattr(_core, "default_thread_count", lambda: 8)
    monkeypatch.setattr(threads, "cgroup_quota", lambda root: 2.5)
    monkeypatch.setattr(threads, "_quota_limit", threads._quota_limit.__wrapped__)  # without its cache
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads.default_thread_count() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert threads.default_thread_count() == 8


@pytest.mark.parametrize("text", ["", " ", "0", "-1", "+0", "abc", "1.5", "1e3", "0x4", ",2", "99999999999999"])
def test_a_value_that_names_no_number_of_threads_leaves_the_quota(monkeypatch, text):
    monkeypatch.setattr(_core, "default_thread_count", lambda: 8)
    monkeypatch.setattr(threads, "cgroup_quota", lambda root: 2.5)
    monkeypatch.setattr(threads, "_quota_limit", threads._quota_limit.__wrapped__)
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert threads.default_thread_count() == 3


@pytest.mark.parametrize("text, count", [("3", 3), (" 3 ", 3), ("003", 3), ("2,1", 2), ("+2", 2)])
def test_a_value_that_names_a_number_of_threads_is_it(text, count):
    if not _core.has_openmp():
        pytest.skip("built without OpenMP")
    assert threads.names_a_number_of_threads(text)
    assert threads_of_new_process(OMP_NUM_THREADS=text) == count


@pytest.mark.parametrize("text", ["", "0", "-1", "abc", "99999999999999999999"])
def test_an_absurd_number_of_threads_does_no_harm(text):
    assert 1 <= threads_of_new_process(OMP_NUM_THREADS=text) < 1000


def threads_of_new_process(before="", **environment):
    script = f"{before}\nimport fastmlp; print(fastmlp.show_config('dicts')['threads'])"
    clean = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**clean, **environment}, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


def test_omp_num_threads_is_obeyed():
    if not _core.has_openmp():
        pytest.skip("built without OpenMP")
    assert threads_of_new_process(OMP_NUM_THREADS="3") == 3
    assert threads_of_new_process(OMP_NUM_THREADS="1") == 1
    assert threads_of_new_process(OMP_NUM_THREADS="100000") < 1000, "no machine has so many cores"


def test_a_limit_of_threadpoolctl_is_obeyed():
    pytest.importorskip("threadpoolctl")
    if not _core.has_openmp():
        pytest.skip("built without OpenMP")
    limit = "import fastmlp, threadpoolctl; limit = threadpoolctl.threadpool_limits(1)"
    assert threads_of_new_process(limit, OMP_NUM_THREADS="3") == 1
    assert threads_of_new_process(f"{limit}; limit.restore_original_limits()", OMP_NUM_THREADS="3") == 3


def test_affinity_is_obeyed():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity")
    one = min(os.sched_getaffinity(0))
    assert threads_of_new_process(f"import os; os.sched_setaffinity(0, {{{one}}})") == 1


def test_fits_at_the_same_time_share_the_cores(monkeypatch):
    monkeypatch.setattr(threads, "default_thread_count", lambda: 6)
    with share_of_cores(None) as first:
        assert first() == 6
        with share_of_cores(None) as second, share_of_cores(None), share_of_cores(5) as named:
            assert first() == second() == 2
            assert named() == 5, "what the user names is neither shared nor counted"
        assert first() == 6


def test_a_fit_that_fails_gives_its_cores_back(monkeypatch):
    monkeypatch.setattr(threads, "default_thread_count", lambda: 4)

    def fail(info):
        with share_of_cores(None) as inner:
            assert inner() == 2  # this fit and the one inside
        raise OSError

    with pytest.raises(OSError):
        Trainer(Network((2, 2))).fit(np.zeros((4, 2)), np.zeros(4, int), epochs=1, callbacks=[fail])
    with share_of_cores(None) as alone:
        assert alone() == 4


def test_no_team_is_larger_than_helps():
    """More than two workers a core wait for each other; 16 are always allowed, on any machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    a = np.ones((300, 8))
    for n_threads in (16, 1000):
        with team_of(min(n_threads, max(16, 2 * cores))):
            ops.matmul(a, a, transpose_b=True, n_threads=n_threads)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux writes the peak of the memory there")
def test_threads_that_do_not_help_take_no_memory():
    """Each worker of such a prediction has 1 MiB."""
    script = """
import os, pathlib
import numpy as np
from fastmlp import _core

sizes = (784, 1024, 10)
weights = [np.ones(shape, np.float32) for shape in zip(sizes, sizes[1:])]
biases = [np.ones(outputs, np.float32) for outputs in sizes[1:]]
X = np.ones((1024, 784), np.float32)

def mebibytes_after(n_threads):
    settings = [(_core.Activation.relu, [])], _core.Loss.cross_entropy, None
    _core.forward_plain(weights, biases, *settings, X, 0, len(X), n_threads)
    peak = pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]  # in KiB
    return int(peak) / 1024

workers, before = max(16, 2 * len(os.sched_getaffinity(0))), mebibytes_after(2)
print(mebibytes_after(1024) - before < 100 + 2 * workers)
"""
    result = run_python(script)
    assert result.returncode == 0 and result.stdout == "True\n", result.stdout + result.stderr


def test_fewer_threads_than_requested_give_the_same_bits():
    """OMP_THREAD_LIMIT makes OpenMP grant smaller teams: a barrier for more would never open."""
    script = """
import hashlib, numpy as np
from fastmlp import Network, Trainer

rng = np.random.default_rng(0)
X, y = rng.normal(size=(600, 300)), rng.integers(0, 10, 600)
net = Network((300, 300, 10), seed=1)
Trainer(net, n_threads=4).fit(X, y, epochs=2)
print(hashlib.sha256(net.weights[0].tobytes()).hexdigest())
"""
    alone = run_python(script, OMP_THREAD_LIMIT="1")
    for limit in ("2", "3", "100"):
        result = run_python(script, OMP_THREAD_LIMIT=limit)
        assert result.returncode == 0 and result.stdout == alone.stdout, result.stderr


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="Linux lists threads there")
def test_the_threads_of_a_team_sleep_between_calls_and_end_with_their_python_thread():
    script = """
import os, threading, time
import numpy as np
from fastmlp import ops

def tasks():
    return len(os.listdir("/proc/self/task"))

def work():
    a = np.ones((600, 600))
    for _ in range(20):
        ops.matmul(a, a, n_threads=3)
    counts.append(tasks())
    before = time.process_time()
    time.sleep(0.5)
    seconds.append(time.process_time() - before)

before, counts, seconds = tasks(), [], []
for _ in range(3):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
work()
work()
print([count - before for count in counts], max(seconds) < 0.25, tasks() - before)
"""
    result = run_python(script, OPENBLAS_NUM_THREADS="1")
    assert result.stdout == "[3, 3, 3, 2, 2] True 2\n", result.stdout + result.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs affinity")
def test_a_thread_that_wakes_up_may_run_on_all_cores_of_its_caller_but_one():
    """Some kernels wake it on the core where its caller runs, and both share that core for some milliseconds."""
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("needs two cores")
    script = """
import os, time
import numpy as np
from fastmlp import ops

def tasks():
    return {int(name) for name in os.listdir("/proc/self/task")}

before, mine = tasks(), os.sched_getaffinity(0)
for _ in range(3):
    ops.matmul(np.ones((600, 600)), np.ones((600, 600)), n_threads=3)
    time.sleep(0.1)
members = tasks() - before
allowed = [os.sched_getaffinity(member) for member in members]
print(len(members), all(cores < mine and len(mine - cores) == 1 for cores in allowed), os.sched_getaffinity(0) == mine)
"""
    result = run_python(script, OPENBLAS_NUM_THREADS="1")
    assert result.stdout == "2 True True\n", result.stdout + result.stderr


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="Linux says there which signals a thread blocks")
def test_the_threads_of_a_team_take_no_signals():
    """One that interrupts a system call of the main thread must reach that thread."""
    script = """
import os, re, signal
import numpy as np
from fastmlp import ops

before = set(os.listdir("/proc/self/task"))
a = np.ones((600, 600))
ops.matmul(a, a, n_threads=3)
for task in set(os.listdir("/proc/self/task")) - before:
    mask = re.search(r"SigBlk:\\s*(\\w+)", open(f"/proc/self/task/{task}/status").read())[1]
    print(bool(int(mask, 16) >> 1 & 1))  # SIGINT
print(signal.pthread_sigmask(signal.SIG_BLOCK, []))  # of the calling thread
"""
    result = run_python(script, OPENBLAS_NUM_THREADS="1")
    assert result.stdout == "True\nTrue\nset()\n", result.stdout + result.stderr


@pytest.mark.parametrize("rows", [14, 64, 100, 127, 129, 300])
def test_predictions_of_some_rows_are_shared(rows):
    """Also of fewer than a block that stays in the cache."""
    net, X = Network((300, 400, 10)), np.random.default_rng(0).random((rows, 300), dtype=np.float32)
    _core.testing.teams_run()
    found = net.forward(X, n_threads=2)
    assert _core.testing.teams_run() == {2: 1}
    np.testing.assert_array_equal(found, net.forward(X, n_threads=1))
    assert _core.testing.teams_run() == {}
