"""Texts with `${NAME}` and `${NAME:default}` in them, which stand for variables; `$${` is a literal `${`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_PART = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Filled:
    """A text with its variables in place. `secrets` are the values that came from variables, `unset` their names.

    `malformed` says what is wrong with the text itself, and quotes nothing of it: it may be a secret.
    """

    text: str
    secrets: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()


@dataclass(slots=True)
class _Filling:
    variables: Mapping[str, str]
    secrets: list[str] = field(default_factory=list)
    unset: list[str] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)

    def part(self, match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        if match[1] is None:
            self.malformed.append("there is a ${ that no } closes")
            return ""
        name, colon, default = match[1].partition(":")
        if not _NAME.fullmatch(name):
            self.malformed.append("what stands in ${…} is not the name of a variable")
        elif name in self.variables:
            self.secrets.append(self.variables[name])
            return self.variables[name]
        elif colon:
            return default
        else:
            self.unset.append(name)
        return ""


def fill(text: str, variables: Mapping[str, str]) -> Filled:
    """The text with the variables' values. A variable that is set to nothing is set."""
    filling = _Filling(variables)
    filled = _PART.sub(filling.part, text)
    secrets = tuple(value for value in filling.secrets if value)
    return Filled(filled, secrets, tuple(dict.fromkeys(filling.unset)), tuple(filling.malformed))
