"""The pytest plugin: the fixtures `operator`, `pipeline` and `broker`.

pytest imports this module wherever interactem is installed, so it imports nothing until a test asks for something.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from interactem.engine.testing.operators import OperatorUnderTest
    from interactem.engine.testing.pipelines import PipelineUnderTest
    from interactem.engine.testing.servers import Server


@pytest.fixture
def operator(request: pytest.FixtureRequest) -> OperatorUnderTest:
    """The operator in whose folder the test is: call it with messages and parameters."""
    from interactem.engine.testing.operators import OperatorUnderTest

    return OperatorUnderTest.above(request.path)


@pytest.fixture
def pipeline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PipelineUnderTest:
    """Call it with a pipeline's file: it is run in this process, to its end."""
    from interactem.engine.testing.pipelines import PipelineUnderTest

    return PipelineUnderTest(request.path.parent, tmp_path_factory.mktemp("pipeline"))


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A NATS server of the test's own, with JetStream, gone at its end."""
    from interactem.engine.testing.servers import Server

    with Server(tmp_path_factory.mktemp("broker")) as server:
        yield server
