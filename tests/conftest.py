"""What all tests begin with."""

import signal

from hypothesis import settings


def pytest_configure() -> None:
    # started under `nohup`, the tests' programs would inherit that they are deaf to what some tests send them
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    settings.register_profile("patient", deadline=None)  # on a busy machine anything may take long
    settings.load_profile("patient")
