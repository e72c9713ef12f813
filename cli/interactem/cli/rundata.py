"""Init data and run data as they are given: a dict in JSON or YAML, in the argument itself or in a file.

`daemon run` reads it on its quick way: what is imported here is little, and the rest only where it is needed.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE = "file://"


def read_data(given: str, option: str) -> dict[str, Any]:
    """The dict. Raises `InvalidError` that says what is wrong, quoting nothing of the data: there may be secrets."""
    if not given.startswith(FILE):
        return _parsed(given, option)
    path = given.removeprefix(FILE)
    if "%" in path and not os.path.exists(path):
        from urllib.parse import unquote

        path = unquote(path)
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except OSError as error:
        raise _wrong(f"{option}: {path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError as error:
        raise _wrong(f"{option}: {path} is not UTF-8: {error.reason} at byte {error.start}") from None
    return _parsed(text, f"{option}: {path}")


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except RecursionError:
        raise _wrong(f"{where}: it is nested too deeply") from None
    except ValueError:
        value = _from_yaml(text, where)
    if not isinstance(value, dict):
        kind = {list: "a list", type(None): "empty", str: "a text"}.get(type(value), f"a {type(value).__name__}")
        advice = 'give a dict in JSON or YAML, such as {"frames": 3}, or file://PATH'
        raise _wrong(f"{where}: it is {kind}, not a dict; {advice}")
    return value


def _from_yaml(text: str, where: str) -> Any:
    import yaml

    try:
        # what JSON does not know, such as a date, goes on as its text
        return json.loads(json.dumps(yaml.safe_load(text), default=str))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _wrong(f"{where}: it is neither JSON nor YAML: {error.problem}{place}") from None
    except (yaml.YAMLError, TypeError, ValueError, RecursionError):
        raise _wrong(f"{where}: it is neither JSON nor YAML that JSON could hold") from None


def _wrong(message: str) -> Exception:
    from interactem.cli.failures import InvalidError

    return InvalidError(message)
