"""Running an operator's test cases in memory.

`python -m interactem.runtime.cases OPERATOR [--json]` runs the cases in `OPERATOR/tests/*.json`. Exit code 0: all
passed; 1: one failed; 2: one is malformed, or the operator does not load.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from interactem.runtime.casefiles import Case, CaseMessage, Expected, ReadyCase, read_cases
from interactem.runtime.comparison import array_differences, data_differences, meta_differences
from interactem.runtime.errors import LoadError, ParameterError
from interactem.runtime.kinds.updating import plain_value
from interactem.runtime.loading import load, user_traceback
from interactem.runtime.messages import BytesMessage
from interactem.runtime.standard_output import reserved_output
from interactem.runtime.testing import InputError, Operator
from interactem.spec import Problem, SpecError

__all__ = ["CaseResult", "main", "run_case", "run_cases"]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one case went. `problems` are lines for people; there are none where it passed."""

    case: str
    description: str
    passed: bool
    seconds: float
    problems: list[str] = field(default_factory=list)


def run_cases(operator: Path) -> list[CaseResult]:
    """The results of all cases of an operator's folder.

    Raises `SpecError` with all problems where a case or the `operator.json` is malformed, `LoadError` where `run.py`
    does not load.
    """
    results: list[CaseResult] = []
    problems: list[Problem] = []
    for ready in read_cases(operator):
        try:
            results.append(run_case(operator, ready))
        except SpecError as error:
            problems += [replace(one, source=f"{operator}/{ready.name}") for one in error.problems]
        except (InputError, ParameterError) as error:
            problems.append(Problem(f"{operator}/{ready.name}", "", str(error)))
    if problems:
        raise SpecError(problems)
    return results


def run_case(operator: Path, ready: ReadyCase) -> CaseResult:
    case = ready.case
    start = time.perf_counter()
    sides = case.side_inputs
    with Operator(operator, case.parameters, mounts=ready.mounts, attempt=case.attempt, side_inputs=sides) as started:
        problems: list[str] = []
        try:
            results = _exercise(started, ready)
            problems += _value_problems(started, case)
        except (InputError, LoadError):
            raise
        except Exception as error:
            problems += _error_problems(case, error)
        else:
            problems += _result_problems(ready, results)
        if not problems:
            problems += _file_problems(ready, started.context.outputs)
    seconds = round(time.perf_counter() - start, 6)
    return CaseResult(ready.name, case.description, not problems, seconds, problems)


def _exercise(started: Operator, ready: ReadyCase) -> list[BytesMessage]:
    results: list[BytesMessage] = []
    if started.source:
        if ready.inputs:
            raise InputError("a source takes no messages: leave the case's inputs empty")
        results += started.produce(ready.case.limit)
    for message in ready.inputs:
        results += started.handle(message)
    if ready.case.trigger is not None:
        results += started.pull(ready.case.trigger)
    if ready.case.finish:
        results += started.finish()
    return results


def _value_problems(started: Operator, case: Case) -> list[str]:
    """What is wrong with the value of a side input."""
    if not started.kernel.updates:
        if "value" in case.model_fields_set:
            raise InputError("only a side input gives a value: leave it out")
        return []
    if case.inputs or case.expect:
        raise InputError("a side input takes and gives no messages: leave inputs and expect empty")
    got = plain_value(started.update())
    if case.error is not None:
        return []
    return [] if got == case.value else [f"expected the value {case.value!r:.500}", f"got {got!r:.500}"]


def _error_problems(case: Case, error: Exception) -> list[str]:
    said = f"{type(error).__name__}: {error}"
    if case.error is not None and case.error in said:
        return []
    wanted = "" if case.error is None else f"expected an error with {case.error!r}, got another one\n"
    return (wanted + user_traceback(error)).splitlines()


def _result_problems(ready: ReadyCase, results: list[BytesMessage]) -> list[str]:
    case = ready.case
    if case.error is not None:
        return [f"expected an error with {case.error!r}, got {_counted(results)}", *map(_line, results)]
    problems: list[str] = []
    if len(results) != len(case.expect):
        problems += [f"expected {len(case.expect)} messages, got {len(results)}", *map(_line, results)]
    for index, (wanted, expected, got) in enumerate(zip(case.expect, ready.expect, results, strict=False)):
        found = _message_problems(wanted, expected, got)
        problems += [f"message {index}: {found[0]}", *found[1:]] if found else []
    return problems


def _message_problems(wanted: CaseMessage, expected: Expected, got: BytesMessage) -> list[str]:
    problems: list[str] = []
    if wanted.port is not None and got.target is not None and wanted.port != got.target:
        problems.append(f"expected on port {wanted.port!r}, got on {got.target!r}")
    if wanted.tags is not None and wanted.tags != tuple(got.tags):
        problems.append(f"expected the tags {list(wanted.tags)}, got {list(got.tags)}")
    problems += meta_differences(wanted.meta, got.header.meta)
    if expected.array is not None:
        problems += array_differences(expected.array, got, expected.tolerance, any_dtype=expected.any_dtype)
    elif expected.data is not None:
        problems += data_differences(expected.data, got.data)
    return problems


def _file_problems(ready: ReadyCase, outputs: Path) -> Iterator[str]:
    for name, expected in ready.outputs.items():
        path = outputs / name
        if not path.is_file():
            there = ", ".join(sorted(str(p.relative_to(outputs)) for p in outputs.rglob("*") if p.is_file()))
            yield f"outputs/{name}: expected this file, and there is none (there are: {there or 'none'})"
        else:
            yield from (f"outputs/{name}: {line}" for line in _content_problems(expected, path))


def _content_problems(expected: Expected, path: Path) -> list[str]:
    if expected.array is not None:
        import numpy as np

        try:
            got = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            return [f"expected an .npy: {error}"]
        return array_differences(expected.array, got, expected.tolerance, any_dtype=expected.any_dtype)
    return [] if expected.data is None else data_differences(expected.data, path.read_bytes())


def _counted(results: list[BytesMessage]) -> str:
    return f"{len(results)} message{'' if len(results) == 1 else 's'}"


def _line(message: BytesMessage) -> str:
    text = repr(message)
    return f"  got {text if len(text) < 200 else text[:200] + '…'}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m interactem.runtime.cases", description=__doc__)
    parser.add_argument("operator", type=Path, help="the operator's folder")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    with reserved_output() as output:
        code, document = _document(options.operator)
        output.write(json.dumps(document) + "\n" if options.json else _text(document))
    return code


def _document(operator: Path) -> tuple[int, dict[str, Any]]:
    try:
        load(operator / "run.py")
        results = run_cases(operator)
    except SpecError as error:
        problems = [str(problem) for problem in error.problems]
        return 2, {"operator": str(operator), "error": "\n".join(problems), "problems": problems}
    except LoadError as error:
        return 2, {"operator": str(operator), "error": str(error), "problems": [str(error)]}
    passed = sum(result.passed for result in results)
    document = {"operator": str(operator), "passed": passed, "failed": len(results) - passed}
    return int(passed < len(results)), {**document, "cases": [asdict(result) for result in results]}


def _text(document: dict[str, Any]) -> str:
    if "error" in document:
        return f"{document['error']}\n"
    lines: list[str] = []
    for case in document["cases"]:
        lines.append(f"{'passed' if case['passed'] else 'FAILED'}  {case['case']}  {case['description']}".rstrip())
        lines += [f"        {problem}" for problem in case["problems"]]
    lines.append(f"{document['passed']} passed, {document['failed']} failed")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
