"""Commands under the rules of delivery, in memory and over NATS."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from delivery_harness import Collected, node, numbers, sink, source

from interactem.runtime.kernels import KERNEL
from interactem.runtime.loading import load

SPEC = {
    "id": "70dd71a7-5ebf-4515-8bf9-941d1284328c",
    "label": "Doubles",
    "description": "",
    "image": "doubles",
    "inputs": [{"name": "in", "type": "any"}],
    "outputs": [{"name": "out", "type": "any"}],
}
ONCE = {"arguments": ["awk", "{ print 2 * $1 }"]}
MANY = {"arguments": ["{{ python }}", "-I", "{{ here }}/double.py"], "persistent": True}
DOUBLE = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    sys.stdout.write(json.dumps({"id": asked["id"], "data": str(2 * int(asked["data"]))}) + "\\n")
    sys.stdout.flush()
"""


@pytest.fixture
def kernel(tmp_path):
    def make(command):
        folder = tmp_path / "operator"
        folder.mkdir()
        (folder / "operator.json").write_text(json.dumps({**SPEC, "command": command}))
        (folder / "double.py").write_text(DOUBLE)
        return SimpleNamespace(**{KERNEL: load(folder / "run.py")})

    return make


@pytest.mark.parametrize("command", [ONCE, MANY], ids=["once", "persistent"])
def test_messages_in_their_order_with_their_ids(flow, kernel, command):
    out = Collected()
    flow({"s": source(numbers(5)), "m": node(kernel(command)), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert [int(data) for data in out.data] == [0, 2, 4, 6, 8]
    assert out.ids == [f"s.{number}/0.0" for number in range(5)]


def test_a_command_that_fails_is_tried_again_and_its_neighbours_go_on(flow, kernel):
    out = Collected()
    script = "read n; if [ $n = 2 ] && [ $1 -lt 2 ]; then exit 1; fi; echo $n"
    failing = kernel({"arguments": ["sh", "-c", script, "sh", "{{ attempt }}"]})
    flow({"s": source(numbers(5)), "m": node(failing), "k": sink(out)}, ["s > m", "m > k"]).run()
    assert sorted(int(data) for data in out.data) == [0, 1, 2, 3, 4]
