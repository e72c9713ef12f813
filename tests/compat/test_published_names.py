"""interactEM's names: what is behind each of them, and what becomes of the kernels written against them."""

from __future__ import annotations

import asyncio
import importlib
import logging
import threading

import pytest

from interactem import runtime
from interactem.core.constants import STREAM_IMAGES
from interactem.core.logger import get_logger
from interactem.core.models.messages import BytesMessage, MessageHeader, MessageSubject
from interactem.core.nats.publish import publish_image, publish_table_data
from interactem.core.nats.results import MemoryResults
from interactem.operators.operator import async_operator, dependencies, operator
from interactem.runtime.errors import KernelError
from interactem.runtime.testing import Operator, call


def data(results):
    return [bytes(result.data) for result in results]


def test_messages_are_ours():
    assert (BytesMessage, MessageHeader, MessageSubject) == (
        runtime.BytesMessage,
        runtime.MessageHeader,
        runtime.MessageSubject,
    )
    message = BytesMessage(header=MessageHeader(subject=MessageSubject.BYTES, meta=b"bytes"), data=b"1")
    assert message.header.meta == b"bytes"
    assert message.header.tracking is None


def test_the_data_directory_is_text_that_the_environment_gives(monkeypatch):
    module = importlib.import_module("interactem.operators.operator")
    monkeypatch.delenv("INTERACTEM_DATA_DIRECTORY", raising=False)
    assert module.DATA_DIRECTORY == "/mnt"
    monkeypatch.setenv("INTERACTEM_DATA_DIRECTORY", "/somewhere/else")
    assert module.DATA_DIRECTORY + "/x" == "/somewhere/else/x"
    with pytest.raises(AttributeError):
        module.NO_SUCH_NAME  # noqa: B018


class TestLogger:
    @pytest.fixture(autouse=True)
    def as_before(self):
        logger = logging.getLogger("interactem.operator.run")
        level, handlers = logger.level, list(logger.handlers)
        yield
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
            logger.removeHandler(handler)
        logger.setLevel(level)

    def test_it_is_one_below_the_replicas_own_with_a_level_of_its_own(self, caplog):
        assert get_logger() is get_logger("debug")
        assert get_logger().level == logging.INFO
        assert get_logger("debug").level == logging.DEBUG
        get_logger(level=logging.ERROR).warning("not this")
        logging.getLogger("interactem.operator").warning("but this")
        get_logger("ERROR").error("and this")
        assert caplog.messages == ["but this", "and this"]

    def test_its_lines_go_to_a_file_too_and_once(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        get_logger(log_file="operator.log")
        get_logger(log_file=tmp_path / "operator.log").info("read %d", 3)
        (line,) = (tmp_path / "operator.log").read_text().splitlines()
        assert line.endswith("INFO read 3")


class TestFunctions:
    def test_any_names_and_a_trigger_will_do(self):
        @operator
        def one(_, params, trigger=None):
            return BytesMessage(data=_.data + params["tail"].encode() + repr(trigger).encode())

        assert data(call(one, BytesMessage(data=b"a"), {"tail": "b"})) == [b"abNone"]

    def test_a_trigger_comes_by_its_name(self):
        @operator
        def plain(inputs, parameters, extra=1, trigger="none"):
            return extra, trigger

        @async_operator
        async def late(inputs, parameters, *, trigger=None):
            return trigger

        with Operator(plain) as poked:
            poked.context.trigger = "go"
            assert poked.kernel.function(*poked.kernel.arguments(None, {}, poked.context)) == (1, "go")
            poked.context.trigger = None
            assert poked.kernel.function(*poked.kernel.arguments(None, {}, poked.context)) == (1, "none")
        with Operator(late) as poked:
            poked.context.trigger = "go"
            assert asyncio.run(poked.kernel.function(*poked.kernel.arguments(None, {}, poked.context))) == "go"

    def test_with_parentheses_and_start(self):
        @operator(start=True)
        def one(inputs, parameters):
            return inputs

        @async_operator(start=False)
        async def two(inputs, parameters, **more):
            await asyncio.sleep(0)
            return inputs

        assert data(call(one, BytesMessage(data=b"a"))) == data(call(two, BytesMessage(data=b"a"))) == [b"a"]

    @pytest.mark.parametrize("size", [5, 65_536, 3_000_000])
    def test_the_data_is_bytes_of_any_size(self, size):
        @operator
        def kind(inputs, parameters):
            return BytesMessage(data=f"{type(inputs.data).__name__} {len(inputs.data.decode())}".encode())

        @async_operator
        async def kind_later(inputs, parameters):
            return BytesMessage(data=f"{type(inputs.data).__name__} {len(inputs.data.decode())}".encode())

        expected = [f"bytes {size}".encode()]
        assert data(call(kind, BytesMessage(data=b"x" * size))) == expected
        assert data(call(kind_later, BytesMessage(data=b"x" * size))) == expected

    def test_a_source_is_called_with_none(self):
        @operator
        def source(inputs, parameters):
            return BytesMessage(data=repr(inputs).encode())

        assert data(call(source)) == [b"None"]

    def test_the_function_stays_what_it_is(self):
        def plain(inputs, parameters):
            return inputs

        assert operator(plain) is plain

    def test_tasks_of_a_coroutine_go_on_between_calls(self):
        ticked = threading.Event()

        @async_operator
        async def kernel(inputs, parameters):
            async def tick():
                await asyncio.sleep(0.01)
                ticked.set()

            kernel.task = asyncio.create_task(tick())

        with Operator(kernel) as started:
            started.handle(BytesMessage(data=b"1"))
            assert ticked.wait(30)

    def test_what_cannot_be_a_kernel_is_refused(self):
        async def coroutine(inputs, parameters):
            pass

        def function(inputs, parameters):
            pass

        def lonely(inputs):
            pass

        def demanding(inputs, parameters, more):
            pass

        with pytest.raises(KernelError, match=r"coroutine is a coroutine: put @async_operator above it"):
            operator(coroutine)
        with pytest.raises(KernelError, match=r"function is not a coroutine: put @operator above it"):
            async_operator(function)
        with pytest.raises(KernelError, match=r"lonely: a kernel is called with inputs and parameters: too many"):
            operator(lonely)
        with pytest.raises(KernelError, match=r"demanding: .*missing a required argument: 'more'"):
            operator(demanding)

    def test_dependencies_are_the_runtimes(self):
        assert dependencies is runtime.dependencies


def test_results_are_kept_in_memory():
    async def publish(js):
        await publish_image(js, b"first", "an-id")
        await publish_image(js, memoryview(b"second"), canonical_operator_id="an-id")
        await publish_table_data(js, table_data_json=b"{}", operator_id="an-id")
        before = dict(js.latest)
        await js.purge_stream(STREAM_IMAGES, subject=f"{STREAM_IMAGES}.an-id")
        return before, js.latest

    assert asyncio.run(publish(MemoryResults())) == ({"image": b"second", "table": b"{}"}, {"table": b"{}"})
