"""The sizes of teams, on machines that are simulated: the fastest is found, and others cost little time."""

import pytest
from fastmlp._core import testing

SLICE, PART = 0.03, 4e-4  # seconds of a slice, and of a part of it on one worker
START = 1e9  # later than all times at which computations of this process were slowed down


class Machine:
    """Runs slices on a simulated clock; speed(workers, now) is the gain over one worker, sleep(workers, now) a share."""

    def __init__(self, speed, sleep=lambda workers, now: 0.0):
        global START
        START += 1e6
        self.speed, self.sleep, self.pace, self.now, self.work, self.used = speed, sleep, testing.Pace(), START, 0.0, {}

    def run(self, wanted, seconds, slice_seconds=SLICE):
        """Trains for so long; returns how much faster than one worker it was."""
        begin, work = self.now, self.work
        while self.now < begin + seconds:
            workers, start, parts, slept = self.pace.workers(wanted, self.now), self.now, 0, 0.0
            while True:
                took = PART / self.speed(workers, self.now)
                self.now, self.work, parts = self.now + took, self.work + PART, parts + 1
                slept += took * self.sleep(workers, self.now)
                so_far = self.now - start
                if so_far >= slice_seconds or self.pace.is_over(so_far, 1000 * parts, parts, slept, self.now):
                    break
            self.pace.report(self.now - start, 1000 * parts, slept, self.now)
            self.used[workers] = self.used.get(workers, 0) + self.now - start
        return (self.work - work) / (self.now - begin)


SPEEDS = {
    "every core counts": lambda workers: 0.95 * workers + 0.05,
    "two are enough": lambda workers: min(workers, 2) - 0.02 * workers,
    "a small net": lambda workers: {1: 1.0}.get(workers, 0.9),
    "one gains little": lambda workers: 1 + 0.05 * (workers > 1),
    "no core is free": lambda workers: 1 / workers,
}


@pytest.mark.parametrize("slice_seconds", [SLICE, 0.0007])  # epochs of small data are short
@pytest.mark.parametrize("wanted", [1, 2, 5, 16])
@pytest.mark.parametrize("name", SPEEDS)
def test_the_best_team_is_found_and_kept(name, wanted, slice_seconds):
    speed = SPEEDS[name]
    machine = Machine(lambda workers, now: speed(workers))
    machine.run(wanted, 2, slice_seconds)
    halves = [wanted, *([wanted - 1] if wanted > 4 else []), *(max(1, wanted >> i) for i in range(1, 5))]
    best = max(speed(workers) for workers in halves)
    gain = machine.run(wanted, 3, slice_seconds)
    assert gain > 0.86 * best
    if name == "every core counts":
        assert gain > 0.99 * best
    else:
        assert gain > 0.97, "no slower than one worker"


@pytest.mark.parametrize("sleeps", [0.0, 0.35])
@pytest.mark.parametrize("wanted, crowded", [(2, 0.7), (2, 1.0), (16, 3.0)])
def test_another_process_comes_and_goes(wanted, crowded, sleeps):
    """While a core is shared, a team is as fast as its slowest member; one worker has a core of its own."""

    def speed(workers, now):
        busy = begin <= now < begin + 20
        return crowded if busy and workers == wanted else 0.95 * workers + 0.05

    machine = Machine(speed, lambda workers, now: sleeps * (begin <= now < begin + 20 and workers == wanted))
    begin = machine.now + 5
    free = 0.95 * wanted + 0.05
    without = 0.95 * (wanted - 1) + 0.05
    assert machine.run(wanted, 5) > 0.99 * free
    assert machine.run(wanted, 2) > 0.85 * without, "within some hundredths of a second"
    assert machine.run(wanted, 17.9) > 0.97 * without
    machine.run(wanted, 1.5)
    assert machine.run(wanted, 5) > 0.99 * free, "and back after a second"


def test_a_computation_that_begins_on_busy_cores_begins_on_fewer():
    first = Machine(lambda workers, now: 1.0 if workers == 1 else 0.7, lambda workers, now: 0.3 * (workers > 1))
    first.run(2, 3)
    begun = testing.Pace()
    assert begun.workers(2, first.now) == 1
    assert begun.workers(1, first.now) == 1
    assert testing.Pace().workers(2, first.now + 2) == 2


def test_teams_are_whole_in_tests_of_threads():
    pace = Machine(lambda workers, now: 1.0 / workers)
    testing.use_whole_teams(True)
    try:
        assert pace.run(7, 1) == pytest.approx(1 / 7, rel=1e-3)
    finally:
        testing.use_whole_teams(False)
