"""What `@operator.batch`, `@operator.staged` and modes refuse at import, and what kernels of each are called with."""

from __future__ import annotations

import asyncio

import pytest

from interactem.runtime import BatchOperator, BytesMessage, Operator, StagedOperator, operator
from interactem.runtime.errors import BatchResultError, KernelError, LoadError
from interactem.runtime.kernels import KERNEL
from interactem.runtime.kinds.modes import MODES, refusal
from interactem.runtime.loading import load
from interactem.runtime.testing import call


def plain(inputs, parameters):
    return inputs


async def later(inputs, parameters):
    return inputs


def yields(inputs, parameters):
    yield inputs


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: operator(threads=2)(later), "a coroutine takes concurrency=2"),
        (lambda: operator(concurrency=2)(plain), "a plain function takes threads=2"),
        (lambda: operator(threads=2, processes=2)(plain), "exclude each other"),
        (lambda: operator(threads=-1)(plain), "whole number from 1"),
        (lambda: operator(threads=1.5)(plain), "whole number from 1"),
        (lambda: operator(threads=True)(plain), "whole number from 1"),
        (lambda: operator(threads=2)(lambda parameters: None), "does not go with source"),
        (
            lambda: operator.source(threads=2)(lambda parameters: None),
            "threads= does not go with source: a source makes",
        ),
        (lambda: operator.source(thread=2)(lambda parameters: None), "@operator.source has no option 'thread'"),
        (lambda: operator.side_input(ordered=True)(lambda: 1), "ordered= does not go with side input: it gives one"),
        (lambda: operator.staged(processes=2)(plain), "processes= does not go with staged: its stages have their own"),
        (lambda: operator(ordered=True)(lambda context: None), "does not go with source"),
        (lambda: operator(processes=2, finish=lambda context: None)(plain), "does not go with a finish function"),
        (lambda: operator.map(yields), "it is a generator"),
        (lambda: operator.stream(plain), "it has no yield"),
        (lambda: operator.batch(max_size=0)(plain), "max_size=0"),
        (lambda: operator.batch(max_wait=-1)(plain), "max_wait=-1"),
        (lambda: operator.batch(max_wait="1")(plain), "max_wait='1'"),
        (lambda: operator.batch(lambda inputs, run_data: None), "cannot take run_data"),
        (lambda: operator.batch(lambda parameters: None), "takes the list of messages first"),
        (lambda: operator.staged(max_concurrency=0)(plain), "max_concurrency=0"),
        (lambda: operator.staged(prepare=plain, prepare_concurrency=0)(plain), "prepare_concurrency=0"),
        (lambda: operator.staged(prepare=yields)(plain), "cannot be a generator"),
        (lambda: operator.staged(output=lambda parameters: None)(plain), "takes what comes from the one before it"),
        (lambda: operator.staged(prepare=lambda inputs, trigger: None)(plain), "cannot take trigger"),
        (lambda: operator.staged()(Operator), "has a method process"),
        (lambda: operator.staged(prepare=plain)(StagedOperator()), "are its methods"),
        (lambda: operator(StagedOperator()), "stands under @operator.staged"),
        (lambda: operator(BatchOperator()), "stands under @operator.batch"),
        (lambda: operator.batch()(BatchOperator()), "has a method run"),
    ],
)
def test_what_cannot_be_is_refused_at_import(make, said):
    with pytest.raises(KernelError, match=said.replace("(", "\\(")):
        make()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "@operator(threads=2)\ndef make(inputs, parameters): ...",
            "threads= does not go with an operator without inputs",
        ),
        ("@operator.batch\ndef make(inputs): ...", "@operator.batch makes a kernel that is given messages"),
    ],
)
def test_a_source_with_a_mode_or_a_batch_does_not_load(tmp_path, code, said):
    (tmp_path / "run.py").write_text(f"from interactem.runtime import operator\n{code}\n")
    (tmp_path / "operator.json").write_text('{"label": "a source"}')
    with pytest.raises(LoadError, match=said):
        load(tmp_path / "run.py")


def test_every_refusal_has_its_reason():
    assert all(refusal("source", mode) for mode in MODES)
    assert not any(refusal(kind, mode) for kind in ("map", "stream", "batch") for mode in MODES)
    assert [mode for mode in MODES if not refusal("staged", mode)] == ["ordered"]


def test_a_batch_kernel_called_with_one_message_has_a_batch_of_one():
    given = []

    @operator.batch(max_size=10)
    def double(inputs, parameters, context):
        given.append(len(inputs))
        return [[one, one] for one in inputs]

    assert [m.data for m in call(double, [BytesMessage(data=b"a"), BytesMessage(data=b"b")])] == [
        b"a",
        b"a",
        b"b",
        b"b",
    ]
    assert given == [1, 1]


def test_a_batch_kernel_called_with_one_message_raises_what_stands_for_it():
    @operator.batch
    def failing(inputs, parameters):
        return [ValueError("no good")]

    with pytest.raises(ValueError, match="no good"):
        call(failing, BytesMessage())

    @operator.batch
    async def forgetful(inputs, parameters):
        return []

    with pytest.raises(BatchResultError, match="0 results for 1 messages"):
        call(forgetful, BytesMessage())


def test_a_batch_operator_may_be_a_class():
    @operator.batch(max_size=4)
    class Doubling(BatchOperator):
        def start(self):
            self.factor = 2

        async def run(self, inputs, parameters):
            await asyncio.sleep(0)
            return [BytesMessage(data=bytes(one.data) * self.factor) for one in inputs]

    assert [m.data for m in call(Doubling, BytesMessage(data=b"a"))] == [b"aa"]


def test_all_stages_are_called_with_one_message():
    @operator.staged(prepare=lambda inputs: bytes(inputs.data), output=lambda data: BytesMessage(data=data))
    async def process(data, parameters, context):
        (context.folder / "there").touch()
        return data * parameters["times"]

    assert [m.data for m in call(process, BytesMessage(data=b"a"), {"times": 3})] == [b"aaa"]


def test_the_kernel_says_what_it_is():
    kernel = getattr(operator.batch(max_size=3, max_wait=2, threads=4, ordered=True)(lambda inputs: inputs), KERNEL)
    assert (kernel.kind, kernel.batching.max_size, kernel.batching.max_wait) == ("batch", 3, 2.0)
    assert str(kernel.mode) == "threads=4, ordered=True"
    assert (kernel.one_by_one, kernel.pokable) == (False, False)
    assert getattr(operator(lambda inputs: inputs), KERNEL).one_by_one
