"""What all tests begin with."""

import signal

import pytest
from hypothesis import settings


def pytest_configure() -> None:
    # started under `nohup`, the tests' programs would inherit that they are deaf to what some tests send them
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    settings.register_profile("patient", deadline=None)  # on a busy machine anything may take long
    settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # where two processes share the tests, a file's stay together, and so do all that share the engines' images
    for item in items:
        group = "containers" if item.get_closest_marker("containers") else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))
