"""Path mapping: where files lie on this machine that were named on another one.

Rules come as JSON, in the form that job schedulers hand on:
`{"path_mapping_rules": [{"source_path_format": "POSIX" | "WINDOWS", "source_path": …, "destination_path": …}]}`.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Literal, cast

from interactem.runtime.errors import PathMappingError

Format = Literal["POSIX", "WINDOWS"]
RULES = "path_mapping_rules"
VARIABLE = "INTERACTEM_PATH_MAPPING_RULES"
"""The environment variable that a replica finds them in, as JSON."""
_FLAVOURS: dict[str, type[PurePosixPath] | type[PureWindowsPath]] = {
    "POSIX": PurePosixPath,
    "WINDOWS": PureWindowsPath,
}
_KEYS = ("source_path_format", "source_path", "destination_path")


@dataclass(frozen=True, slots=True)
class PathRule:
    """What lies below `source_path`, in this format, on another machine, lies below `destination_path` on this one."""

    source_path_format: Format
    source_path: str
    destination_path: str

    def apply(self, path: str) -> str | None:
        """Where the path is on this machine; None where the rule is not about it.

        Whole components match, of Windows regardless of case; `.` and `..` are resolved by name before that.
        """
        source, given = self._parts(self.source_path), self._parts(path)
        if self._folded(given[: len(source)]) != self._folded(source):
            return None
        mapped = posixpath.join(self.destination_path, *given[len(source) :])
        ends = "/\\" if self.source_path_format == "WINDOWS" else "/"
        return f"{mapped}/" if path.endswith(tuple(ends)) and not mapped.endswith("/") else mapped

    def _parts(self, path: str) -> list[str]:
        pure = _FLAVOURS[self.source_path_format](path)
        anchor, parts = pure.anchor, list(pure.parts)
        resolved: list[str] = []
        for part in parts[1:] if anchor else parts:
            if part != "..":
                resolved.append(part)
            elif resolved and resolved[-1] != "..":
                resolved.pop()
            elif not anchor:
                resolved.append(part)  # above where a relative path begins; above the root there is nothing
        return [anchor, *resolved] if anchor else resolved

    def _folded(self, parts: Sequence[str]) -> list[str]:
        if self.source_path_format == "POSIX":
            return ["/" if part == "//" else part for part in parts]
        return [part.lower().replace("/", "\\") for part in parts]


def map_path(rules: Sequence[PathRule], path: str) -> str:
    """The path by the first rule that is about it; the path itself, as it is, where none is."""
    return next((mapped for rule in rules if (mapped := rule.apply(path)) is not None), path)


def parse_rules(text: str) -> tuple[PathRule, ...]:
    """The rules in a JSON text. Raises `PathMappingError` with everything that is wrong."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PathMappingError([f"path mapping rules are not JSON: {error}"]) from None
    problems = list(_problems(value))
    if problems:
        raise PathMappingError(problems)
    return tuple(PathRule(*(cast("Format", rule[key]) for key in _KEYS)) for rule in value[RULES])


def rules_in(environment: Mapping[str, str]) -> tuple[PathRule, ...]:
    """The rules that a replica is given. Raises `PathMappingError`."""
    text = environment.get(VARIABLE)
    return parse_rules(text) if text else ()


def rules_text(rules: Sequence[PathRule]) -> str:
    """The rules as JSON; nothing where there are none."""
    return json.dumps({RULES: [asdict(rule) for rule in rules]}) if rules else ""


def _problems(value: object) -> Iterator[str]:
    form = f'write {{"{RULES}": [{{"source_path_format": "POSIX", "source_path": …, "destination_path": …}}]}}'
    if not isinstance(value, dict) or not isinstance(value.get(RULES), list):
        yield f"path mapping rules are a list under {RULES!r}; {form}"
        return
    yield from (f"$.{key}: unknown key; known keys: {RULES}" for key in value if key not in (RULES, "version"))
    for index, rule in enumerate(value[RULES]):
        where = f"$.{RULES}[{index}]"
        if isinstance(rule, dict):
            yield from (f"{where}{problem}" for problem in _rule_problems(rule))
        else:
            yield f"{where}: should be an object; {form}"


def _rule_problems(rule: dict[str, object]) -> Iterator[str]:
    yield from (f".{key}: unknown key; known keys: {', '.join(_KEYS)}" for key in rule if key not in _KEYS)
    wrong = [key for key in _KEYS if not isinstance(rule.get(key), str) or not rule[key]]
    yield from (f".{key}: should be a text that is not empty" for key in wrong)
    flavour = _FLAVOURS.get(str(rule.get("source_path_format")))
    if flavour is None and "source_path_format" not in wrong:
        yield f".source_path_format: {rule['source_path_format']!r} is not one; give POSIX or WINDOWS"
    if flavour is not None and "source_path" not in wrong and not flavour(str(rule["source_path"])).is_absolute():
        yield f".source_path: {rule['source_path']!r} is not an absolute path of {rule['source_path_format']}"
    if "destination_path" not in wrong and not str(rule["destination_path"]).startswith("/"):
        yield f".destination_path: {rule['destination_path']!r} is not an absolute path of this machine"
