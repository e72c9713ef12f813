from __future__ import annotations

import json
from pathlib import Path

from interactem.engine.images.bakefile import FILE, refresh, render
from interactem.engine.images.projects import Project

ROOT = Path(__file__).parents[2]


def test_the_committed_file_is_in_step_with_the_folders():
    """If this fails, run ./bake: it writes the file anew."""
    assert (ROOT / FILE).read_text() == render(ROOT, Project.open(ROOT).all_targets())


def project(root, **specs):
    for name, label in specs.items():
        folder = root / "operators" / "deep" / name
        folder.mkdir(parents=True)
        spec = {
            "id": f"00000000-0000-0000-0000-{len(name):012}",
            "image": f"ghcr.io/tests/{name}",
            "label": label,
            "description": "",
        }
        (folder / "operator.json").write_text(json.dumps(spec))
        (folder / "Containerfile").write_text("FROM scratch\n")
    return Project.open(root)


def test_what_it_says(tmp_path):
    made = render(tmp_path, project(tmp_path, one='quotes " and ${template} and %{another}').all_targets())
    assert 'targets = ["one"]' in made
    assert 'target "one" {\n  context = "operators/deep/one"\n  dockerfile = "Containerfile"\n' in made
    assert '  tags = ["ghcr.io/tests/one"]\n' in made
    assert r"\"label\":\"quotes \\\" and $${template} and %%{another}\"" in made


def test_it_is_written_where_it_is_and_differs(tmp_path):
    targets = project(tmp_path, one="One").all_targets()
    assert refresh(tmp_path, targets) is False
    assert not (tmp_path / FILE).exists()
    (tmp_path / FILE).touch()
    assert [refresh(tmp_path, targets), refresh(tmp_path, targets)] == [True, False]
