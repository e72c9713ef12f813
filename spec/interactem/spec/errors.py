"""What can be wrong in a spec, a pipeline, or a value that is given to them.

SpecError                    a file, or a graph made of files, is wrong; carries every problem found
└── ParameterValueError      one value does not fit its parameter
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: in which file, where in it, what, and what would be right.

    `source` is the file's name (or what stands for one), `path` a JSON path such as `$.inputs[0].type`, `hint` may
    be empty where the message says it all.
    """

    source: str
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.source, self.path) if part)
        what = f"{self.message}; {self.hint}" if self.hint else self.message
        return f"{where}: {what}" if where else what


class SpecError(ValueError):
    """Something given does not hold. `problems` has all of it, and `str()` one line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ParameterValueError(SpecError):
    """A value does not fit its parameter. `parameter` is the parameter's name."""

    def __init__(self, parameter: str, problem: Problem) -> None:
        super().__init__([problem])
        self.parameter = parameter
