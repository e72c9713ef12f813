"""Staged kernels: prepare, process and output work on different messages at once."""

from __future__ import annotations

import asyncio
import threading

import pytest
from delivery_harness import WAIT, Collected, message, node, numbers, sink, source

from interactem.runtime import StagedOperator, operator


def run(flow, kernel, count=12, **options):
    out = Collected()
    nodes = {"s": source(numbers(count)), "m": node(kernel, **options), "k": sink(out)}
    return out, flow(nodes, ["s > m", "m > k"]).run()


def as_text(value):
    return message(str(value).encode())


@operator.staged(prepare=lambda inputs: int(inputs.data), output=as_text)
def plain(number):
    return 2 * number


async def fetched(inputs):
    await asyncio.sleep(0)
    return int(inputs.data)


async def put(number, parameters, context):
    await asyncio.sleep(0)
    return message(str(number).encode(), id=context.message_id)


@operator.staged(prepare=fetched, output=put, max_concurrency=2, prepare_concurrency=4, output_concurrency=3)
def mixed(number, parameters):
    return 2 * number


@operator.staged(max_concurrency=3, ordered=True)
async def process_alone(inputs):
    await asyncio.sleep(0)
    return as_text(2 * int(inputs.data))


@operator.staged(max_concurrency=2)
class Doubling(StagedOperator):
    def start(self):
        self.factor = 2

    def prepare(self, inputs):
        return int(inputs.data)

    async def process(self, number):
        return self.factor * number

    def output(self, number, context):
        assert self.context.message_id == context.message_id
        return as_text(number)


class Scaling(StagedOperator):
    def __init__(self, factor):
        self.factor = factor

    def process(self, inputs):
        return as_text(self.factor * int(inputs.data))


scaling = operator.staged()(Scaling(2))


@pytest.mark.parametrize("kernel", [plain, mixed, process_alone, Doubling, scaling])
def test_every_form_of_stages_maps_messages(flow, kernel):
    out, made = run(flow, kernel, 30)
    assert sorted(zip(out.ints, out.ids, strict=True)) == [(2 * n, f"s.{n}/0.0") for n in range(30)]
    assert made.dead() == []


def test_in_order_stages_leave_as_messages_came(flow):
    out, _ = run(flow, process_alone, 30)
    assert out.ints == list(range(0, 60, 2))


def test_the_stages_work_on_different_messages_at_once(flow):
    meeting = threading.Barrier(3, timeout=WAIT)
    met = []

    def meet(stage, number):
        # messages 2, 1 and 0 are in the three stages at the same time
        if number == {"prepare": 2, "process": 1, "output": 0}[stage]:
            meeting.wait()
            met.append(stage)

    def prepare(inputs):
        meet("prepare", int(inputs.data))
        return int(inputs.data)

    def output(number):
        meet("output", number)
        return as_text(number)

    @operator.staged(prepare=prepare, output=output)
    def process(number):
        meet("process", number)
        return number

    out, _ = run(flow, process, 6)
    assert sorted(met) == ["output", "prepare", "process"]
    assert sorted(out.ints) == list(range(6))


def test_each_stage_has_no_more_messages_than_it_may(flow):
    lock = threading.Lock()
    now = dict.fromkeys(("prepare", "process", "output"), 0)
    most = dict(now)
    both = threading.Barrier(2, timeout=WAIT)

    def within(stage, value):
        with lock:
            now[stage] += 1
            most[stage] = max(most[stage], now[stage])
        if stage == "process":
            both.wait()
        with lock:
            now[stage] -= 1
        return value

    @operator.staged(
        prepare=lambda inputs: within("prepare", inputs),
        output=lambda value: within("output", value),
        prepare_concurrency=1,
        max_concurrency=2,
        output_concurrency=1,
    )
    def process(value):
        return within("process", value)

    out, _ = run(flow, process, 12)
    assert sorted(out.ints) == list(range(12))
    assert most == {"prepare": 1, "process": 2, "output": 1}


def test_a_message_has_one_working_folder_in_all_stages(flow):
    folders = []

    def prepare(inputs, context):
        (context.folder / "number").write_bytes(inputs.data)
        return context.folder

    def output(folder, context):
        assert folder == context.folder
        folders.append(folder)
        return message((folder / "number").read_bytes())

    @operator.staged(prepare=prepare, output=output, max_concurrency=2)
    def process(folder, context):
        assert folder == context.folder
        return folder

    out, made = run(flow, process, 8)
    assert made.dead() == []
    assert sorted(out.ints) == list(range(8))
    assert len(set(folders)) == 8
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize("keep", [False, True])
def test_the_folder_of_a_failed_attempt_is_kept_when_asked(flow, keep, caplog):
    folders = []

    def output(folder):
        raise ValueError("the disk is full")

    @operator.staged(output=output, keep_folders=keep)
    def process(inputs, parameters, context):
        (context.folder / "mine").write_text("kept")
        folders.append(context.folder)
        return context.folder

    _, made = run(flow, process, 1, max_attempts=2)
    assert [dead.error for dead in made.dead()] == ["ValueError: the disk is full"]
    kept = [line.getMessage().rpartition(" ")[2] for line in caplog.records if "folder is kept" in line.getMessage()]
    assert len(kept) == (2 if keep else 0)
    assert not any(folder.exists() for folder in folders), "those that are kept have another name"
    for folder in kept:
        with open(f"{folder}/mine") as file:
            assert file.read() == "kept"


@pytest.mark.parametrize("stage", ["prepare", "process", "output"])
def test_a_message_that_fails_in_any_stage_fails_alone(flow, stage):
    def failing(name):
        def step(value, parameters, context):
            if name == stage and context.message.data == b"3":
                raise ValueError(f"no good in {name}")
            return value

        return step

    kernel = operator.staged(prepare=failing("prepare"), output=failing("output"))(failing("process"))
    out, made = run(flow, kernel, 8, max_attempts=2)
    assert sorted(out.ints) == [n for n in range(8) if n != 3]
    [dead] = made.dead()
    assert (dead.message.id, dead.attempts, dead.error) == ("s.3", 2, f"ValueError: no good in {stage}")


def test_a_stage_that_takes_too_long_fails_its_message_alone(flow):
    @operator.staged(prepare=fetched, max_concurrency=2)
    async def process(number):
        await asyncio.sleep(WAIT if number == 1 else 0)
        return as_text(number)

    out, made = run(flow, process, 5, timeout=0.2, max_attempts=1)
    assert sorted(out.ints) == [0, 2, 3, 4]
    assert [dead.message.id for dead in made.dead()] == ["s.1"]


@pytest.mark.parametrize("as_class", [False, True])
def test_a_staged_kernel_has_a_finish_function(flow, as_class):
    done = []

    if as_class:

        @operator.staged
        class Kernel(StagedOperator):
            def process(self, inputs):
                done.append(1)
                return inputs

            def finish(self):
                return message(str(-len(done)).encode())

    else:

        def total():
            return message(str(-len(done)).encode())

        @operator.staged(finish=total)
        def Kernel(inputs):
            done.append(1)
            return inputs

    out = Collected()
    flow({"s": source(numbers(5)), "m": node(Kernel), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert sorted(out.ints) == [-5, *range(5)]
