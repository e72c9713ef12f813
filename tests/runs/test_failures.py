"""Kernels that fail in every way: their messages are tried again and at last set aside; their neighbours go on."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

MODES = ("raise", "hang", "hold", "segfault", "exit", "quit", "memory", "wrong")
ALL = (*MODES, "later")
COUNT, EVERY = 15, 7
BAD = (0, 7, 14)


@pytest.fixture(scope="module")
def troubled(make_project):
    """A run in which operators side by side fail on the same messages, each in its own way."""
    project = make_project("troubled")
    limits = {"timeout": 1.5, "max_attempts": 2}
    operators = {"numbers": {"operator": "count-up", "parameters": {"count": COUNT}}}
    for name in ALL:
        parameters = {"every": EVERY} if name == "later" else {"every": EVERY, "mode": name}
        kind = "trouble-later" if name == "later" else "trouble"
        operators[name] = {"operator": kind, "parameters": parameters, **limits}
        operators[f"keep-{name}"] = {"operator": "keep", "parameters": {"file": f"{name}.json"}}
    edges = [edge for name in ALL for edge in (f"numbers.out -> {name}.in", f"{name}.out -> keep-{name}.in")]
    project.done = project.run(project.pipeline(operators, *edges), seconds=250)
    return project


def test_exit_codes_that_mean_something_elsewhere_are_the_kernels_own(project):
    file = project.path / "operators" / "trouble" / "run.py"
    file.write_text(file.read_text().replace("os._exit(7)", "os._exit(number)"))
    operators = {
        "numbers": {"operator": "count-up", "parameters": {"count": 8}},
        "trouble": {"operator": "trouble", "parameters": {"every": 1, "mode": "exit"}, "max_attempts": 1},
        "keep": {"operator": "keep"},
    }
    done = project.run(project.pipeline(operators, "numbers.out -> trouble.in", "trouble.out -> keep.in"))
    assert (done.json["state"], done.json["dead"]) == ("completed", 8), done
    found = {letter["id"]: letter["error"] for letter in project.do("pipeline", "dead", "ls", "last", "--json").json}
    assert found == {f"numbers.{code}": f"the kernel ended its process (exit code {code})" for code in range(8)}


def test_a_kernel_that_asks_its_own_process_to_end_is_found_out(project):
    operators = {
        "numbers": {"operator": "count-up", "parameters": {"count": 2}},
        "trouble": {"operator": "trouble", "parameters": {"every": 2, "mode": "asked"}, "max_attempts": 1},
        "keep": {"operator": "keep"},
    }
    done = project.run(project.pipeline(operators, "numbers.out -> trouble.in", "trouble.out -> keep.in"))
    assert (done.json["state"], done.json["dead"]) == ("completed", 1), done
    [letter] = project.do("pipeline", "dead", "ls", "last", "--json").json
    assert letter["id"] == "numbers.0"
    assert letter["error"] == "its process was asked to end, 10 times while the kernel had this message"


@pytest.fixture(scope="module")
def letters(troubled):
    return troubled.do("pipeline", "dead", "ls", "last", "--json").json


def squares(bad=()):
    return [[number, number**2, 8, 1] for number in range(COUNT) if number not in bad]


def test_the_run_completes_and_says_so_loudly(troubled):
    assert troubled.done.code == 1, troubled.done
    result = troubled.done.json
    assert (result["state"], result["dead"]) == ("completed", len(BAD) * len(ALL))
    assert {name: result["operators"][name]["dead"] for name in ALL} == dict.fromkeys(ALL, len(BAD))
    assert troubled.nothing_is_left()


@pytest.mark.parametrize("name", ALL)
def test_only_the_failing_messages_are_missing(troubled, name):
    assert troubled.kept(file=f"{name}.json") == squares(BAD)


@pytest.mark.parametrize(
    ("name", "error"),
    {
        "raise": "ValueError: 0 is not to my taste",
        "hang": "TimeoutError: the kernel took longer than its limit of 1.5 s; its process was ended",
        "hold": "TimeoutError: the kernel took longer than its limit of 1.5 s; its process was ended",
        "segfault": "the kernel ended its process (killed by SIGSEGV)",
        "exit": "the kernel ended its process (exit code 7)",
        "quit": "SystemExit: 0",
        "memory": "MemoryError",
        "wrong": "ReturnTypeError: the kernel returned a builtins.int; return a BytesMessage",
        "later": "TimeoutError: the kernel took longer than its limit of 1.5 s",
    }.items(),
)
def test_dead_letters_say_why(letters, name, error):
    own = [letter for letter in letters if letter["operator"] == name]
    assert sorted(letter["id"] for letter in own) == sorted(f"numbers.{number}" for number in BAD)
    assert {letter["attempts"] for letter in own} == {2}
    assert {letter["port"] for letter in own} == {"in"}
    (first,) = [letter for letter in own if letter["id"] == "numbers.0"]
    assert first["error"].startswith(error)
    if name == "raise":
        assert "run.py" in first["traceback"]
        assert "not to my taste" in first["traceback"]
        assert "interactem/runtime" not in first["traceback"]  # the user's frames alone


def test_dead_letters_for_people(troubled, letters):
    assert letters
    done = troubled.do("pipeline", "dead", "ls", "last", "--operator", "raise")
    assert done.code == 0
    assert len(done.out.splitlines()) == 1 + len(BAD)
    assert "ValueError: 14 is not to my taste" in done.out
    done = troubled.do("pipeline", "dead", "show", "last", "numbers.7", "--operator", "raise")
    assert done.code == 0
    assert "7 is not to my taste" in done.out
    assert troubled.do("pipeline", "dead", "show", "last", "numbers.8").code == 2
    done = troubled.do(
        "pipeline", "dead", "ls", "last", "--error", "LIMIT OF", "--since", "1d", "--port", "in", "--json"
    )
    assert {letter["operator"] for letter in done.json} >= {"later", "hang"}
    assert troubled.do("pipeline", "dead", "ls", "last", "--until", "1d").out == "no dead letters\n"


def test_what_was_wrong_is_mended_and_all_is_tried_again(troubled, letters):
    """As if nothing had ever failed: through the rest of the graph, in a run that had ended."""
    assert letters
    values = [f"{name}.mode=none" for name in MODES]
    done = troubled.do("pipeline", "set", "last", *values, "later.every=0", "--json")
    assert done.code == 0, done
    assert done.json["raise"]["mode"] == "none"
    done = troubled.do("pipeline", "dead", "retry", "last", "--json", seconds=200)
    assert done.code == 0, done
    assert (done.json["state"], done.json["dead"]) == ("completed", 0)
    for name in ALL:
        assert troubled.kept(file=f"{name}.json") == squares(), name
    assert troubled.do("pipeline", "dead", "ls", "last", "--json").json == []
    assert troubled.do("pipeline", "resume", "last").code == 2  # it is complete
    assert troubled.nothing_is_left()


def test_a_second_attempt_that_succeeds(project, chain, exactly_once):
    done = project.run(chain(60, trouble={"mode": "raise", "every": 6, "attempts": 2}))
    assert done.code == 0, done
    numbers = done.json["operators"]["trouble"]
    assert (numbers["retried"], numbers["dead"], numbers["restarts"]) == (20, 0, 0)
    exactly_once(project, 60)


def test_dead_letters_that_nobody_wants(project, chain):
    assert project.run(chain(40, trouble={"mode": "raise", "every": 10}, max_attempts=1)).code == 1
    done = project.do("pipeline", "dead", "drop", "last", "numbers.10", "numbers.20", "--json")
    assert (done.code, done.json) == (0, {"dropped": ["numbers.10", "numbers.20"]})
    left = project.do("pipeline", "dead", "ls", "last", "--json").json
    assert [letter["id"] for letter in left] == ["numbers.0", "numbers.30"]
    assert project.do("pipeline", "dead", "drop", "last", "--all").out == "2 dead letters dropped\n"
    assert project.do("pipeline", "dead", "ls", "last", "--json").json == []
    assert project.do("pipeline", "dead", "drop", "last", "--all").code == 1


def test_dead_letters_are_allowed(project, chain, exactly_once):
    done = project.run(chain(20, trouble={"mode": "raise", "every": 10}, max_attempts=1), "--allow-dead")
    assert (done.code, done.json["state"], done.json["dead"]) == (0, "completed", 2), done
    exactly_once(project, 20, without=(0, 10))


def test_a_source_that_fails_goes_on_where_it_was(project, chain, exactly_once):
    done = project.run(chain(50, numbers={"fail_at": 20, "fails": 2}))
    assert done.code == 0, done
    assert done.json["operators"]["numbers"]["retried"] == 2
    exactly_once(project, 50)


def test_a_source_that_fails_for_good(project, chain, exactly_once):
    done = project.run(chain(50, numbers={"fail_at": 20}))
    assert (done.code, done.json["state"]) == (1, "failed")
    assert "no number 20 today" in done.json["reason"]
    assert project.nothing_is_left()
    assert project.do("pipeline", "set", "last", "numbers.fail_at=-1").code == 0
    done = project.resume().end()
    assert done.code == 0, done
    exactly_once(project, 50)


def test_a_finish_function_that_fails(project, chain, exactly_once):
    done = project.run(chain(50, total={"broken": True}))
    assert (done.code, done.json["state"]) == (1, "failed")
    assert "no end in sight" in done.json["reason"]
    assert project.do("pipeline", "set", "last", "total.broken=false").code == 0
    done = project.resume().end()
    assert done.code == 0, done
    exactly_once(project, 50)
