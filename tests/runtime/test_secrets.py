"""Connections in a replica: they are read, handed to the kernel, and hidden in what others read."""

from __future__ import annotations

import json

import pytest

from interactem.runtime import BytesMessage, operator
from interactem.runtime.errors import ParameterError, SettingsError
from interactem.runtime.failures import Failure
from interactem.runtime.secrets import Mask, Secrets
from interactem.runtime.testing import call
from interactem.spec import SpecError

RUN = """
from interactem.runtime import BytesMessage, operator

@operator
def kernel(inputs, parameters):
    return BytesMessage(data=parameters["db"]["host"].encode())
"""


def test_the_file_gives_values_and_what_to_hide(tmp_path):
    file = tmp_path / "connections.json"
    file.write_text(json.dumps({"connections": {"db": {"password": "hunter2", "port": 1}}, "secrets": ["hunter2"]}))
    secrets = Secrets.read(file)
    assert secrets.connections == {"db": {"password": "hunter2", "port": 1}}
    assert secrets.mask.text("password hunter2!") == "password ***!"


def test_without_a_file_there_are_none():
    assert Secrets.read(None).connections == {}
    assert Secrets.read(None).mask.text("anything") == "anything"


@pytest.mark.parametrize("text", [None, "hunter2", '{"connections": "hunter2"}', '["hunter2"]'])
def test_a_file_that_cannot_be_read_is_not_quoted(tmp_path, text):
    file = tmp_path / "connections.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        Secrets.read(file)
    assert str(file) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_secrets_are_hidden_in_whatever_form_they_come():
    mask = Mask(["p'w\"d\\1", "first\nsecond line", "pass", "password", "abc", 'geh\u00e9im "/ 1'])
    assert mask.text(repr("p'w\"d\\1")) == "'***'"
    assert mask.text(json.dumps({"p": "p'w\"d\\1"})) == '{"p": "***"}'
    assert mask.text(json.dumps('geh\u00e9im "/ 1', ensure_ascii=False)) == '"***"'
    assert mask.text("https://user:geh%C3%A9im%20%22%2F%201@host") == "https://user:***@host"
    assert mask.line(b"only the second line is printed") == b"only the *** is printed"
    assert mask.text("password pass passwords") == "*** *** ***s"
    assert mask.text("abc is too short to be hidden") == "abc is too short to be hidden"
    assert mask.line(b"\xffpassword\xff") == b"\xff***\xff"


def test_a_failure_tells_no_secret():
    mask = Mask(["hunter2"])
    try:
        raise ConnectionError("cannot reach postgres://me:hunter2@db")
    except ConnectionError as error:
        failure = Failure.of(error, 1, mask.text)
    assert failure.error == "ConnectionError: cannot reach postgres://me:***@db"
    assert "hunter2" not in failure.traceback
    assert "postgres://me:***@db" in failure.traceback


@pytest.fixture
def folder(tmp_path):
    spec = {
        "id": "6a7d1a2c-5d0b-4f5e-9a30-0d1f7c3b2a10",
        "label": "Store",
        "description": "Stores",
        "image": "store",
        "inputs": [{"name": "in", "type": "any"}],
        "outputs": [{"name": "out", "type": "any"}],
        "parameters": [{"name": "db", "type": "connection", "required": True}],
    }
    (tmp_path / "operator.json").write_text(json.dumps(spec))
    (tmp_path / "run.py").write_text(RUN)
    return tmp_path


def test_in_a_test_a_connection_is_the_dict_that_the_kernel_gets(folder):
    (answer,) = call(folder, BytesMessage(), {"db": {"host": "here"}})
    assert answer.data == b"here"


def test_a_name_alone_is_refused_in_a_test(folder):
    with pytest.raises(ParameterError, match="'db': give the values of the connection, as a dict"):
        call(folder, BytesMessage(), {"db": "@db.main"})
    with pytest.raises(SpecError, match="the parameter 'db' is required"):
        call(folder, BytesMessage())


def test_without_a_spec_parameters_are_as_given():
    @operator
    def kernel(inputs, parameters):
        return BytesMessage(data=parameters["db"]["host"].encode())

    assert [m.data for m in call(kernel, BytesMessage(), {"db": {"host": "here"}})] == [b"here"]
