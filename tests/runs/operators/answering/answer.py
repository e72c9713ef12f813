"""Answers each line with the square of its number."""

import json
import sys

for line in sys.stdin:
    asked = json.loads(line)
    number = asked["meta"]["number"]
    data = {name: asked[name] for name in ("data", "data_base64") if name in asked}
    answer = {"id": asked["id"], "meta": {"number": number, "square": number**2}, **data}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
