"""Forks, exits and arrays that change: in processes of their own, so that a hang or a crash fails one test."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from fastmlp import _core
from problems import without_sanitizer

BEGIN = """
    import hashlib, multiprocessing, os, sys, threading, time, warnings
    import numpy as np
    import fastmlp

    X = np.random.default_rng(0).normal(size=(3000, 200)).astype(np.float32)
    y = np.arange(3000) % 10

    def fit(seed=0, epochs=3, callbacks=()):
        net = fastmlp.Network((200, 256, 256, 10), seed=1)
        fastmlp.Trainer(net, seed=seed, n_threads=2).fit(X, y, epochs=epochs, callbacks=callbacks)
        return hashlib.sha256(b"".join(p.tobytes() for p in net.weights + net.biases)).hexdigest()

    def fork(count=4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: this process has threads
            with multiprocessing.get_context("fork").Pool(count) as pool:
                return pool.map(fit, [0] * count)
"""


def run(script, *, warn="error", timeout=60, **environment):
    """A hang fails the test and leaves no process behind, not even a grandchild."""
    child = subprocess.Popen(
        [sys.executable, "-W", warn, "-c", textwrap.dedent(BEGIN) + textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        raise
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)


def assert_says(result, *words):
    assert result.returncode == 0 and result.stdout.split() == list(words), result.stdout + result.stderr


@pytest.mark.parametrize("rounds", [1, 2])
def test_forks_after_a_fit_have_its_bits(rounds):
    result = run(f"""
        expected = fit()
        for _ in range({rounds}):
            assert set(fork()) == {{expected}}
        assert fit() == expected
        print("same")
    """)
    assert_says(result, "same")
    assert result.stderr == ""


def test_a_fork_from_another_thread_has_its_bits():
    result = run("""
        expected, found = fit(), []
        thread = threading.Thread(target=lambda: found.extend([fit(), *fork()]))
        thread.start()
        thread.join()
        assert set(found) == {expected}
        print("same")
    """)
    assert_says(result, "same")


@without_sanitizer  # whose allocator does not survive a fork while another thread allocates
def test_a_thread_that_forks_ends_in_the_child():
    """Without a fit of its own there: its team is that of the parent, whose threads the child lacks."""
    result = run(
        """
        from fastmlp import _core, ops

        _core.testing.use_whole_teams(True)
        children = []

        def compute_and_fork():
            ops.matmul(X[:200], X[:200], n_threads=3)
            child = os.fork()
            if child:
                children.append(child)

        thread = threading.Thread(target=compute_and_fork)
        thread.start()
        thread.join()
        if children:
            print(os.waitpid(children[0], 0)[1])
        """,
        warn="default",
    )
    assert_says(result, "0")


def test_a_fork_in_the_middle_of_a_fit_has_its_bits():
    """By another thread, while the fit computes, and by the fit's own callback."""
    result = run("""
        expected, inside = fit(), threading.Event()
        thread = threading.Thread(target=lambda: fit(epochs=200, callbacks=[lambda info: inside.set()]))
        thread.start()
        inside.wait()
        assert set(fork()) == {expected}
        assert thread.is_alive(), "the fit ended before the forks"
        found = []
        fit(epochs=1, callbacks=[lambda info: found.extend(fork(2))])
        assert set(found) == {expected}
        thread.join()
        print("same")
    """)
    assert_says(result, "same")


def test_a_child_has_nothing_of_what_other_threads_of_its_parent_did():
    """Neither their share of the cores, nor a lock, nor native calls, which would delay its exit."""
    result = run(
        """
        from fastmlp import _core, threads

        def compute():
            with threads.share_of_cores(None):
                _core.peak_gflops(True, 1, 1.0)

        other = threading.Thread(target=compute)
        other.start()
        time.sleep(0.1)  # until it is in its native call, for a second
        cores = threads.default_thread_count()
        with threads.share_of_cores(None) as own:  # as a fit whose callback forks
            threads._lock.acquire()
            child = os.fork()
            if child == 0:
                shares = [own()]
            else:
                threads._lock.release()
        if child == 0:
            with threads.share_of_cores(None) as later:
                shares.append(later())
            _core.end_native_calls(1e6)
            os._exit(0 if shares == [cores, cores] else 1)
        other.join()
        print(os.waitpid(child, 0)[1])
        """,
        OMP_NUM_THREADS="4",
        warn="default",
    )
    assert_says(result, "0")


def test_a_child_may_fit_what_another_thread_of_its_parent_was_fitting():
    """But not what the thread that forked was fitting: in the child, its fit goes on."""
    result = run("""
        net, inside, stop = fastmlp.Network((200, 64, 10)), threading.Event(), threading.Event()
        trainer = fastmlp.Trainer(net, n_threads=2)

        def until_told(info):
            inside.set()
            return stop.is_set()

        def fit_again():
            try:
                fastmlp.Trainer(net).fit(X, y, epochs=1)
                return 0
            except RuntimeError:
                return 3

        def fit_in_new_thread():
            codes = []
            thread = threading.Thread(target=lambda: codes.append(fit_again()))
            thread.start()
            thread.join()
            return codes[0]

        def in_child(fit=fit_again):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: this process has threads
                child = os.fork()
            if child == 0:
                os._exit(fit())
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        thread = threading.Thread(target=lambda: trainer.fit(X, y, epochs=10**9, callbacks=[until_told]))
        thread.start()
        inside.wait()
        # the C library gives a new thread of the child the number of the thread that fits in its parent
        found = [in_child(), in_child(fit_in_new_thread), fit_again()]
        stop.set()
        thread.join()

        def in_children(info):
            forks_again = lambda: in_child(fit_in_new_thread)
            found.extend([in_child(), in_child(fit_in_new_thread), in_child(in_child), in_child(forks_again)])

        trainer.fit(X, y, epochs=1, callbacks=[in_children])
        print(*found, fit_again())
    """)
    assert_says(result, "0", "0", "3", "3", "3", "3", "3", "0")


@pytest.mark.parametrize("method", ["spawn", "loky"])
def test_other_ways_to_start_processes(tmp_path, method):
    """spawn imports the script again; loky starts fresh interpreters and limits their threads."""
    if method == "loky":
        pytest.importorskip("joblib")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(BEGIN)
        + textwrap.dedent(f"""
        if __name__ == "__main__":
            expected = fit()
            if {method!r} == "spawn":
                with multiprocessing.get_context("spawn").Pool(2) as pool:
                    found = pool.map(fit, [0] * 2)
            else:
                from joblib import Parallel, delayed
                found = Parallel(n_jobs=2)(delayed(fit)(0) for _ in range(2))
            assert set(found) == {{expected}}
            print("same")
        """)
    )
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert_says(result, "same")


@pytest.mark.parametrize("work", ["fit", "fit_many", "forward", "estimator"])
def test_the_interpreter_ends_while_a_daemon_thread_is_at_work(work):
    if work == "estimator":
        pytest.importorskip("sklearn")
    result = run(f"""
        inside = threading.Event()

        def forever():
            net = fastmlp.Network((200, 256, 256, 10))
            if {work!r} == "fit":
                fastmlp.Trainer(net).fit(X, y, epochs=10**6, callbacks=[lambda info: inside.set()])
            if {work!r} == "fit_many":
                nets = [fastmlp.Network((200, 256, 256, 10)) for _ in range(4)]
                fastmlp.fit_many(map(fastmlp.Trainer, nets), X, y, 10**6, callbacks=[lambda info: inside.set()])
            if {work!r} == "estimator":
                fastmlp.MLPClassifier(max_iter=10**6, tol=0).fit(X, y, callbacks=[lambda info: inside.set()])
            while {work!r} == "forward":
                net.forward(X)
                inside.set()

        threading.Thread(target=forever, daemon=True).start()
        assert inside.wait(30)
        print("ends")
    """)
    assert_says(result, "ends")
    assert result.stderr == ""


def test_a_fit_at_the_interpreter_s_exit_still_works():
    result = run("""
        import atexit
        expected = fit()
        atexit.register(lambda: print(fit() == expected))
    """)
    assert_says(result, "True")


def test_arrays_that_change_or_go_during_a_fit_do_no_harm():
    """Values may be read before or after a change; nothing else may happen."""
    result = run("""
        import gc

        def disturb():
            rng = np.random.default_rng(1)
            while not done:
                X[rng.integers(0, 3000, 50)] = np.float32(rng.choice([0, np.nan, np.inf, 1e38]))
                y[rng.integers(0, 3000, 50)] = rng.choice([-1, 10**9, 3])

        done = []
        thread = threading.Thread(target=disturb, daemon=True)
        trainer = fastmlp.Trainer(fastmlp.Network((200, 64, 10)), n_threads=2)

        def start(info):
            if info.epoch == 1:
                thread.start()
            for array in (X, X.base) if X.base is not None else (X,):
                try:
                    array.resize((1, 1), refcheck=False)  # would free what the core reads
                    print("resized")
                except ValueError:
                    pass

        try:
            trainer.fit(X, y, epochs=50, callbacks=[start])
        except fastmlp.DivergenceError:
            pass
        done.append(True)
        thread.join()
        assert all(np.isfinite(p).all() for p in trainer.network.weights)

        def forget(info):
            own.clear()
            gc.collect()
        own = [np.ones((3000, 200), np.float32), np.arange(3000) % 10]
        fastmlp.Trainer(fastmlp.Network((200, 64, 10))).fit(*own, epochs=5, callbacks=[forget])
        print("well")
    """)
    assert_says(result, "well")


def test_the_memory_of_a_view_in_use_cannot_be_resized():
    """It belongs to the view's base, or to the base of that."""
    result = run("""
        base = np.ones((3000, 200), np.float32)
        targets = np.zeros((3000, 10), np.float32)

        def resize(info):
            for array in (base, targets):
                try:
                    array.resize((1, 1), refcheck=False)
                    print("resized")
                except ValueError:
                    print("refused")

        net = fastmlp.Network((200, 10), loss="squared_error")
        fastmlp.Trainer(net, learning_rate=1e-4).fit(base[:][1:], targets[1:], epochs=1, callbacks=[resize])
    """)
    assert_says(result, "refused", "refused")


@pytest.mark.parametrize("settings", [{"OMP_NUM_THREADS": "1"}, {"OMP_THREAD_LIMIT": "1"}, {"OMP_DYNAMIC": "true"}])
def test_thread_settings_change_no_bit(settings):
    expected = run("print(fit())")
    found = run("print(fit())", **settings)
    assert found.returncode == 0 and found.stdout == expected.stdout, found.stderr


def test_one_core_changes_no_bit():
    """Before OpenMP counts the cores, and after."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity")
    expected = run("print(fit())").stdout.strip()
    bind = f"os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})"
    assert_says(run(f"{bind}; print(fit()); print(fit())"), expected, expected)
    assert_says(run(f"print(fit()); {bind}; print(fit())"), expected, expected)


@without_sanitizer  # which may have threads of its own
@pytest.mark.parametrize("settings, n_threads", [({"OMP_THREAD_LIMIT": "1"}, 2), ({"OMP_NUM_THREADS": "1"}, None)])
def test_limits_bound_the_threads_that_a_fit_starts(settings, n_threads):
    if not os.path.exists("/proc/self/task") or not _core.has_openmp():
        pytest.skip("needs Linux, which lists threads, and OpenMP, which reads these settings")
    result = run(
        f"""
        before = len(os.listdir("/proc/self/task"))
        net = fastmlp.Network((200, 256, 256, 10))
        fastmlp.Trainer(net, n_threads={n_threads}).fit(X, y, epochs=1)
        print(len(os.listdir("/proc/self/task")) - before)
        """,
        **settings,
    )
    assert_says(result, "0")


@without_sanitizer
@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited as Linux does")
def test_threads_that_the_system_refuses_are_done_without():
    """Each thread's stack is as large as a limit: no address space is left for it. Later there is."""
    result = run(
        """
        import resource

        if "LARGE_STACKS" not in os.environ:
            os.environ["LARGE_STACKS"] = "yes"
            resource.setrlimit(resource.RLIMIT_STACK, (1 << 30, resource.getrlimit(resource.RLIMIT_STACK)[1]))
            os.execv(sys.executable, sys.orig_argv)
        fastmlp.Trainer(fastmlp.Network((200, 256, 256, 10)), n_threads=1).fit(X, y, epochs=1)
        used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29), resource.RLIM_INFINITY))
        alone = fit()
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert fit() == alone
        print(len(os.listdir("/proc/self/task")))
        """,
        OPENBLAS_NUM_THREADS="1",
    )
    assert_says(result, "2")


@without_sanitizer
def test_an_address_space_that_is_too_small_is_a_memory_error():
    """Raised before work starts; allocations that fit still work."""
    result = run("""
        import resource
        expected = fit()
        used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000, resource.RLIM_INFINITY))
        net = fastmlp.Network((200, 256, 256, 10))
        for make in (
            lambda: fastmlp.Network((20_000, 20_000)),
            lambda: net.forward(np.broadcast_to(np.float32(1), (10**6, 200))),
            lambda: fastmlp.Trainer(fastmlp.Network((6000, 6000), loss="squared_error"), "adam"),
        ):
            try:
                make()
                print("made")
            except MemoryError:
                print("raised")
        assert fit() == expected
    """)
    assert_says(result, "raised", "raised", "raised")


@without_sanitizer
@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited as Linux does")
def test_threads_that_run_out_of_memory_do_not_end_the_process():
    """At one of these limits or another not even the exception's own memory is left, in a thread that never threw.

    The threads take turns: two that race for the last bytes may leave pybind11 or NumPy none, and neither can bear that.
    """
    for kilobytes in (0, 100, 500, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 12000, 15000):
        result = run(f"""
            import resource, threading

            trainers = [fastmlp.Trainer(fastmlp.Network((200, 256, 256, 10)), n_threads=8) for _ in range(4)]
            ends = []
            turn, ready = threading.Lock(), threading.Semaphore(0)

            def limit(kilobytes):
                with open("/proc/self/statm") as file:
                    used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
                resource.setrlimit(resource.RLIMIT_AS, (used + kilobytes * 1000, resource.RLIM_INFINITY))

            def work(trainer):
                fastmlp._core.current_isa(), X[:2] @ X[:2].T  # pybind11's and NumPy's own memory of a thread
                ready.release()
                with turn:
                    try:
                        trainer.fit(X, y, epochs=1)
                    except (MemoryError, RuntimeError, SystemError):  # Python has no memory for a lock, or for a frame
                        pass
                    ends.append(1)

            limit(50_000)  # too little for an arena of malloc for each thread
            threading.stack_size(1 << 18)
            with turn:  # Python hangs where a thread of its own gets no memory to start
                threads = [threading.Thread(target=work, args=(trainer,)) for trainer in trainers]
                for thread in threads:
                    thread.start()
                    ready.acquire()
                limit({kilobytes})
            for thread in threads:
                thread.join()
            print(len(ends))
            """, OPENBLAS_NUM_THREADS="1")  # fmt: skip
        assert_says(result, "4")


@pytest.mark.parametrize("verbose", ["auto", True])
@pytest.mark.parametrize("close", ["os.close(2)", "sys.stderr.close()", "os.close(2); sys.stderr = None"])
def test_a_closed_stderr_does_no_harm(close, verbose):
    result = run(f"""
        {close}
        history = fastmlp.Trainer(fastmlp.Network((200, 10))).fit(X, y, epochs=2, verbose={verbose!r})
        print(len(history.loss))
    """)
    assert_says(result, "2")


def test_checks_hold_without_assert_statements():
    script = "import numpy as np, fastmlp\ntry: fastmlp.Network((2, 2)).forward(np.full((1, 2), np.nan))\nexcept ValueError: print('raised')"
    result = subprocess.run([sys.executable, "-O", "-W", "error", "-c", script], capture_output=True, text=True)
    assert_says(result, "raised")


def test_functions_at_the_interpreters_exit_may_compute():
    script = """
import atexit, numpy as np
from fastmlp import Network, Trainer

net, X, y = Network((300, 300, 10)), np.ones((500, 300)), np.zeros(500, int)

@atexit.register
def last():
    Trainer(net, n_threads=2).fit(X, y, epochs=2)
    print(net.forward(X).shape, flush=True)
"""
    result = run(script)
    assert result.returncode == 0 and result.stdout.split() == ["(500,", "10)"], result.stderr
