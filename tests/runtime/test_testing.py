from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest

from interactem.runtime import BytesMessage, MessageHeader, operator
from interactem.runtime.errors import KernelError, LoadError, ParameterError, PortError, ReturnTypeError
from interactem.runtime.testing import Clock, InputError, Operator, call
from interactem.spec import SpecError

SPEC = {
    "id": "6a7d1a2c-5d0b-4f5e-9a30-0d1f7c3b2a10",
    "label": "Double",
    "description": "Doubles",
    "image": "double",
    "inputs": [{"name": "in", "type": "number"}],
    "outputs": [{"name": "out", "type": "number"}],
    "parameters": [
        {"name": "factor", "type": "int", "default": "2"},
        {"name": "file", "type": "mount"},
    ],
}

DOUBLE = """
from interactem.runtime import BytesMessage, operator

@operator
def double(inputs, parameters):
    return BytesMessage(data=str(int(inputs.data) * parameters["factor"]).encode())
"""


@pytest.fixture
def folder(tmp_path):
    def make(run: str, name: str = "double", spec: dict | None = SPEC):
        path = tmp_path / name
        path.mkdir()
        (path / "run.py").write_text(run)
        if spec is not None:
            (path / "operator.json").write_text(json.dumps(spec))
        return path

    return make


def data(results):
    return [bytes(result.data) for result in results]


def test_what_comes_out_of_one_goes_into_another(folder):
    first, second = folder(DOUBLE, "first"), folder(DOUBLE.replace("return ", "return inputs, "), "second")
    assert data(call(second, call(first, BytesMessage(data=b"3")))) == [b"6", b"12"]


def test_parameters_are_typed_and_defaults_apply(folder):
    path = folder(DOUBLE)
    assert data(call(path, BytesMessage(data=b"21"))) == [b"42"]
    assert data(call(path / "run.py", BytesMessage(data=b"21"), {"factor": "3"})) == [b"63"]
    with pytest.raises(SpecError, match=r"there is no parameter 'factr'; did you mean 'factor'\?"):
        call(path, BytesMessage(data=b"21"), {"factr": 3})


def test_several_messages_share_one_state(folder):
    path = folder(
        "from interactem.runtime import BytesMessage, operator\n"
        "def last(context): return BytesMessage(data=str(context.state['sum']).encode())\n"
        "@operator(finish=last)\n"
        "def add(inputs, context):\n"
        "    context.state['sum'] = context.state.get('sum', 0) + int(inputs.data)\n"
    )
    state = {"sum": 10}
    messages = [BytesMessage(data=b"1"), BytesMessage(data=b"2")]
    assert data(call(path, messages, finish=True, state=state)) == [b"13"]
    assert state == {"sum": 13}
    assert data(call(path, state={"sum": 4}, finish=True)) == [b"4"]


def test_what_the_context_says(folder):
    path = folder(
        "from interactem.runtime import BytesMessage, operator\n"
        "@operator\n"
        "def tell(inputs, context):\n"
        "    meta = {'port': inputs.port, 'id': context.message_id, 'attempt': context.attempt}\n"
        "    meta['operator'] = context.operator\n"
        "    return BytesMessage(data=repr(meta).encode())\n"
    )
    [told] = call(path, BytesMessage(), attempt=2)
    assert told.data == b"{'port': 'in', 'id': 'case.0', 'attempt': 2, 'operator': 'double'}"


def test_a_source_ends_by_itself_or_at_the_limit(folder):
    spec = {**SPEC, "inputs": []}
    path = folder(
        "from interactem.runtime import BytesMessage, operator\n"
        "@operator\n"
        "def count(context):\n"
        "    for n in range(context.position, 5):\n"
        "        yield BytesMessage(data=str(n).encode())\n",
        spec=spec,
    )
    assert data(call(path)) == [b"0", b"1", b"2", b"3", b"4"]
    assert data(call(path, limit=2)) == [b"0", b"1"]
    assert data(call(path, position=3)) == [b"3", b"4"]
    with pytest.raises(InputError, match="there is no input port 'in' in double; ports: none: it is a source"):
        call(path, BytesMessage().to("in"))


def test_a_source_that_is_called_again(folder):
    spec = {**SPEC, "inputs": []}
    path = folder(
        "from interactem.runtime import BytesMessage, operator\n"
        "left = [b'a', b'b', b'c']\n"
        "@operator\n"
        "def pop(inputs):\n"
        "    assert inputs is None\n"
        "    return BytesMessage(data=left.pop(0)) if left else None\n",
        spec=spec,
    )
    assert data(call(path)) == [b"a"]
    assert data(call(path, limit=2)) == [b"a", b"b"]
    assert data(call(path, limit=9)) == [b"a", b"b", b"c"]


def test_an_operator_with_inputs_needs_a_message(folder):
    with pytest.raises(InputError, match=r"double is not a source: give it a message for its input \(in\)"):
        call(folder(DOUBLE))


def test_mounts_are_in_the_data_directory_only_meanwhile(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("INTERACTEM_DATA_DIRECTORY", raising=False)
    path = folder(
        "from interactem.runtime import BytesMessage, DATA_DIRECTORY, operator\n"
        "@operator\n"
        "def read(inputs, parameters):\n"
        "    return BytesMessage(data=(DATA_DIRECTORY / 'file').read_bytes() + repr(parameters).encode())\n"
    )
    (tmp_path / "some.txt").write_text("here ")
    expected = [b"here {'factor': 2}"]
    assert data(call(path, BytesMessage(), mounts={"file": tmp_path / "some.txt"})) == expected
    assert data(call(path, BytesMessage(), {"file": str(tmp_path / "some.txt")})) == expected
    assert "INTERACTEM_DATA_DIRECTORY" not in os.environ
    with pytest.raises(ParameterError, match="there is nothing at"):
        call(path, BytesMessage(), mounts={"file": tmp_path / "absent"})
    with pytest.raises(ParameterError, match="'factor': it is not a mount"):
        call(path, BytesMessage(), mounts={"factor": "3"})


def test_a_sink_writes_where_it_is_told(folder, tmp_path):
    path = folder(
        "from interactem.runtime import operator\n"
        "@operator\n"
        "def save(inputs, context):\n"
        "    (context.outputs / 'data.bin').write_bytes(inputs.data)\n"
    )
    assert call(path, BytesMessage(data=b"x"), outputs=tmp_path / "out") == []
    assert (tmp_path / "out" / "data.bin").read_bytes() == b"x"


def test_operators_with_modules_of_one_name_do_not_meet(folder):
    run = (
        "from interactem.runtime import BytesMessage, operator\n"
        "@operator\n"
        "def tell(inputs):\n"
        "    from formula import VALUE\n"
        "    return BytesMessage(data=VALUE)\n"
    )
    before = list(sys.path)
    for name in ("first", "second"):
        path = folder(run, name)
        (path / "formula.py").write_text(f"VALUE = {name.encode()!r}\n")
        assert data(call(path, BytesMessage())) == [name.encode()]
    assert sys.path == before
    assert "formula" not in sys.modules


def test_messages_travel_as_they_would_in_a_run(folder):
    path = folder(
        "from interactem.runtime import BytesMessage, operator\n"
        "@operator\n"
        "def tell(inputs):\n"
        "    return BytesMessage(data=f'{type(inputs.data).__name__} {inputs.meta}'.encode())\n"
    )
    small = BytesMessage(MessageHeader(meta={"shape": (1, 2)}), bytearray(b"x"))
    assert data(call(path, small)) == [b"bytes {'shape': [1, 2]}"]
    assert data(call(path, BytesMessage(data=bytes(100_000)))) == [b"memoryview {}"]


def test_what_is_wrong_is_raised(folder):
    head = "from interactem.runtime import BytesMessage, operator\n@operator\ndef wrong(inputs):\n"
    with pytest.raises(ReturnTypeError, match=r"returned a builtins\.int"):
        call(folder(head + "    return 3\n", "a"), BytesMessage())
    with pytest.raises(PortError, match="there is no output port 'up'; the operator declares: out"):
        call(folder(head + "    return inputs.to('up')\n", "b"), BytesMessage())
    with pytest.raises(LoadError, match="there is no operator in it"):
        call(folder("x = 1\n", "c"), BytesMessage())
    with pytest.raises(ValueError, match=r"^mine$"):
        call(folder(head + "    raise ValueError('mine')\n", "d"), BytesMessage())
    with pytest.raises(InputError, match="does nothing at the end of the stream"):
        call(folder(DOUBLE, "e"), BytesMessage(data=b"1"), finish=True)


def test_a_function_without_a_spec():
    @operator
    def split(inputs, parameters):
        yield inputs.to("left")
        yield BytesMessage.from_array(inputs.array * parameters["by"]).to("right")

    left, right = call(split, BytesMessage.from_array(np.arange(3.0)), {"by": 2})
    assert (left.target, right.target) == ("left", "right")
    np.testing.assert_array_equal(right.array, [0, 2, 4])
    with pytest.raises(KernelError, match="put @operator above it"):
        call(lambda inputs: None, BytesMessage())


def test_a_coroutine_is_called_more_than_once(folder):
    path = folder(
        "import asyncio\n"
        "from interactem.runtime import BytesMessage, operator\n"
        "@operator\n"
        "async def echo(inputs):\n"
        "    await asyncio.sleep(0)\n"
        "    return inputs\n"
    )
    with Operator(path) as started:
        results = [data(started.handle(BytesMessage(data=b"%d" % n))) for n in range(3)]
    assert results == [[b"0"], [b"1"], [b"2"]]


def test_triggers_are_pulled_as_the_spec_says(folder):
    code = """
from interactem.runtime import BytesMessage, operator

left = [b"a", b"b"]

@operator
def kernel(inputs, parameters, trigger):
    if trigger == "drain" and left:
        return BytesMessage(data=left.pop())
    if trigger == "tell":
        return BytesMessage(data=b"told")
"""
    triggers = [{"name": "tell"}, {"name": "drain", "mode": "drain"}]
    with Operator(folder(code, spec={**SPEC, "parameters": [], "triggers": triggers})) as started:
        assert [message.data for message in started.pull("tell")] == [b"told"]
        assert [message.data for message in started.pull("drain")] == [b"b", b"a"]
        with pytest.raises(InputError, match=r"there is no trigger 'tel' in .*; triggers: tell, drain"):
            started.pull("tel")


def test_a_clock_goes_forward_alone():
    clock = Clock(10.0)
    assert (clock(), clock.advance(5), clock()) == (10.0, 15.0, 15.0)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


def test_paths_of_another_machine_are_where_the_rules_have_them(tmp_path, monkeypatch):
    rule = {"source_path_format": "WINDOWS", "source_path": "C:\\data", "destination_path": "/data"}
    monkeypatch.setenv("INTERACTEM_PATH_MAPPING_RULES", json.dumps({"path_mapping_rules": [rule]}))
    spec = {"id": "b3a1d7ce-15b5-4c0e-a3c8-8c1c61a2a9f1", "label": "l", "description": "d", "image": "i"}
    parameters = [{"name": "path", "type": "path"}, {"name": "text", "type": "str"}]
    inputs = [{"name": "in", "type": "any"}]
    (tmp_path / "operator.json").write_text(json.dumps({**spec, "parameters": parameters, "inputs": inputs}))
    (tmp_path / "run.py").write_text(
        "from interactem.runtime import BytesMessage, operator\n"
        "@operator\n"
        "def say(inputs, parameters):\n"
        "    return BytesMessage(data=(parameters['path'] + ' ' + parameters['text']).encode())\n"
    )
    given = {"path": "c:\\DATA\\a", "text": "c:\\data\\a"}
    assert [m.data for m in call(tmp_path, BytesMessage(), given)] == [b"/data/a c:\\data\\a"]


def test_a_batch_kernel_sees_its_attempts_and_its_triggers(folder):
    path = folder(
        """
from interactem.runtime import BytesMessage, operator

@operator.batch
def numbered(inputs, trigger, context):
    if trigger:
        return BytesMessage(data=trigger.encode())
    return [BytesMessage(data=str(attempt).encode()) for attempt in context.attempts]
""",
        spec={**SPEC, "triggers": [{"name": "tell", "mode": "single"}]},
    )
    with Operator(path, {"factor": 1}, attempt=2) as started:
        assert [data(made) for made in started.handle_batch([BytesMessage(), BytesMessage()])] == [[b"2"], [b"2"]]
        assert data(started.pull("tell")) == [b"tell"]
        assert data(started.handle(BytesMessage())) == [b"2"]
