"""The operator that a test is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interactem.runtime import BytesMessage
from interactem.runtime.cases import run_cases
from interactem.runtime.targets import spec_of
from interactem.runtime.testing import Operator, call, update
from interactem.spec import OperatorSpec


class OperatorUnderTest:
    """An operator's folder. Calling it is `interactem.runtime.testing.call`, whose options it takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def above(cls, path: Path) -> OperatorUnderTest:
        """The nearest one above a test's file. Raises `FileNotFoundError` where there is none."""
        for folder in path.absolute().parents:
            if (folder / "operator.json").is_file() or (folder / "run.py").is_file():
                return cls(folder)
        raise FileNotFoundError(
            f"there is no operator above {path}: put the test below the folder with its operator.json, "
            "or use interactem.runtime.testing.call"
        )

    @property
    def spec(self) -> OperatorSpec | None:
        """Its `operator.json`; None where it has none. Raises `SpecError`."""
        return spec_of(self.folder)

    def __call__(
        self,
        message: BytesMessage | Sequence[BytesMessage] | None = None,
        parameters: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> list[BytesMessage]:
        return call(self.folder, message, parameters, **options)

    def start(self, parameters: Mapping[str, Any] | None = None, **options: Any) -> Operator:
        """For tests that call it more than once: a context manager."""
        return Operator(self.folder, parameters, **options)

    def update(self, parameters: Mapping[str, Any] | None = None, **mounts: str | Path) -> Any:
        """The value that it gives, where it is a side input."""
        return update(self.folder, parameters, **mounts)

    def check_cases(self) -> int:
        """Run its cases, `tests/*.json`; how many there are. Raises `AssertionError` where one fails, `SpecError`."""
        results = run_cases(self.folder)
        failed = [result for result in results if not result.passed]
        if failed:
            lines = [f"{result.case} {result.description}\n  " + "\n  ".join(result.problems) for result in failed]
            raise AssertionError(f"{len(failed)} of {len(results)} cases failed\n" + "\n".join(lines))
        return len(results)
