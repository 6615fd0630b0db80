"""When a destination that fails is left alone, and when it is tried again."""

from __future__ import annotations

from mailport.outward.breaker import FAILURES, FIRST_PAUSE, FORGET, LONGEST_PAUSE, Breaker, State


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.begin(at)
        breaker.end(at, failed=True)
    return breaker


def test_it_opens_after_repeated_failures_only():
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.failed(0.0)
    assert breaker.state(0.0) is State.CLOSED

    breaker.failed(0.0)

    assert breaker.state(0.0) is State.OPEN
    assert not breaker.admits(0.0)
    assert not breaker.begin(0.0)


def test_a_success_between_them_starts_the_count_anew():
    breaker = Breaker()
    for _ in range(3):
        for _ in range(FAILURES - 1):
            breaker.failed(0.0)
        breaker.end(0.0, failed=False)

    assert breaker.state(0.0) is State.CLOSED


def test_so_does_time():
    """A failure now and then is no outage."""
    breaker = Breaker()
    for number in range(3 * FAILURES):
        breaker.failed(number * (FORGET + 1))

    assert breaker.state(3 * FAILURES * FORGET) is State.CLOSED


def test_half_open_lets_one_message_through_at_a_time():
    breaker = opened()

    assert breaker.state(FIRST_PAUSE) is State.HALF_OPEN
    assert breaker.begin(FIRST_PAUSE)
    assert not breaker.admits(FIRST_PAUSE)
    assert not breaker.begin(FIRST_PAUSE)


def test_its_success_closes():
    breaker = opened()
    assert breaker.begin(FIRST_PAUSE)
    breaker.end(FIRST_PAUSE, failed=False)

    assert breaker.state(FIRST_PAUSE) is State.CLOSED
    assert breaker.begin(FIRST_PAUSE)
    assert breaker.begin(FIRST_PAUSE)


def test_its_failure_opens_for_twice_as_long():
    breaker, now, pauses = opened(), 0.0, []
    pause = FIRST_PAUSE
    for _ in range(6):
        now += pause
        assert breaker.begin(now)
        breaker.end(now, failed=True)
        pause = next(seconds for seconds in range(1, 1000) if breaker.admits(now + seconds))
        pauses.append(pause)

    assert pauses == [10, 20, 40, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


def test_a_trial_that_came_to_nothing_gives_its_place_to_the_next():
    """Its client left: that says nothing of the destination."""
    breaker = opened()
    assert breaker.begin(FIRST_PAUSE)
    breaker.end(FIRST_PAUSE, failed=None)

    assert breaker.state(FIRST_PAUSE) is State.HALF_OPEN
    assert breaker.begin(FIRST_PAUSE)


def test_what_began_before_it_opened_does_not_hold_it_open():
    """Fifty messages that time out together are one outage."""
    breaker = opened()
    for _ in range(50):
        breaker.end(FIRST_PAUSE - 0.1, failed=True)

    assert breaker.admits(FIRST_PAUSE)


def test_what_began_before_it_opened_and_succeeds_closes():
    breaker = Breaker()
    assert breaker.begin(0.0)
    for _ in range(FAILURES):
        breaker.failed(0.0)
    breaker.end(1.0, failed=False)

    assert breaker.state(1.0) is State.CLOSED


def test_a_pause_that_is_asked_for_is_kept():
    """Also where a message that began before it succeeds; then one tries."""
    breaker = Breaker()
    assert breaker.begin(0.0)
    assert breaker.begin(0.0)
    breaker.open(1.0, 30.0)
    breaker.end(1.0, failed=True)
    breaker.end(2.0, failed=False)

    assert breaker.state(30.0) is State.OPEN
    assert breaker.state(31.0) is State.HALF_OPEN
    assert breaker.begin(31.0)
    assert not breaker.begin(31.0)
    breaker.end(32.0, failed=False)
    assert breaker.state(32.0) is State.CLOSED


def test_a_shorter_pause_that_is_asked_for_later_ends_none():
    breaker = Breaker()
    breaker.open(0.0, 30.0)
    breaker.open(1.0, 5.0)

    assert breaker.state(29.0) is State.OPEN


def test_failures_that_take_long_are_not_far_apart():
    """Each message waits for its time-out, one after the other: what lies between two failures is the try itself."""
    breaker = Breaker()
    for number in range(FAILURES):
        began = number * (FORGET + 40)
        assert breaker.begin(began)
        breaker.end(began + FORGET + 39, failed=True, began=began)

    assert breaker.state(FAILURES * (FORGET + 40)) is not State.CLOSED


def test_a_shorter_wish_of_the_receivers_ends_no_longer_pause():
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.failed(100.0)
    breaker.open(100.0, 1.0)

    assert breaker.state(104.0) is State.OPEN
    assert breaker.state(105.0) is State.HALF_OPEN
