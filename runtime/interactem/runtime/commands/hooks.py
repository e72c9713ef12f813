"""What the author of a command operator may add in `run.py`: `prerun`, `command`, `postrun` and callbacks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interactem.runtime.errors import CommandError, LoadError
from interactem.spec.commands import CommandSpec
from interactem.spec.wording import suggest

Function = Callable[..., Any]

_SEEN = ("inputs", "parameters", "context")
TAKES: dict[str, tuple[str, ...]] = {"prerun": _SEEN, "command": ("run_data",), "postrun": ("result", *_SEEN)}
"""What each hook may take, by these names and in any order."""
CALLBACK_TAKES = ("match", "parameters", "context")


@dataclass(frozen=True, slots=True)
class Hooks:
    """The functions of one `run.py`; what it does not have is None."""

    prerun: Function | None = None
    command: Function | None = None
    postrun: Function | None = None
    callbacks: Mapping[str, Function] = field(default_factory=dict)

    @classmethod
    def of(cls, namespace: Mapping[str, Any], command: CommandSpec, path: Path) -> Hooks:
        """Those in a module. Raises `LoadError` with all that is wrong."""
        callbacks = {name: namespace.get(name) for name in command.patterns.callbacks}
        problems = [problem for name in TAKES if name in namespace for problem in _problems(name, namespace[name])]
        for name, function in callbacks.items():
            if function is None:
                known = [other for other, value in namespace.items() if inspect.isfunction(value)]
                problems.append(f"there is no function {name!r} in it; {suggest(name, known, 'functions')}")
            else:
                problems += _problems(name, function, CALLBACK_TAKES)
        if not command.arguments and "command" not in namespace:
            problems.append(
                "nothing says what to start: give arguments in operator.json, or a function command(run_data)"
            )
        if problems:
            raise LoadError(str(path), "; ".join(problems))
        given = {name: namespace.get(name) for name in TAKES}
        return cls(**given, callbacks={name: function for name, function in callbacks.items() if function is not None})


def call(function: Function, given: Mapping[str, object]) -> Any:
    """Call a hook with what its signature names. Its first argument, whatever its name, is the first that is given."""
    names = list(inspect.signature(function).parameters)
    first = next(iter(given.values()))
    return function(*(given.get(name, first) for name in names if name in given or name == names[0]))


def arguments_of(hook: Function, run_data: Mapping[str, Any]) -> tuple[str, ...]:
    """The arguments that `command(run_data)` chooses. Raises `CommandError` where they are none."""
    chosen = call(hook, {"run_data": run_data})
    if not isinstance(chosen, (list, tuple)) or not chosen:
        raise CommandError(f"command(run_data) in run.py returned {chosen!r:.100}; return a list of arguments")
    texts = [str(part) if isinstance(part, str | int | float | Path) else None for part in chosen]
    wrong = [part for part, text in zip(chosen, texts, strict=True) if text is None or "\0" in text]
    if wrong:
        raise CommandError(f"command(run_data) in run.py returned the argument {wrong[0]!r:.100}; give text")
    return tuple(text for text in texts if text is not None)


def _problems(name: str, function: object, takes: tuple[str, ...] | None = None) -> Iterator[str]:
    takes = takes or TAKES[name]
    if (
        not inspect.isfunction(function)
        or inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
    ):
        yield f"{name} should be a plain function"
        return
    for index, parameter in enumerate(inspect.signature(function).parameters.values()):
        variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY)
        if variable or (index and parameter.name not in takes and parameter.default is parameter.empty):
            yield f"{name} cannot take {str(parameter).split(':')[0]!r}; it takes {', '.join(takes)}"
