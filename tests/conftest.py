"""What all tests begin with."""

import signal
from typing import Any

import pytest
from hypothesis import settings


def pytest_configure() -> None:
    # started under `nohup`, the tests' programs would inherit that they are deaf to what some tests send them
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    settings.register_profile("patient", deadline=None)  # on a busy machine anything may take long
    settings.load_profile("patient")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where two processes share the tests, a file's stay together, and so do all that share the engines' images."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "containers" if file.startswith("tests/containers/") else file

    return Together(config, log)
