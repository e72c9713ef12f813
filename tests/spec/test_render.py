"""Graphs as text, Mermaid and SVG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from interactem.spec import Graph, parse_pipeline, to_mermaid, to_svg, to_text

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def graph(pipeline_value, catalog):
    return Graph(parse_pipeline(pipeline_value, "p"), catalog).check()


def test_text(graph):
    assert to_text(graph) == (
        "center-of-mass\n"
        "\n"
        "1  frames (frame-reader)\n"
        "     → frames (frame)  partial.in\n"
        "\n"
        "2  partial (center-of-mass-partial x2)\n"
        "     ← in (frame)                 frames.frames\n"
        "     → com_partial (com_partial)  reduce.com_partial\n"
        "\n"
        "3  reduce (center-of-mass-reduce)\n"
        "     ← com_partial (com_partial)  partial.com_partial\n"
        "     ← mask (any)                 not connected\n"
        "     → maps (maps)                not connected\n"
    )


def test_mermaid(graph):
    assert to_mermaid(graph) == (
        "flowchart LR\n"
        '  n0["frames<br/>frame-reader"]\n'
        '  n1["partial<br/>center-of-mass-partial x2"]\n'
        '  n2["reduce<br/>center-of-mass-reduce"]\n'
        '  n0 -- "frames → in" --> n1\n'
        '  n1 -- "com_partial → com_partial" --> n2\n'
    )


def test_what_edges_say_is_told(pipeline_value, catalog):
    pipeline_value["edges"][0] |= {"key": "meta.scan", "when": {"tags": {"none": ["dark"]}}}
    graph = Graph(parse_pipeline(pipeline_value, "p"), catalog).check()
    said = "when tags none of dark, key meta.scan"
    assert f"  partial.in [{said}]\n" in to_text(graph)
    assert f"  frames.frames [{said}]\n" in to_text(graph)
    assert f'n0 -- "frames → in [{said}]" --> n1' in to_mermaid(graph)
    svg = ElementTree.fromstring(to_svg(graph))
    titles = {path.find(f"{SVG}title").text: path.get("class") for path in svg.iter(f"{SVG}path")}
    assert titles == {
        f"frames.frames -> partial.in [{said}]": "edge routed",
        "partial.com_partial -> reduce.com_partial": "edge",
    }


def boxes(svg):
    """Each box's left, top, right and bottom, by the operator's name."""
    found = {}
    for group in svg.iter(f"{SVG}g"):
        rect, name = group.find(f"{SVG}rect"), group.find(f"{SVG}text").text
        x, y, width, height = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
        found[name] = (x, y, x + width, y + height)
    return found


def test_svg_stands_from_left_to_right_with_an_edge_from_port_to_port(graph):
    svg = ElementTree.fromstring(to_svg(graph))
    placed = boxes(svg)
    assert list(placed) == ["frames", "partial", "reduce"]
    assert placed["frames"][2] < placed["partial"][0] < placed["partial"][2] < placed["reduce"][0]
    edges = {path.find(f"{SVG}title").text: path.get("d") for path in svg.iter(f"{SVG}path")}
    assert set(edges) == {"frames.frames -> partial.in", "partial.com_partial -> reduce.com_partial"}
    first = [float(number) for number in re.findall(r"-?[\d.]+", edges["frames.frames -> partial.in"])]
    assert (first[0], first[-2]) == (placed["frames"][2], placed["partial"][0])
    texts = {text.text for text in svg.iter(f"{SVG}text")}
    assert {"frames: frame", "in: frame", "com_partial", "center-of-mass-partial x2"} <= texts
    loose = [c for c in svg.iter(f"{SVG}circle") if c.get("class") == "loose"]
    assert len(loose) == 2


def test_boxes_do_not_overlap_and_no_edge_passes_through_one(operator):
    passing = operator(
        inputs=[{"name": "in", "type": "any", "required": False}], outputs=[{"name": "out", "type": "any"}]
    )
    pairs = ["ab", "ac", "bd", "cd", "ad", "de", "ae", "be"]
    value = {
        "name": "n",
        "operators": {name: {"operator": "pass"} for name in "abcde"},
        "edges": [{"from": f"{a}.out", "to": f"{b}.in"} for a, b in pairs],
    }
    svg = ElementTree.fromstring(to_svg(Graph(parse_pipeline(value, "p"), {"pass": passing})))
    placed = list(boxes(svg).values())
    height = float(svg.get("height"))
    for index, (left, top, right, bottom) in enumerate(placed):
        assert 0 <= top < bottom <= height
        for other in placed[:index]:
            assert right < other[0] or other[2] < left or bottom < other[1] or other[3] < top
    for path in svg.iter(f"{SVG}path"):
        for x, y in re.findall(r"([\d.]+),([\d.]+) H", path.get("d")):
            assert not any(box[0] <= float(x) < box[2] and box[1] < float(y) < box[3] for box in placed)


def test_everything_is_escaped(operator):
    evil = '</text><script>&"\x1b[31m#'
    catalog = {evil: operator(description=evil, outputs=[{"name": 'o<"', "type": evil}])}
    value = {"name": evil, "operators": {"a": {"operator": evil}}}
    graph = Graph(parse_pipeline(value, "p"), catalog).check()
    svg = ElementTree.fromstring(to_svg(graph))
    assert not list(svg.iter(f"{SVG}script"))
    assert svg.find(f"{SVG}title").text == '</text><script>&"\ufffd[31m#'
    assert "<script" not in to_mermaid(graph)
    assert "#60;/text#62;#60;script#62;#38;#34;" in to_mermaid(graph)
    assert "\x1b" not in to_text(graph) + to_mermaid(graph) + to_svg(graph)


def test_a_broken_graph_can_be_drawn_too():
    value = {
        "name": "broken",
        "operators": {"a": {"operator": "x"}, "b": {"operator": "y"}},
        "edges": [{"from": "a.out", "to": "b.in"}, {"from": "b.out", "to": "a.in"}, {"from": "c.out", "to": "a.in"}],
    }
    graph = Graph(parse_pipeline(value, "p"), {})
    assert "→ out (?)  b.in" in to_text(graph)
    assert to_mermaid(graph).count("-->") == 2
    assert set(boxes(ElementTree.fromstring(to_svg(graph)))) == {"a", "b"}
