"""What differs between what a case expects and what an operator did, in words. Pure functions over values."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from interactem.runtime.errors import ArrayError
from interactem.runtime.messages import Buffer, BytesMessage

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN = 200

NUMBERS = "biufc"
"""The kinds of dtype that a tolerance means something for."""


def meta_differences(expected: dict[str, Any], got: object, path: str = "meta") -> list[str]:
    """Every expected key that is absent or has another value; further keys are not looked at, at any depth."""
    if not isinstance(got, dict):
        return [f"{path}: expected an object with {', '.join(expected)}, got {_shown(got)}"]
    found: list[str] = []
    for key, value in expected.items():
        inside = f"{path}.{key}"
        if key not in got:
            found.append(f"{inside}: expected {_shown(value)}, and there is no such key (there are: {_names(got)})")
        elif isinstance(value, dict):
            found += meta_differences(value, got[key], inside)
        elif not _same(value, got[key]):
            found.append(f"{inside}: expected {_shown(value)}, got {_shown(got[key])}")
    return found


def data_differences(expected: bytes, got: Buffer) -> list[str]:
    """Nothing where they are equal, else a diff of their lines if both are text, else the first byte that differs."""
    data = bytes(got)
    if data == expected:
        return []
    try:
        return ["data differs (- expected, + got):", *_line_diff(expected.decode(), data.decode())]
    except UnicodeDecodeError:
        first = next((i for i, (a, b) in enumerate(zip(expected, data, strict=False)) if a != b), None)
        where = min(len(expected), len(data)) if first is None else first
        return [f"data: expected {len(expected)} bytes, got {len(data)}; they differ from byte {where} on"]


def array_differences(
    expected: NDArray[Any], got: NDArray[Any] | BytesMessage, tolerance: float, *, any_dtype: bool = False
) -> list[str]:
    """Differences of shape, dtype or values; NaN equals NaN, `tolerance` is absolute."""
    import numpy as np

    if isinstance(got, BytesMessage):
        try:
            got = got.array
        except ArrayError as error:
            return [f"data: expected an array; {error}"]
    if expected.shape != got.shape:
        return [f"array: expected shape {expected.shape}, got {got.shape}"]
    if not any_dtype and expected.dtype != got.dtype:
        return [f"array: expected dtype {expected.dtype}, got {got.dtype}"]
    close = _close(expected, got, tolerance)
    if close.all():
        return []
    wrong = np.argwhere(~close)
    first = tuple(int(index) for index in wrong[0])
    text = (
        f"array: {len(wrong)} of {close.size} values differ by more than {tolerance:g}; "
        f"first at {first}: expected {expected[first].item()!r}, got {got[first].item()!r}"
    )
    if expected.size <= SHOWN:
        return [text, f"  expected {_array_text(expected)}", f"  got      {_array_text(got)}"]
    return [text]


def _close(expected: NDArray[Any], got: NDArray[Any], tolerance: float) -> NDArray[Any]:
    import numpy as np

    equal: NDArray[Any] = np.asarray(expected == got)
    if not (expected.dtype.kind in NUMBERS and got.dtype.kind in NUMBERS):
        return equal
    wide = np.complex128 if "c" in (expected.dtype.kind, got.dtype.kind) else np.float64
    left, right = expected.astype(wide), got.astype(wide)
    with np.errstate(invalid="ignore"):  # infinity minus infinity; such values are equal or they are not
        near = (np.abs(left - right) <= tolerance) & (tolerance > 0)
    close: NDArray[Any] = np.asarray(equal | near | (np.isnan(left) & np.isnan(right)))
    return close


def _same(expected: object, got: object) -> bool:
    # JSON has one kind of number, but true is not 1
    if isinstance(expected, bool) != isinstance(got, bool):
        return False
    return expected == got or (isinstance(got, tuple) and expected == list(got))


def _line_diff(expected: str, got: str) -> list[str]:
    lines = difflib.unified_diff(expected.splitlines(), got.splitlines(), lineterm="", n=1)
    shown = [line for line in lines if not line.startswith(("---", "+++"))]
    return shown[:40] or [f"- {_shown(expected)}", f"+ {_shown(got)}"]


def _array_text(array: NDArray[Any]) -> str:
    import numpy as np

    return np.array2string(array, separator=", ", prefix=" " * 11, threshold=SHOWN)


def _names(got: dict[str, Any]) -> str:
    return ", ".join(map(str, got)) or "none"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
