"""What a Containerfile builds on: the images that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

NAMES = ("Containerfile", "Dockerfile")
"""What the file is called; the first that is there counts."""
NOTHING = "scratch"

_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::?(?P<sign>[-+])(?P<word>[^}]*))?\}|(?P<plain>\w+))")
_HEREDOC = re.compile(r"(?:^|\s)\d*<<-?(['\"]?)(?P<end>[A-Za-z_]\w*)\1(?=\s|$)")
_MOUNTED = re.compile(r"--mount=\S*\bfrom=(?P<name>[^,\s]+)")


class ContainerfileError(ValueError):
    """A Containerfile that no engine could build. `line` counts from 1, and is 0 where it is about the whole file."""

    def __init__(self, line: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Instruction:
    line: int
    word: str
    rest: str


def referenced_images(text: str, arguments: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The images that a build needs, each once, in the order in which they are named; stages are none.

    `arguments` are build arguments, which win over the defaults of `ARG`. Raises `ContainerfileError` where there is
    no `FROM`, or one that names nothing.
    """
    found: dict[str, None] = {}
    stages: list[str] = []
    defaults: dict[str, str] = {}
    for instruction in instructions(text):
        if instruction.word == "FROM":
            image, stage = _from(instruction, {**defaults, **(arguments or {})})
            if image not in stages and image != NOTHING:
                found[image] = None
            stages.append(stage.lower())
        elif not stages and instruction.word == "ARG":
            name, _, value = instruction.rest.partition("=")
            defaults[name.strip()] = expand(_bare(value), defaults)
        elif stages:
            names = [name for name in _copied_from(instruction) if name.lower() not in stages and not name.isdecimal()]
            found.update(dict.fromkeys(names))
    if not stages:
        raise ContainerfileError(0, "it has no FROM", "its first line says what it builds on, such as: FROM operator")
    return tuple(found)


def expand(text: str, values: Mapping[str, str]) -> str:
    """The text with `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}` replaced."""

    def value(found: re.Match[str]) -> str:
        given = values.get(found["braced"] or found["plain"], "")
        if found["sign"] == "-":
            return given or found["word"]
        return (found["word"] if given else "") if found["sign"] == "+" else given

    return _VARIABLE.sub(value, text)


def escape_of(text: str) -> str:
    """What continues a line and takes the meaning of the sign behind it."""
    return "`" if re.match(r"(?:\s*#\s*\w+\s*=[^\n]*\n)*\s*#\s*escape\s*=\s*`", text, re.I) else "\\"


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions, with continued lines joined, without comments and without what here-documents hold."""
    escape = escape_of(text)
    joined, start = "", 0
    until: list[str] = []  # the words that end the here-documents that are open
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        if until:
            if line.lstrip("\t") == until[0]:
                until.pop(0)
            continue
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        start = start or number
        if line.rstrip().endswith(escape):
            joined += line.rstrip()[: -len(escape)] + " "
            continue
        word, _, rest = (joined + line).strip().partition(" ")
        yield Instruction(start, word.upper(), rest.strip())
        if word.upper() in ("RUN", "COPY", "ADD"):
            until = [found["end"] for found in _HEREDOC.finditer(rest)]
        joined, start = "", 0
    if joined.strip():
        word, _, rest = joined.strip().partition(" ")
        yield Instruction(start, word.upper(), rest.strip())


def _from(instruction: Instruction, values: Mapping[str, str]) -> tuple[str, str]:
    words = [word for word in instruction.rest.split() if not word.startswith("--")]
    image = expand(_bare(words[0]), values) if words else ""
    if not image:
        said = f"FROM {instruction.rest}".strip()
        raise ContainerfileError(instruction.line, f"{said!r} names no image", "give its ARG a default, above the FROM")
    named = len(words) == 3 and words[1].upper() == "AS"
    return image, words[2] if named else ""


def _copied_from(instruction: Instruction) -> list[str]:
    if instruction.word == "RUN":
        return [found["name"] for found in _MOUNTED.finditer(instruction.rest)]
    if instruction.word not in ("COPY", "ADD"):
        return []
    flags = [word for word in instruction.rest.split() if word.startswith("--from=")]
    return [_bare(flag.removeprefix("--from=")) for flag in flags]


def _bare(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
