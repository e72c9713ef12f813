"""A simulated scan whose true answer is known: a diffraction disc that a field deflects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from distiller_streaming.batches import BatchedFrames
from distiller_streaming.errors import SettingError
from distiller_streaming.headers import FramesHeader, Shape

Field = Literal["uniform", "radial", "vortex", "domains"]

CORE = 0.25
"""Half width of a vortex's core and of a domain's wall, in halves of the scan's shorter side."""


def true_field(field: Field, scan_shape: Shape, amplitude: float) -> NDArray[np.float64]:
    """The deflection at each scan position, in pixels of the frame: shape (2, scan rows, scan columns), rows then
    columns. Its magnitude is nowhere above `amplitude`.

    With u and v the row and column relative to the middle of the scan, in halves of its shorter side, and
    r = √(u² + v²):

    - `uniform`: amplitude · (1, 1)/√2
    - `radial`: away from the middle, as of a charge spread evenly: amplitude · (u, v) / max(r, 1)
    - `vortex`: around the middle, counter-clockwise as one sees it: amplitude · (-v, u)/r · tanh(r / CORE)
    - `domains`: columns of alternating direction: amplitude · (sin(π·v), cos(π·u))/√2

    Raises `SettingError` for an unknown field.
    """
    rows, columns = scan_shape
    half = max(min(rows, columns) / 2, 1)
    u = ((np.arange(rows) - (rows - 1) / 2) / half)[:, None] + np.zeros((1, columns))
    v = ((np.arange(columns) - (columns - 1) / 2) / half)[None, :] + np.zeros((rows, 1))
    r = np.hypot(u, v)
    if field == "uniform":
        shape = np.full((2, rows, columns), math.sqrt(0.5))
    elif field == "radial":
        shape = np.stack([u, v]) / np.maximum(r, 1)
    elif field == "vortex":
        shape = np.stack([-v, u]) / np.where(r == 0, 1, r) * np.tanh(r / CORE)
    elif field == "domains":
        shape = np.stack([np.sin(np.pi * v), np.cos(np.pi * u)]) * math.sqrt(0.5)
    else:
        raise SettingError(f"field is one of {', '.join(get_args(Field))}, not {field!r}")
    deflection: NDArray[np.float64] = amplitude * shape
    return deflection


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """A scan of a uniformly bright disc.

    Each electron of a frame lands at the frame's middle ((rows - 1)/2, (columns - 1)/2), plus the field's deflection,
    plus a point evenly spread over a disc of `radius` pixels; a frame has on average `dose` electrons. The number in
    a pixel is therefore Poisson distributed. Frame k depends on the settings and k alone.

    Raises `SettingError` where the settings do not go together.
    """

    scan_shape: Shape = (64, 64)
    frame_shape: Shape = (64, 64)
    field: Field = "vortex"
    amplitude: float = 8.0
    radius: float = 12.0
    dose: float = 500.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(*self.scan_shape, *self.frame_shape) < 1:
            raise SettingError("scan and frame have at least one row and one column")
        if self.radius <= 0 or self.amplitude < 0 or self.seed < 0:
            raise SettingError("radius is above 0; amplitude and seed are not negative")
        if not 0 < self.dose <= 1e7:
            raise SettingError(f"dose is above 0 and at most 10 million electrons a frame, not {self.dose:g}")
        room = (min(self.frame_shape) - 1) / 2
        if self.amplitude + self.radius > room:
            raise SettingError(
                f"the disc leaves the frame: amplitude {self.amplitude:g} + radius {self.radius:g} is above "
                f"{room:g} pixels; make the frame larger or the disc or its deflection smaller"
            )

    def true_centers(self) -> NDArray[np.float64]:
        """The true centre of mass at each scan position: shape (2, scan rows, scan columns), rows then columns."""
        middle = (np.array(self.frame_shape, dtype=np.float64) - 1) / 2
        return true_field(self.field, self.scan_shape, self.amplitude) + middle[:, None, None]

    def frames(self, positions: Sequence[int]) -> BatchedFrames:
        """The dense frames at these flat scan positions, as uint16 counts (uint32 for more than 65,535 electrons)."""
        centers = self.true_centers().reshape(2, -1)
        frames = np.stack([self._frame(index, centers[:, index]) for index in positions])
        dtype = np.uint16 if frames.max() < 2**16 else np.uint32
        return BatchedFrames(FramesHeader(self.scan_shape, self.frame_shape, positions), frames.astype(dtype))

    def _frame(self, index: int, center: NDArray[np.float64]) -> NDArray[np.int64]:
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, index])))
        electrons = int(generator.poisson(self.dose))
        radius = self.radius * np.sqrt(generator.random(electrons))
        angle = 2 * np.pi * generator.random(electrons)
        row = np.rint(center[0] + radius * np.sin(angle)).astype(np.int64)
        column = np.rint(center[1] + radius * np.cos(angle)).astype(np.int64)
        height, width = self.frame_shape
        return np.bincount(row * width + column, minlength=height * width).reshape(height, width)
