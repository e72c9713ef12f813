"""The text of a `.env` file: lines `NAME=value`."""

from __future__ import annotations

import re

from interactem.spec.errors import Problem, SpecError

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")
_QUOTED = re.compile(r"""\s*(?:'([^']*)'|"((?:[^"\\]|\\.)*)")\s*(?:#.*)?""")
_COMMENT = re.compile(r"\s#.*")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def parse_dotenv(text: str, source: str) -> dict[str, str]:
    """The variables that a `.env` file sets; the last line of a name counts.

    A value may be in single quotes, as it is, or in double quotes, where a backslash stands before a quote, a
    backslash, or the n of a new line. Without quotes it ends before a `#` that follows a space. Raises `SpecError`
    with every line that is none of these, and quotes nothing of it.
    """
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        value = None if match is None else _value(match[2])
        if match is None or value is None:
            problems.append(Problem(source, f"line {number}", "does not set a variable", "write NAME=value"))
            continue
        found[match[1]] = value
    if problems:
        raise SpecError(problems)
    return found


def _value(text: str) -> str | None:
    """None for a quote that is not closed, or that something follows."""
    if not text.lstrip().startswith(("'", '"')):
        return _COMMENT.sub("", text).strip()
    quoted = _QUOTED.fullmatch(text)
    if quoted is None:
        return None
    if quoted[1] is not None:
        return quoted[1]
    return re.sub(r"\\(.)", lambda escaped: _ESCAPES.get(escaped[1], escaped[1]), quoted[2])
