"""Prints, logs and raises what it connects to, and keeps a hash of it."""

import hashlib
import json
import sys

from interactem.runtime import operator


@operator
def connected(inputs, parameters, context):
    connection = parameters["db"]
    sys.stdout.write(f"printed {connection}\n")
    sys.stderr.write(f"{json.dumps(connection)}\n")
    context.logger.info("logged %s", connection["url"])
    if inputs.meta["number"] == parameters["fail"]:
        raise ConnectionError(f"cannot reach {connection['url']}")
    found = {"hash": hashlib.sha256(connection["password"].encode()).hexdigest(), "port": connection["port"]}
    found["spare"] = "spare" in parameters
    (context.outputs / "found.json").write_text(json.dumps(found))
