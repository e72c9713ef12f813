"""How problems are worded: JSON paths, values as they look in a file, lists of names, the nearest name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

_PLAIN_STEP = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SHOWN = 60
_LISTED = 12


def join_path(path: str, *steps: str | int) -> str:
    """`join_path("$", "inputs", 0)` is `$.inputs[0]`; a key that is not a plain word is quoted in brackets."""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif _PLAIN_STEP.fullmatch(step):
            path += f".{step}"
        else:
            path += f"[{_visible(json.dumps(step, ensure_ascii=False))}]"
    return path


def show(value: object) -> str:
    """A value as a JSON file shows it, in one line, shortened where it is long."""
    try:
        text = _visible(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        text = repr(type(value))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _visible(text: str) -> str:
    """The text with what a terminal would obey or cannot print as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def kind(value: object) -> str:
    """What JSON calls a value's type, with its article."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")


def listing(names: Iterable[str]) -> str:
    """Names, in their order, with a bound on how many are shown; `none` where there are none."""
    every = list(names)
    shown = ", ".join(every[:_LISTED]) or "none"
    return shown if len(every) <= _LISTED else f"{shown} and {len(every) - _LISTED} more"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most likely was meant to be, or None."""
    from difflib import get_close_matches  # only when something is wrong

    folded = {other.casefold().replace("_", "-"): other for other in known}
    found = get_close_matches(name.casefold().replace("_", "-"), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def suggest(name: str, known: Iterable[str], what: str) -> str:
    """A hint for an unknown name: the nearest known one, else all of them. `what` is the plural of what they are."""
    every = list(known)
    near = nearest(name, every)
    if near is not None:
        return f"did you mean {near!r}?"
    return f"known {what}: {listing(every)}"
