"""`python -m interactem.runtime.running FD`: an operator's whole lifecycle, once, as `interactem operator run` asks.

The request is JSON in the file with this descriptor: what `sessions.Request` has, `run_data`, a list, and `json`. What
the operator prints comes as it is printed, and the data of the messages that it makes too; with `json` they are one
document at the end. The exit code is that of the first step that fails.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import Any

from interactem.runtime.cancelling import Cancelling
from interactem.runtime.logs import log_alone
from interactem.runtime.messages import BytesMessage
from interactem.runtime.sessions import Outcome, Request, Send, Session, outcome_of, plain, print_message
from interactem.runtime.standard_output import reserved_output

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    with os.fdopen(int(arguments[0]), "rb") as file:
        asked: dict[str, Any] = json.load(file)
    if not asked["json"]:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # the output streams
        return _said(_live(asked, print_message))
    made: list[dict[str, Any]] = []
    with reserved_output() as output:
        outcome = _live(asked, lambda message: made.append(_document(message)))
        document = made if outcome.error is None else {"error": outcome.error, "problems": [], "messages": made}
        output.write(json.dumps(document, indent=2, default=plain) + "\n")
    return outcome.code


def _live(asked: dict[str, Any], send: Send) -> Outcome:
    request = Request.of(asked)
    log_alone(request.mask)
    session = Session(request)
    cancelling = Cancelling(session.cancel)
    cancelling.listen()
    outcome = Outcome()
    try:
        with cancelling.step():
            session.start()
        for run_data in asked["run_data"]:
            with cancelling.step():
                session.run(run_data, send)
    except BaseException as error:
        outcome = outcome_of(error, request.mask)
    ended = session.stop()
    return outcome if outcome.code else ended


def _document(message: BytesMessage) -> dict[str, Any]:
    data = base64.b64encode(message.data).decode()
    return {"port": message.target, "meta": message.header.meta, "data": data}


def _said(outcome: Outcome) -> int:
    sys.stdout.flush()
    if outcome.error is not None:
        sys.stderr.write(f"error: {outcome.error}\n")
    return outcome.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
