from __future__ import annotations

from interactem.engine.progress import Rate, Tally


def counts(received=0, sent=0, retried=0, dead=0):
    return {"received": received, "sent": sent, "retried": retried, "dead": dead, "kernel": 0.5}


def test_what_incarnations_said_last_adds_up():
    tally = Tally()
    tally.hear(0, counts(received=5))
    tally.hear(0, counts(received=7, sent=3))
    tally.hear(1, counts(received=10))
    assert (tally.total("received"), tally.total("sent")) == (17, 3)
    tally.close(0)
    tally.close(0)  # nothing was said since
    tally.hear(0, counts(received=1))
    assert tally.total("received") == 18
    tally.close(9)
    assert tally.total("received") == 18


def test_progress_is_that_of_the_incarnation():
    tally = Tally()
    assert tally.progress_of(0) == 0
    tally.hear(0, counts(retried=1))
    assert tally.progress_of(0) > 0
    tally.close(0)
    assert tally.progress_of(0) == 0


def test_a_rate_is_over_the_last_seconds():
    rate = Rate(seconds=2)
    assert rate.at(0.0, 100) == 0
    assert rate.at(1.0, 110) == 10
    assert rate.at(2.0, 120) == 10
    assert rate.at(4.0, 120) == 0
    for time in range(5, 100):
        rate.at(float(time), 120)
    assert len(rate._points) <= 4
