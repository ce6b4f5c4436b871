"""Teams of threads that really start: however small the work of a test is, and however busy the machine."""

from contextlib import contextmanager

from fastmlp._core import testing

TEAMS = (2, 3, 7)  # even and odd, more than most work has panels, and more than small machines have cores


@contextmanager
def team_of(workers):
    """Inside, each native call on n_threads=workers runs on a team of exactly so many; one call at least must.

    Calls on one thread start no team. A prediction or evaluation has a worker per 128 rows at most.
    """
    testing.use_whole_teams(True)
    testing.teams_run()  # counts from here on
    try:
        yield
        teams = testing.teams_run()
    finally:
        testing.use_whole_teams(False)
    assert set(teams) == ({workers} if workers > 1 else set()), f"teams that ran, by their workers: {teams}"
