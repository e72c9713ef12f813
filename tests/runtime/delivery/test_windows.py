"""Reducers: what comes of windows, whatever crashes when."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest
from delivery_harness import Collected, Crash, Node, crash_at, message, node, numbers, sink, source

from interactem.runtime import Every, Fixed, Reduce, Session, Sliding, operator
from interactem.runtime.errors import PortError, StateError

INF = float("inf")


def events(*given, wait=None):
    """A source of messages, each from (time, key) or a dict of meta. Before number 2 it calls `wait`."""

    @operator
    def source(inputs, parameters):
        for number, one in enumerate(given):
            if number == 2 and wait is not None:
                wait()
            meta = one if isinstance(one, dict) else dict(zip(("time", "key"), one, strict=True))
            yield message(str(number).encode(), **meta)

    return source


def listing(to=None, **options):
    """Tells of each window which messages were in it."""

    @operator.reduce(**options)
    def tell(key, messages, window):
        numbers = [int(one.data) for one in messages]
        result = message(repr((key, window.start, window.end, numbers)).encode())
        return result if to is None else result.to(to)

    return tell


def told(out):
    return sorted((eval(one.data, {"inf": INF}) for one in out.messages), key=repr)


def reduced(flow, given, kernel=None, **options):
    out = Collected()
    nodes = {"s": source(events(*given)), "r": node(kernel or listing(**options)), "k": sink(out)}
    made = flow(nodes, ["s > r", "r > k"])
    made.run()
    return made, out


def counters(made, name="r"):
    reports = [report for report in made.backend.reports() if "author" in report]
    found = {}
    for report in reports:
        found |= report["author"]["counters"]
    return found


def test_the_whole_stream_by_key_needs_no_event_time(flow):
    given = [{"key": k} for k in "abacab"]
    made, out = reduced(flow, given, key="meta.key")
    assert told(out) == [("a", -INF, INF, [0, 2, 4]), ("b", -INF, INF, [1, 5]), ("c", -INF, INF, [3])]
    assert out.ids == ["r~0~windows.0", "r~0~windows.1", "r~0~windows.2"]
    assert made.dead() == []


def test_without_a_key_all_messages_are_together(flow):
    _, out = reduced(flow, [{}] * 5)
    assert told(out) == [(None, -INF, INF, [0, 1, 2, 3, 4])]


def test_fixed_windows(flow):
    given = [(0.0, "a"), (9.9, "a"), (10.0, "a"), (3.0, "b"), (25, "a"), (29.5, "b")]
    _, out = reduced(flow, given, window=Fixed(10), key="meta.key", lateness=10)
    assert told(out) == [
        ("a", 0.0, 10.0, [0, 1]),
        ("a", 10.0, 20.0, [2]),
        ("a", 20.0, 30.0, [4]),
        ("b", 0.0, 10.0, [3]),
        ("b", 20.0, 30.0, [5]),
    ]


def test_sliding_windows(flow):
    _, out = reduced(flow, [(12.0, "a"), (14.0, "a"), (25.0, "a")], window=Sliding(10, 5), key="meta.key")
    assert told(out) == [
        ("a", 10.0, 20.0, [0, 1]),
        ("a", 20.0, 30.0, [2]),
        ("a", 25.0, 35.0, [2]),
        ("a", 5.0, 15.0, [0, 1]),
    ]


def test_sessions_merge(flow):
    given = [(0.0, "a"), (8.0, "a"), (4.0, "a"), (20.0, "a"), (25.0, "a"), (3.0, "b")]
    _, out = reduced(flow, given, window=Session(5), key="meta.key", lateness=30)
    assert told(out) == [
        ("a", 0.0, 13.0, [0, 2, 1]),
        ("a", 20.0, 25.0, [3]),
        ("a", 25.0, 30.0, [4]),
        ("b", 3.0, 8.0, [5]),
    ]


@pytest.mark.parametrize("flow", ["memory"], indirect=True)
@pytest.mark.parametrize("window", [Fixed(4), Session(2.5)], ids=["fixed", "session"])
def test_a_reducer_that_crashes_at_any_step_gives_what_an_undisturbed_run_gives(flow, window):
    assert_undisturbed(flow, window)


def test_windows_that_overlap_survive_a_crash_at_any_step(flow):
    assert_undisturbed(flow, Sliding(5, 2))


def assert_undisturbed(flow, window):
    given = [(time, "ab"[time % 3 == 0]) for time in (*range(5), *range(9, 14))]
    expected = None
    for step in itertools.count(-1):
        out = Collected()
        nodes = {"s": source(events(*given)), "r": node(listing(window=window, key="meta.key")), "k": sink(out)}
        made = flow(nodes, ["s > r", "r > k"])
        prepare, crashed = crash_at(step, before=True)
        made.start("r", prepare=prepare)
        made.start_all(but=("r",))
        made.finish()
        expected = expected or told(out)
        assert told(out) == expected, step
        assert sorted(out.ids) == sorted({f"r~0~windows.{n}" for n in range(len(out.ids))})
        made.close()
        if step >= 0 and not crashed.is_set():
            break
    assert step >= 3


def test_a_window_is_told_while_the_stream_goes_on(flow):
    """The source goes on only when the first window has arrived."""
    out = Collected()

    @operator
    def waiting(inputs, parameters):
        yield from (message(b"0", time=1.0), message(b"1", time=11.0))
        out.wait(1)
        yield message(b"2", time=12.0)

    nodes = {"s": source(waiting), "r": node(listing(window=Fixed(10))), "k": sink(out)}
    flow(nodes, ["s > r", "r > k"]).run()
    assert [eval(one.data) for one in out.messages] == [(None, 0.0, 10.0, [0]), (None, 10.0, 20.0, [1, 2])]


def test_late_messages_are_counted_and_dropped(flow):
    out = Collected()
    given = events((1.0, "a"), (35.0, "a"), (3.0, "a"), (36.0, "a"), wait=lambda: out.wait(1))
    kernel = listing(window=Fixed(10), lateness=5)
    made = flow({"s": source(given), "r": node(kernel), "k": sink(out)}, ["s > r", "r > k"])
    made.run()
    assert told(out) == [(None, 0.0, 10.0, [0]), (None, 30.0, 40.0, [1, 3])]
    assert counters(made) == {"late_messages": 1}


def test_late_messages_go_to_a_port(flow):
    late, out = Collected(), Collected()
    kernel = listing("out", window=Sliding(10, 5), late="late")
    given = [(1.0, "a"), (13.0, "a"), (7.0, "a"), (2.0, "a")]  # 7 has a window that ends at 15
    from_source = events(*given, wait=lambda: out.wait(2))  # the windows that 2.0 is too late for
    nodes = {"s": source(from_source), "r": node(kernel, "out", "late"), "k": sink(out), "l": sink(late)}
    made = flow(nodes, ["s > r", "r > k", "r.late > l"])
    made.run()
    assert late.ints == [3]
    assert late.messages[0].meta["time"] == 2.0
    assert told(out) == [
        (None, -5.0, 5.0, [0]),
        (None, 0.0, 10.0, [0]),
        (None, 10.0, 20.0, [1]),
        (None, 5.0, 15.0, [2, 1]),
    ]


def test_a_port_for_late_messages_that_there_is_not(flow):
    out = Collected()
    nodes = {"s": source(numbers(1)), "r": node(listing(window=Fixed(1), late="too-late")), "k": sink(out)}
    made = flow(nodes, ["s > r", "r > k"])
    with pytest.raises(PortError, match="too-late"):
        made.start("r")


def test_what_overtakes_others_is_not_counted_on_before_they_have_come(flow):
    """Messages 2 and 3 come before 1: with the ids it is known that something is missing."""
    out = Collected()
    nodes = {"s": source(numbers(0)), "r": node(listing(window=Fixed(10))), "k": sink(out)}
    made = flow(nodes, ["s > r", "r > k"])
    made.start_all(but=("s",))
    made.feed("s", [message(b"0", time=1.0)], ids=["s.0"])
    made.feed("s", [message(b"2", time=12.0), message(b"3", time=13.0)], ids=["s.2", "s.3"])
    made.feed("s", [message(b"1", time=2.0)], ids=["s.1"])
    made.start("s")
    made.finish()
    assert told(out) == [(None, 0.0, 10.0, [0, 1]), (None, 10.0, 20.0, [2, 3])]


def test_what_is_missing_is_not_waited_for_for_ever(flow):
    out = Collected()
    nodes = {"s": source(numbers(0)), "r": node(listing(window=Fixed(10), patience=0.2)), "k": sink(out)}
    made = flow(nodes, ["s > r", "r > k"])
    made.start_all(but=("s",))
    made.feed("s", [message(b"0", time=1.0), message(b"9", time=25.0)], ids=["s.0", "s.9"])
    out.wait(1)  # though nothing more comes
    made.start("s")
    made.finish()
    assert told(out) == [(None, 0.0, 10.0, [0]), (None, 20.0, 30.0, [9])]


def test_the_slowest_of_several_sources_counts(flow):
    out = Collected()
    nodes = {"s": source(numbers(0)), "r": node(listing(window=Fixed(10))), "k": sink(out)}
    made = flow(nodes, ["s > r", "r > k"])
    made.feed("s", [message(b"0", time=1.0)], ids=["s.0"])
    made.feed("s", [message(b"1", time=2.0)], ids=["s~1.0"])
    made.feed("s", [message(b"2", time=95.0)], ids=["s.1"])
    made.feed("s", [message(b"3", time=3.0)], ids=["s~1.1"])
    made.run()
    assert told(out) == [(None, 0.0, 10.0, [0, 1, 3]), (None, 90.0, 100.0, [2])]


def test_keys_that_look_alike_never_merge(flow):
    keys = [1, 1.0, True, "1", b"1", (1,), (1.0,), ((1, 2), 3), (1, (2, 3)), ("a:b",), ("a", "b"), None, "None", 0, ""]

    @operator.reduce(key=lambda one: keys[int(one.data)])
    def tell(key, messages):
        return message(repr((type(key).__name__, key, [int(one.data) for one in messages])).encode())

    _, out = reduced(flow, [{}] * len(keys), tell)
    expected = [repr((type(key).__name__, key, [n])) for n, key in enumerate(keys)]
    assert sorted(data.decode() for data in out.data) == sorted(expected)


def test_a_message_that_does_not_say_when_it_was_fails_and_the_others_do_not(flow):
    given = [(1.0, "a"), {"key": "a"}, ("noon", "a"), (float("nan"), "a"), (True, "a"), (2, "a")]
    made, out = reduced(flow, given, window=Fixed(10))
    assert told(out) == [(None, 0.0, 10.0, [0, 5])]
    assert [dead.message.data for dead in made.dead()] == [b"1", b"2", b"3", b"4"]
    assert "EventTimeError: no event time: there is no meta.time in the message's meta" in made.dead()[0].error
    assert "event_time=" in made.dead()[0].error
    assert "meta.time is 'noon'" in made.dead()[1].error


def test_a_key_that_cannot_be_one_fails_its_message_alone(flow):
    made, out = reduced(flow, [{"key": "a"}, {"key": [1, 2]}, {}], key="meta.key")
    assert told(out) == [("a", -INF, INF, [0])]
    first, second = made.dead()
    assert "a builtins.list cannot be a key, as it is not hashable ([1, 2])" in first.error
    assert "there is no meta.key in the message's meta" in second.error


def test_early_results_have_revisions(flow):
    given = [(t, "a") for t in range(7)] + [(10.0, "a")]
    _, out = reduced(flow, given, window=Fixed(10), early=Every(count=3))
    found = [(one.meta["revision"], one.meta["final"], eval(one.data)) for one in out.messages]
    assert found == [
        (1, False, (None, 0.0, 10.0, [0, 1, 2])),
        (2, False, (None, 0.0, 10.0, [0, 1, 2, 3, 4, 5])),
        (3, True, (None, 0.0, 10.0, [0, 1, 2, 3, 4, 5, 6])),
        (1, True, (None, 10.0, 20.0, [7])),
    ]


def test_early_results_by_the_clock(flow):
    out = Collected()

    @operator
    def waiting(inputs, parameters):
        yield message(b"0")
        out.wait(1)
        yield message(b"1")

    nodes = {"s": source(waiting), "r": node(listing(early=Every(seconds=0.01))), "k": sink(out)}
    flow(nodes, ["s > r", "r > k"]).run()
    assert out.messages[0].meta == {"revision": 1, "final": False}
    assert out.messages[-1].meta["final"] is True
    assert [eval(one.data, {"inf": INF})[3] for one in (out.messages[0], out.messages[-1])] == [[0], [0, 1]]


def test_a_window_whose_kernel_fails_is_tried_again(flow):
    attempts = []

    @operator.reduce(window=Fixed(10))
    def fail(messages, window, context):
        context.state["windows"] = context.state.get("windows", 0) + 1
        context.keyed("starts")[window.start] = context.attempt
        attempts.append((window.start, context.attempt))
        if window.start == 0.0 and context.attempt < 3:
            raise ValueError("not yet")
        starts = dict(context.keyed("starts"))
        return message(repr((window.start, context.state["windows"], starts)).encode())

    made, out = reduced(flow, [(1, "a"), (11, "a"), (21, "a")], fail)
    assert [start for start, attempt in attempts if attempt > 1] == [0.0, 0.0]
    found = sorted((eval(data) for data in out.data), key=lambda one: one[1])
    assert [count for _, count, _ in found] == [1, 2, 3], "a call that fails leaves nothing behind"
    assert found[-1][2] == {0.0: 3, 10.0: 1, 20.0: 1}
    assert made.dead() == []


def test_a_window_whose_kernel_never_works_ends_as_dead_letters(flow):
    @operator.reduce(window=Fixed(10))
    async def fail(messages, window):
        await asyncio.sleep(0)
        if window.start == 0.0:
            raise ValueError("never")
        yield message(str(window.start).encode())

    made, out = reduced(flow, [(1, "a"), (2, "a"), (11, "a")], fail)
    assert out.data == [b"10.0"]
    assert [(dead.message.id, dead.message.data, dead.attempts) for dead in made.dead()] == [
        ("s.0", b"0", 3),
        ("s.1", b"1", 3),
    ]
    assert made.dead()[0].error == "ValueError: never"
    assert made.dead()[0].message.meta == {"time": 1, "key": "a"}


def test_a_window_whose_kernel_kills_its_process_counts_each_time(flow):
    @operator.reduce(window=Fixed(10))
    def die(messages, window, context):
        numbers = [int(one.data) for one in messages]
        if window.start == 10.0:
            raise Crash
        return message(repr(numbers).encode())

    out = Collected()
    given = [(1, "a"), (11, "a"), (12, "a"), (21, "a")]
    nodes = {"s": source(events(*given)), "r": node(die), "k": sink(out)}
    made = flow(nodes, ["s > r", "r > k"])
    made.start_all(but=("r",))
    for attempt in range(1, 4):
        running = made.start("r")
        running.join()
        call = made.record_crash(running, "the kernel ended its process (SIGSEGV)")
        assert (call.message_id, call.attempt) == ("s.1 and all in its window 10 to 20", attempt)
        made.crash(running)
    made.start("r")
    made.finish()
    assert sorted(out.data) == [b"[0]", b"[3]"]
    assert [(dead.message.id, dead.attempts) for dead in made.dead()] == [("s.1", 3), ("s.2", 3)]
    assert made.dead()[0].error == "the kernel ended its process (SIGSEGV)"


@pytest.mark.parametrize("times", [1, 2])
def test_a_window_whose_kernel_kills_its_process_at_first_loses_nothing(flow, times):
    died = []

    @operator.reduce(window=Fixed(10))
    def die(messages, window):
        numbers = [int(one.data) for one in messages]
        if window.start == 10.0 and len(died) < times:
            died.append(numbers)
            raise Crash
        return message(repr(numbers).encode())

    out = Collected()
    given = [(1, "a"), (11, "a"), (12, "a"), (21, "a")]
    nodes = {"s": source(events(*given)), "r": node(die), "k": sink(out)}
    made = flow(nodes, ["s > r", "r > k"]).run()
    assert sorted(out.data) == [b"[0]", b"[1, 2]", b"[3]"]
    assert died == [[1, 2]] * times
    assert made.dead() == []


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_a_window_whose_kernel_means_to_end_its_process_is_tried_again(flow, raised):
    raising = [raised]

    @operator.reduce(window=Fixed(10))
    def leave(messages):
        if raising:
            raise raising.pop()
        return message(repr([int(one.data) for one in messages]).encode())

    out = Collected()
    made = flow({"s": source(events((1, "a"))), "r": node(leave), "k": sink(out)}, ["s > r", "r > k"]).run()
    assert out.data == [b"[0]"]
    assert made.counts("r")["retried"] == 1


def test_dead_letters_that_are_sent_again_are_not_late(flow):
    out = Collected()
    nodes = {"s": source(numbers(0)), "r": node(listing(window=Fixed(10))), "k": sink(out)}
    made = flow(nodes, ["s > r", "r > k"])
    made.feed("s", [message(b"0", time=1.0), message(b"1", time=50.0)], ids=["s.0", "s.1"])
    made.feed("s", [message(b"7", time=2.0)], ids=["s!1.7"])
    made.run()
    assert [numbers for *_, numbers in told(out)] == [[0], [7], [1]] or [n for *_, n in told(out)] == [[0, 7], [1]]


def test_classes_and_instances(flow):
    class Sum(Reduce):
        def __init__(self, factor=1):
            self.factor = factor

        def start(self):
            self.started = True

        def run(self, key, messages, parameters):
            assert self.started
            return message(str(self.factor * sum(int(one.data) for one in messages)).encode(), key=key)

    _, out = reduced(flow, [{"key": "a"}, {"key": "b"}, {"key": "a"}], operator.reduce(key="meta.key")(Sum(10)))
    assert sorted(out.ints) == [10, 20]
    _, out = reduced(flow, [{"key": "a"}, {"key": "a"}], operator.reduce(key="meta.key")(Sum))
    assert out.ints == [1]


def test_replicas_that_share_their_input_are_refused(flow):
    nodes = {"s": source(numbers(3)), "r": node(listing(), replicas=2), "k": sink(Collected())}
    made = flow(nodes, ["s > r", "r > k"])
    running = made.start("r", 1)
    running.join()
    assert isinstance(running.error, StateError)
    assert "2 replicas" in str(running.error)


@pytest.mark.parametrize("outputs", [("out",), ()], ids=["operator", "sink"])
def test_replicas_each_have_their_keys(flow, outputs):
    """Also one without outputs, whose messages are divided by their ids where no key says otherwise."""
    out = Collected()

    @operator.reduce(key="meta.key")
    def tell(key, messages, context):
        result = message(repr((key, [int(one.data) for one in messages])).encode())
        if not outputs:
            out.keep(result)
        return result if outputs else None

    given = [{"key": n % 7} for n in range(50)]
    nodes = {"s": source(events(*given)), "r": Node(tell, outputs, 3)} | ({"k": sink(out)} if outputs else {})
    flow(nodes, [("s > r", {"key": "meta.key"}), *(["r > k"] if outputs else [])]).run()
    assert sorted(eval(data) for data in out.data) == [(key, list(range(key, 50, 7))) for key in range(7)]


def test_replicas_of_a_sink_without_keys_are_refused(flow):
    made = flow({"s": source(numbers(3)), "r": sink(listing(), replicas=2)}, ["s > r"])
    running = made.start("r")
    running.join()
    assert isinstance(running.error, StateError)


@pytest.mark.parametrize("early", [None, Every(count=100)], ids=["once", "early"])
def test_a_drained_run_keeps_its_windows_for_the_rest_of_the_stream(flow, early):
    out = Collected()
    nodes = {"s": source(numbers(0)), "r": node(listing(early=early)), "k": sink(out)}
    made = flow(nodes, ["s > r", "r > k"])
    made.feed("s", [message(b"0"), message(b"1")], ids=["s.0", "s.1"])
    reader = made.operator("r").index
    first = made.start("r")
    while made.backend.outstanding()[0]:
        first.thread.join(0.005)
    made.backend.tell(made.names.control(reader, "finish"), b'{"drained": true}')
    first.join()
    assert first.error is None
    made.crash(first)
    made.forget_drain("r")
    made.backend.forget([made.names.control(reader, "finish")])
    made.feed("s", [message(b"2")], ids=["s.2"])
    made.run()
    found = [eval(one.data, {"inf": INF})[3] for one in out.messages]
    assert found == ([[0, 1, 2]] if early is None else [[0, 1], [0, 1, 2]])
    if early is not None:
        assert [(m.meta["revision"], m.meta["final"]) for m in out.messages] == [(1, False), (2, True)]


def test_what_windows_hold_is_stored_once(flow):
    """Half a megabyte in open windows is not stored again with each checkpoint."""
    out = Collected()
    stored = []

    def prepare(transport):
        original = transport._store

        if asyncio.iscoroutinefunction(original):

            async def store(item):
                stored.append(len(item.payload))
                await original(item)
        else:

            def store(item):
                stored.append(len(item.payload))
                original(item)

        transport._store = store

    @operator
    def many(inputs, parameters):
        for number in range(500):
            yield message(number.to_bytes(2, "little") * 500, key=number % 100)

    @operator.reduce(key="meta.key")
    def count(key, messages):
        return message(json.dumps([key, len(list(messages))]).encode())

    made = flow({"s": source(many), "r": node(count), "k": sink(out)}, ["s > r", "r > k"])
    made.start("s").join()
    made.start("r", prepare=prepare)
    made.start("k")
    made.finish()
    assert sorted(json.loads(data) for data in out.data) == [[key, 5] for key in range(100)]
    # the last changes are written again, up to 32 kB of them, and all of it now and then
    assert sum(stored) < 12_000_000, "each time all of it would be 125 MB"


def test_what_the_first_call_of_all_has_kept_and_failed_is_undone(flow):
    @operator.reduce(key=lambda one: 0)
    def count(messages, context):
        keyed = context.keyed("calls")
        keyed["n"] = keyed.get("n", 0) + 1
        if context.attempt == 1:
            raise ValueError("not yet")
        return message(str(keyed["n"]).encode())

    out = Collected()
    flow({"s": source(numbers(3)), "m": node(count), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert out.ints == [1]
