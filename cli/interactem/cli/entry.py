"""Where the program `interactem` begins: `operator daemon run` goes a quick way, without the rest of the commands."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

QUICK = ["operator", "daemon", "run"]


def main() -> None:
    asked = _quick(sys.argv[1:])
    if asked is None:
        from interactem.cli.main import main as main_of_all

        return main_of_all()
    from interactem.cli.daemon_client import run_each

    try:
        sys.exit(run_each(*asked))
    except Exception as error:
        from interactem.cli.failures import translate
        from interactem.cli.output import print_failure

        failure = translate(error)
        if failure is None:
            raise
        print_failure(failure, as_json=False)
        sys.exit(failure.exit_code)


def _quick(arguments: Sequence[str]) -> tuple[str, list[str]] | None:
    """The connection file and the runs' data; None for everything that the long way reads better, wrong usage too."""
    if list(arguments[:3]) != QUICK:
        return None
    given: dict[str, list[str]] = {"--connection-file": [], "--run-data": []}
    rest = iter(arguments[3:])
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name not in given:
            return None
        taken = value if equals else next(rest, None)
        if taken is None:
            return None
        given[name].append(taken)
    files, data = given.values()
    return (files[0], data or ["{}"]) if len(files) == 1 else None


if __name__ == "__main__":
    main()
