"""Many messages at once, large ones, slow receivers, several runs, and who outlives whom."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]


def resident(pid):
    """MiB of a process."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def test_ten_thousand_messages_at_once(project, chain, exactly_once):
    done = project.run(chain(10_000), seconds=200)
    assert done.code == 0, done
    exactly_once(project, 10_000)
    numbers = done.json["operators"]
    assert numbers["trouble"]["received"] == numbers["keep"]["received"] == 10_000


def test_messages_of_a_hundred_megabytes(project):
    size = 100_000_000
    operators = {
        "numbers": {"operator": "count-up", "parameters": {"count": 3, "size": size}},
        "trouble": {"operator": "trouble"},
        "keep": {"operator": "keep"},
    }
    file = project.pipeline(operators, "numbers.out -> trouble.in", "trouble.out -> keep.in")
    done = project.run(file, seconds=200)
    assert done.code == 0, done
    assert project.kept() == [[number, number**2, size, 1] for number in range(3)]


def test_a_slow_receiver_keeps_memory_flat(project, chain):
    """A sender that could send gigabytes a minute waits for a receiver that takes its time."""
    file = chain(100_000, numbers={"size": 50_000}, keep={"seconds": 0.002})
    run = project.start(file)
    found = []
    run.wait_for(lambda run: len(run.replicas()) == 6, "replicas")
    for share in range(1, 9):
        run.wait_for(lambda run, share=share: came(run) > share * 250, "messages come through")
        found.append({name: resident(pid) for name, pid in run.replicas().items()})
    run.signal(signal.SIGINT)
    run.signal(signal.SIGTERM)
    run.end()
    for name in found[0]:
        early = max(each[name] for each in found[2:4])
        late = max(each[name] for each in found[6:])
        assert late < 1.2 * early + 10, f"{name} grew: {[round(each[name]) for each in found]}"


def came(run):
    return max((int(path.suffix[1:]) for path in (run.folder / "outputs").glob(".came-*.*")), default=0)


def test_two_runs_side_by_side(project, chain, exactly_once):
    file = chain(200)
    runs = [project.command("pipeline", "run", file) for _ in range(2)]
    said = [run.communicate(timeout=90) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    folders = sorted((project.path / "runs").iterdir())
    assert len(folders) == 2
    for folder in folders:
        exactly_once(project, 200, folder=folder)


@pytest.mark.parametrize("name", ["with spaces", "fröhliche 顕微鏡 🔬", 'quo"te\\back', "$HOME;#{}"])
def test_folders_of_any_name(project, chain, exactly_once, name):
    done = project.run(chain(20), folder=f"{name}/run")
    assert done.code == 0, done
    exactly_once(project, 20, folder=f"{name}/run")


def test_a_replica_that_is_stopped_for_a_while(project, chain, exactly_once):
    """Others take over what it held, and what it does twice has no effect."""
    run = project.start(chain(2000, numbers={"rate": 200.0}))
    run.wait_for(lambda run: came(run) > 50, "messages come through")
    stopped = run.replicas()["trouble", 0]
    os.kill(stopped, signal.SIGSTOP)
    run.wait_for(lambda run: came(run) > 1990, "the others go on")
    os.kill(stopped, signal.SIGCONT)
    done = run.end()
    assert done.code == 0, done
    exactly_once(project, 2000)


def test_a_run_whose_folder_is_removed(project, chain):
    run = project.start(chain(1000, numbers={"rate": 50.0}))
    run.wait_for(lambda run: came(run) > 10, "messages come through")
    shutil.rmtree(run.folder, ignore_errors=True)
    done = run.end()
    assert done.code == 1, done
    assert done.json["state"] == "failed"


def test_one_folder_for_two_runs(project, chain, exactly_once):
    file = chain(200)
    first = project.start(file)
    first.wait_for(lambda run: run.replicas(), "replicas")
    second = project.run(file)
    assert second.code == 2
    assert "there is a run in this folder already" in second.json["error"]
    assert first.end().code == 0
    exactly_once(project, 200)


def test_nobody_outlives_the_supervisor(project, chain):
    run = project.start(chain(10_000, trouble={"mode": "hold", "every": 5}))
    run.wait_for(lambda run: len(run.replicas()) == 6, "replicas")
    run.signal(signal.SIGKILL)
    run.end()
    assert project.nothing_is_left()


def test_what_is_printed_where_there_is_no_terminal(project, chain):
    process = project.command("pipeline", "run", chain(100), "--run-dir", "plain")
    out, err = process.communicate(timeout=90)
    assert (process.returncode, err) == (0, "")
    assert "\x1b" not in out
    lines = out.splitlines()
    assert lines[0].startswith("run ")
    assert any(line.startswith("numbers") for line in lines)
    assert lines[-1].endswith("plain/outputs/kept.json")
    # every replica has a log, also where it has said nothing
    logs = {path.name for path in (project.path / "plain" / "logs").iterdir()}
    assert logs == {f"{name}.0.log" for name in ("numbers", "trouble", "total", "counts", "keep")} | {"trouble.1.log"}


def test_an_interrupted_beginning(project, chain):
    """Before there is a run, Ctrl-C just ends the command."""
    run = project.start(chain(100))
    run.signal(signal.SIGINT)
    done = run.end()
    assert done.code in (130, -signal.SIGINT), done
    if done.out:
        assert done.json["error"] == "interrupted" or done.json["state"] == "stopped"
