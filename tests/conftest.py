"""What all tests begin with."""

import signal


def pytest_configure() -> None:
    # started under `nohup`, the tests' programs would inherit that they are deaf to what some tests send them
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
