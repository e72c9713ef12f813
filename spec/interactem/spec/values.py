"""What a parameter's value may be, given as a JSON value or as text from a command line."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from interactem.spec.wording import kind, listing, nearest, show

Value = str | int | float | bool | None
"""A parameter's value, natively typed. A mount's value is its path on the host."""

INTEGER_TEXT = r"^[+-]?[0-9]{1,19}$"
FLOAT_TEXT = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
BOOLEAN_TEXT = r"^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|1|0)$"

REFERENCE_TEXT = r"^@[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+$"

SMALLEST, LARGEST = -(2**63), 2**63 - 1
"""The integers that travel: those of 64 bits."""


class MisfitError(ValueError):
    """A value is not of the type it should be: what it is, and what would be right."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}; {hint}")
        self.message = message
        self.hint = hint


def to_int(value: object) -> int:
    """Takes whole numbers, also as text (`"255"`) or with a fraction of zero (`255.0`); booleans are no integers."""
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str) and re.fullmatch(INTEGER_TEXT, value):
        number = int(value)
    if number is None:
        raise MisfitError(f"{show(value)} is not an int", "give a whole number, such as 255")
    if not SMALLEST <= number <= LARGEST:
        raise MisfitError(f"{show(value)} is not an int of 64 bits", f"give a number from {SMALLEST} to {LARGEST}")
    return number


def to_float(value: object) -> float:
    """Takes finite numbers, also as text (`"0.5"`, `"1e-3"`); booleans are no numbers."""
    number: float | None = None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value)
        elif isinstance(value, str) and re.fullmatch(FLOAT_TEXT, value):
            number = float(value)
    except OverflowError:
        number = None
    if number is None or not math.isfinite(number):
        raise MisfitError(f"{show(value)} is not a finite float", "give a number, such as 0.5")
    return number


def to_bool(value: object) -> bool:
    """Takes booleans, and the texts `true`, `false`, `1` and `0`, whatever their case; the number 1 is no boolean."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(BOOLEAN_TEXT, value):
        return value.lower() in ("true", "1")
    raise MisfitError(f"{show(value)} is not a bool", "give true or false")


def to_str(value: object) -> str:
    if isinstance(value, str):
        return value
    raise MisfitError(f"{show(value)} is {kind(value)}, not a str", "put it in quotes")


def to_path(value: object) -> str:
    """Takes the text of a path. Whether there is anything at it is not ours to know."""
    if isinstance(value, str) and value and "\0" not in value:
        return value
    raise MisfitError(f"{show(value)} is not a path", "give the path of a file or folder")


def to_reference(value: object) -> str:
    """Takes the text of a reference to a connection: `@family.alias`."""
    if isinstance(value, str) and re.fullmatch(REFERENCE_TEXT, value):
        return value
    # what does not begin like a name may be the secret itself
    shown = show(value) if isinstance(value, str) and value.startswith("@") else kind(value)
    raise MisfitError(f"{shown} does not name a connection", 'give "@family.alias", as in connections.json')


def to_option(value: object, options: Sequence[str]) -> str:
    if isinstance(value, str) and value in options:
        return value
    near = nearest(value, options) if isinstance(value, str) else None
    meant = f"did you mean {show(near)}? " if near else ""
    choices = listing(show(option) for option in options)
    raise MisfitError(f"{show(value)} is not one of its options", f"{meant}give one of {choices}")
