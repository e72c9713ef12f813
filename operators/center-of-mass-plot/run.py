"""Draws maps of the centre of mass: both components, magnitude, and direction as a colour wheel."""

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from interactem.runtime import BytesMessage, MessageHeader, operator

Floats = NDArray[np.float64]

SIZE = (10.0, 9.6)
"""Of the picture, in inches of 100 pixels."""
PASSED_ON = ("revision", "filled", "total", "final")
INK, QUIET, NOTHING, PAPER = "#1c2430", "#66707d", "#d5d9de", "#ffffff"


def deflection(com: Floats) -> Floats:
    """The centre of mass relative to its mean over the scan, per component (NaN where there is none)."""
    shifted = np.full(com.shape, np.nan)
    for component, out in zip(com, shifted, strict=True):
        known = np.isfinite(component)
        if known.any():
            out[...] = component - component[known].mean()
    return shifted


def colour_wheel(rows: Floats, columns: Floats, largest: float) -> Floats:
    """RGB of vectors that point (rows down, columns right): hue is the direction, brightness the magnitude.

    Right is red, and the hue goes on counter-clockwise as one sees it: up is yellow-green, left is cyan.
    """
    hue = np.mod(np.arctan2(-rows, columns) / (2 * np.pi), 1.0)
    value = np.clip(np.hypot(rows, columns) / largest, 0.0, 1.0)
    rgb: Floats = hsv_to_rgb(np.stack([hue, np.full_like(hue, 0.9), value], axis=-1))
    return rgb


def draw(com: Floats, title: str, subtitle: str) -> bytes:
    """The picture of maps of shape (2, scan rows, scan columns), as PNG."""
    shift = deflection(com)
    magnitude = np.hypot(shift[0], shift[1])
    known = magnitude[np.isfinite(magnitude)]
    # one bright outlier shall not make all else dark
    largest = max(float(np.percentile(known, 99.5)) if known.size else 0.0, 1e-9)

    figure = Figure(figsize=SIZE, dpi=100, facecolor=PAPER)
    figure.text(0.06, 0.962, title, fontsize=17, fontweight="bold", color=INK)
    figure.text(0.06, 0.935, subtitle, fontsize=10.5, color=QUIET)
    _map(figure, (0, 0), "Rows (down is positive)", shift[0], "RdBu_r", (-largest, largest))
    _map(figure, (0, 1), "Columns (right is positive)", shift[1], "RdBu_r", (-largest, largest))
    _map(figure, (1, 0), "Magnitude", magnitude, "viridis", (0.0, largest))
    _direction(figure, shift, largest)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _panel(figure: Figure, place: tuple[int, int], title: str) -> Axes:
    row, column = place
    axes = figure.add_axes((0.06 + 0.49 * column, 0.505 - 0.46 * row, 0.355, 0.37))
    axes.set_title(title, loc="left", fontsize=11.5, color=INK, pad=7)
    axes.set_facecolor(NOTHING)
    axes.tick_params(length=3, labelsize=9, color=QUIET, labelcolor=QUIET)
    for spine in axes.spines.values():
        spine.set_color(QUIET)
        spine.set_linewidth(0.6)
    return axes


def _map(
    figure: Figure, place: tuple[int, int], title: str, values: Floats, colours: str, limits: tuple[float, float]
) -> None:
    axes = _panel(figure, place, title)
    image = axes.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    x, y, width, height = _drawn(axes, values.shape)
    bar = figure.colorbar(image, cax=figure.add_axes((x + width + 0.012, y, 0.014, height)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=3, labelsize=9, color=QUIET, labelcolor=QUIET)
    bar.ax.set_title("px", fontsize=9, color=QUIET, pad=6)


def _direction(figure: Figure, shift: Floats, largest: float) -> None:
    axes = _panel(figure, (1, 1), "Direction")
    rgb = colour_wheel(np.nan_to_num(shift[0]), np.nan_to_num(shift[1]), largest)
    unknown = ~np.isfinite(shift).all(axis=0)
    axes.imshow(np.dstack([rgb, ~unknown]), interpolation="nearest")
    x, y, width, height = _drawn(axes, unknown.shape)
    _key(figure, (x + width + 0.01, y + height - 0.075, 0.075, 0.078), largest)


def _drawn(axes: Axes, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Where the picture lies within its panel, which keeps the scan's proportions."""
    box = axes.get_position(original=True)
    panel = box.height * SIZE[1] / (box.width * SIZE[0])
    picture = shape[0] / shape[1]
    width = box.width * min(1.0, panel / picture)
    height = box.height * min(1.0, picture / panel)
    return box.x0 + (box.width - width) / 2, box.y0 + (box.height - height) / 2, width, height


def _key(figure: Figure, place: tuple[float, float, float, float], largest: float) -> None:
    """The colour wheel itself: what colour a direction has."""
    axes = figure.add_axes(place)
    axes.set_axis_off()
    down, right = np.mgrid[-1:1:160j, -1:1:160j]
    inside = np.clip((1 - np.hypot(down, right)) * 80, 0, 1)
    axes.imshow(np.dstack([colour_wheel(down, right, 1.0), inside]), extent=(-1, 1, -1, 1))
    axes.text(0, -1.2, f"{largest:.3g} px\nat the rim", ha="center", va="top", fontsize=9, color=QUIET)


def progress(meta: dict[str, Any]) -> str:
    filled, total = meta.get("filled"), meta.get("total")
    if filled is None or total is None:
        return ""
    if filled == total:
        return f"all {total:,} scan positions"
    return f"{filled:,} of {total:,} scan positions"


@operator
def plot(inputs: BytesMessage, parameters: dict[str, Any]) -> BytesMessage:
    com = inputs.array
    if com.ndim != 3 or com.shape[0] != 2:
        raise ValueError(f"maps of the centre of mass have shape (2, scan rows, scan columns), not {com.shape}")
    mean = [float(c[np.isfinite(c)].mean()) if np.isfinite(c).any() else float("nan") for c in com]
    place = f"relative to the mean, row {mean[0]:.2f} and column {mean[1]:.2f} px"
    subtitle = "  ·  ".join(part for part in (progress(inputs.meta), place) if part)
    picture = draw(np.asarray(com, dtype=np.float64), parameters.get("title", "Center of mass"), subtitle)
    kept: dict[str, Any] = {
        name: inputs.meta[name] for name in ("revision", "filled", "total", "final") if name in inputs.meta
    }
    return BytesMessage(MessageHeader(meta={**kept, "content_type": "image/png"}), picture)
