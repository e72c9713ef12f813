"""What the engine stores for an operator's replicas to hear: is it of the shape that it should have?"""

from __future__ import annotations

import json
from typing import Any

_SHAPES: dict[str, dict[str, type]] = {
    "parameters": {},
    "watermarks": {},
    "ended": {"sources": list},
    "crash": {"edge": int, "id": str, "attempts": int, "error": str},
}


def is_cut_short(payload: bytes) -> bool:
    """Whether what tells an operator to finish says that the run was drained, and the stream goes on when resumed."""
    try:
        value: Any = json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.get("drained") is True


def malformed(kind: str, payload: bytes) -> str:
    """Why a record of this kind cannot be heard; empty where it can. Kinds that say it all by their name can always."""
    if kind not in _SHAPES:
        return ""
    try:
        value: Any = json.loads(payload)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    if not isinstance(value, dict):
        return "not an object"
    if kind == "watermarks" and not {int}.issuperset(map(type, value.values())):
        return "a low watermark is a whole number"
    if kind == "crash" and not _are_messages(value.get("others", [])):
        return "others is not what it should be"
    wrong = [name for name, type_ in _SHAPES[kind].items() if type(value.get(name)) is not type_]
    return f"{wrong[0]} is not what it should be" if wrong else ""


def _are_messages(value: object) -> bool:
    """Whether these are messages by edge, id and attempts."""
    return isinstance(value, list) and all(
        isinstance(one, list) and tuple(map(type, one)) == (int, str, int) for one in value
    )
