"""A graph as SVG: layers from left to right, boxes with their ports, curves between them.

Placing is a small version of Sugiyama's method (Sugiyama, Tagawa and Toda, 1981): an edge that passes a layer gets a
lane of its own in it, and what is in a layer is sorted by the mean height of what leads there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

from interactem.spec.graphs import Graph
from interactem.spec.operators import OperatorSpecPort
from interactem.spec.pipelines import PipelineEdge
from interactem.spec.render import layers_of, ports_of, printable, title_of

_MARGIN, _GAP_X, _GAP_Y = 24, 72, 24
_HEAD, _ROW, _LANE = 48, 22, 10
_CHARACTER = 7.3
"""The width in pixels that we count for a character of 12-pixel monospaced text."""

_STYLE = """
  svg { --paper: #ffffff; --box: #f3f5f8; --line: #6b7787; --ink: #16202c; --faint: #4a5665; --edge: #2563a8 }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #12171d; --box: #1f2730; --line: #8795a6; --ink: #eef2f6; --faint: #b3bfcc; --edge: #74b0ee }
  }
  .paper { fill: var(--paper) }
  .box { fill: var(--box); stroke: var(--line) }
  .edge { fill: none; stroke: var(--edge); stroke-width: 1.6 }
  .routed { stroke-dasharray: 6 3 }
  .port { fill: var(--edge) }
  .loose { fill: var(--paper); stroke: var(--edge) }
  text { font: 12px ui-monospace, Menlo, Consolas, monospace; fill: var(--ink) }
  .name { font-weight: 700 }
  .faint { fill: var(--faint) }
"""


@dataclass(slots=True, eq=False)
class _Cell:
    """Something that takes room in a layer: an operator's box, or the lane of an edge that only passes (key None)."""

    layer: int
    key: str | None
    height: float
    before: list[_Cell] = field(default_factory=list)
    y: float = 0

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


@dataclass(slots=True)
class _Wire:
    edge: PipelineEdge
    lanes: list[_Cell]


class _Drawing:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.ports = {key: ports_of(graph, key) for key in graph.operators}
        self.columns: list[list[_Cell]] = []
        self.boxes: dict[str, _Cell] = {}
        for index, layer in enumerate(layers_of(graph)):
            cells = [_Cell(index, key, self._box_height(key)) for key in layer]
            self.columns.append(cells)
            self.boxes.update({cell.key: cell for cell in cells if cell.key is not None})
        self.wires = [self._wire(edge) for edge in graph.edges if self._is_drawable(edge)]
        self._place_columns()
        self._place_rows()

    def _box_height(self, key: str) -> float:
        return _HEAD + _ROW * max(len(side) for side in self.ports[key]) + 8

    def _is_drawable(self, edge: PipelineEdge) -> bool:
        if edge.source.operator not in self.boxes or edge.target.operator not in self.boxes:
            return False
        outputs, inputs = self.ports[edge.source.operator][1], self.ports[edge.target.operator][0]
        return any(p.name == edge.source.port for p in outputs) and any(p.name == edge.target.port for p in inputs)

    def _wire(self, edge: PipelineEdge) -> _Wire:
        source, target = self.boxes[edge.source.operator], self.boxes[edge.target.operator]
        before, lanes = source, []
        for layer in range(source.layer + 1, target.layer):
            lane = _Cell(layer, None, _LANE, [before])
            self.columns[layer].append(lane)
            lanes.append(lane)
            before = lane
        if target.layer > source.layer:
            target.before.append(before)
        return _Wire(edge, lanes)

    def _place_columns(self) -> None:
        self.widths = [max((self._box_width(c.key) for c in column if c.key), default=0.0) for column in self.columns]
        self.lefts: list[float] = []
        left: float = _MARGIN
        for width in self.widths:
            self.lefts.append(left)
            left += width + _GAP_X
        self.width = left - _GAP_X + _MARGIN

    def _box_width(self, key: str) -> float:
        inputs, outputs = self.ports[key]
        rows = [len(key), len(title_of(self.graph, key))]
        for index in range(max(len(inputs), len(outputs))):
            sides = [label(side[index]) for side in (inputs, outputs) if index < len(side)]
            rows.append(sum(map(len, sides)) + 3 * (len(sides) - 1))
        return max(rows) * _CHARACTER + 28

    def _place_rows(self) -> None:
        heights = [sum(c.height for c in column) + _GAP_Y * (len(column) - 1) for column in self.columns]
        tallest = max(heights)
        for column, height in zip(self.columns, heights, strict=True):
            column.sort(key=lambda c: sum(b.middle for b in c.before) / len(c.before) if c.before else 0.0)
            y = _MARGIN + (tallest - height) / 2
            for cell in column:
                cell.y = y
                y += cell.height + _GAP_Y
        self.height = tallest + 2 * _MARGIN

    def svg(self) -> str:
        name = escape(printable(self.graph.pipeline.name))
        size = f'width="{self.width:.0f}" height="{self.height:.0f}" viewBox="0 0 {self.width:.0f} {self.height:.0f}"'
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{name}">',
            f"<title>{name}</title>",
            f"<style>{_STYLE}</style>",
            '<rect class="paper" width="100%" height="100%"/>',
            *(self._curve(wire) for wire in self.wires),
            *(line for key in self.boxes for line in self._box(key)),
            "</svg>",
        ]
        return "\n".join(lines) + "\n"

    def _box(self, key: str) -> Iterator[str]:
        cell = self.boxes[key]
        left, width = self.lefts[cell.layer], self.widths[cell.layer]
        yield f"<g><title>{escape(printable(self._tooltip(key)))}</title>"
        size = f'width="{width:.1f}" height="{cell.height:.1f}"'
        yield f'<rect class="box" x="{left:.1f}" y="{cell.y:.1f}" {size} rx="6"/>'
        yield _text(left + 12, cell.y + 20, key, "name")
        yield _text(left + 12, cell.y + 36, title_of(self.graph, key), "faint")
        for side, ports in enumerate(self.ports[key]):
            for index, port in enumerate(ports):
                x, y = left + side * width, self._row(cell, index)
                yield f'<circle class="{self._dot(key, port.name, side)}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
                yield _text(x + (-12 if side else 12), y + 4, label(port), end=bool(side))
        yield "</g>"

    def _tooltip(self, key: str) -> str:
        spec = self.graph.catalog.get(self.graph.operators[key].operator)
        return self.graph.operators[key].description or (spec.description if spec else "") or key

    def _dot(self, key: str, port: str, side: int) -> str:
        edges = self.graph.outgoing(key, port) if side else self.graph.incoming(key, port)
        return "port" if edges else "loose"

    def _row(self, cell: _Cell, index: int) -> float:
        return cell.y + _HEAD + _ROW * index + _ROW / 2

    def _curve(self, wire: _Wire) -> str:
        x, y = self._end(wire.edge.source.operator, wire.edge.source.port, 1)
        path = f"M{x:.1f},{y:.1f}"
        for lane in wire.lanes:
            left = self.lefts[lane.layer]
            path += _bend(x, y, left, lane.middle)
            x, y = left + self.widths[lane.layer], lane.middle
            path += f" H{x:.1f}"
        path += _bend(x, y, *self._end(wire.edge.target.operator, wire.edge.target.port, 0))
        said = f"{wire.edge} [{wire.edge.route}]" if wire.edge.route else str(wire.edge)
        style = "edge routed" if wire.edge.route else "edge"
        return f'<path class="{style}" d="{path}"><title>{escape(printable(said))}</title></path>'

    def _end(self, key: str, port: str, side: int) -> tuple[float, float]:
        cell = self.boxes[key]
        index = [one.name for one in self.ports[key][side]].index(port)
        return self.lefts[cell.layer] + side * self.widths[cell.layer], self._row(cell, index)


def to_svg(graph: Graph) -> str:
    """A drawing that needs nothing else, for light and for dark pages."""
    return _Drawing(graph).svg()


def label(port: OperatorSpecPort) -> str:
    """A port's name, and its type where that says more."""
    return port.name if port.type == port.name else f"{port.name}: {port.type}"


def _text(x: float, y: float, text: str, style: str = "", *, end: bool = False) -> str:
    anchor = ' text-anchor="end"' if end else ""
    kind = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}{anchor}>{escape(printable(text))}</text>'


def _bend(x: float, y: float, to_x: float, to_y: float) -> str:
    pull = max(abs(to_x - x) / 2, 24)
    return f" C{x + pull:.1f},{y:.1f} {to_x - pull:.1f},{to_y:.1f} {to_x:.1f},{to_y:.1f}"
