"""Answers each line with the data that it has; fails on some, and ends in the middle of others."""

import json
import os
import sys

for line in sys.stdin:
    asked = json.loads(line)
    number, parameters = asked["meta"]["number"], asked["parameters"]
    always, once = parameters["always"], parameters["once"]
    answer = {"id": asked["id"], **{key: asked[key] for key in ("data", "data_base64") if key in asked}}
    if (always and number % always == 0) or (once and number % once == 1 and asked["attempt"] == 1):
        if parameters["mode"] == "exit":
            os._exit(7)
        answer = {"id": asked["id"], "error": f"not {number}"}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
