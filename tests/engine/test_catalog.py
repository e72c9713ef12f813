from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest

from interactem.engine.catalog import Catalog, find_root
from interactem.spec import SpecError


def operator(root: Path, path: str, number: int, **changes) -> Path:
    folder = root / "operators" / path
    folder.mkdir(parents=True)
    spec = {"id": str(UUID(int=number)), "label": "L", "description": "D", "image": "i"} | changes
    (folder / "operator.json").write_text(json.dumps(spec))
    return folder


def test_operators_at_any_depth(tmp_path):
    operator(tmp_path, "zoom", 1)
    deep = operator(tmp_path, "group/more/blur", 2)
    (tmp_path / "operators" / "no-operator").mkdir()
    operator(tmp_path, ".venv/hidden", 3)
    catalog = Catalog.scan(tmp_path).check()
    assert list(catalog.operators) == ["blur", "zoom"]
    assert catalog.folders["blur"] == deep
    assert catalog.specs["zoom"].id == UUID(int=1)


def test_without_a_folder_there_is_nothing(tmp_path):
    assert Catalog.scan(tmp_path).check().operators == {}


def test_all_problems_are_told_at_once(tmp_path):
    operator(tmp_path, "one", 1)
    operator(tmp_path, "two", 1)
    operator(tmp_path, "group/one", 2)
    operator(tmp_path, "broken", 3, colour="red")
    (operator(tmp_path, "worse", 4) / "operator.json").write_text("{")
    catalog = Catalog.scan(tmp_path)
    with pytest.raises(SpecError) as caught:
        catalog.check()
    told = str(caught.value)
    assert len(caught.value.problems) == 4
    assert "unknown key 'colour'" in told
    assert "worse/operator.json: line 1" in told
    assert "also that of" in told
    assert "the name 'one' is also that of" in told


def test_a_broken_operator_hinders_only_those_who_use_it(tmp_path):
    operator(tmp_path, "one", 1)
    operator(tmp_path, "broken", 3, colour="red")
    catalog = Catalog.scan(tmp_path)
    assert list(catalog.check({"one"}).operators) == ["one"]
    with pytest.raises(SpecError, match="colour"):
        catalog.check({"one", "broken"})


def test_two_folders_with_one_id_hinder_everybody(tmp_path):
    operator(tmp_path, "one", 1)
    operator(tmp_path, "two", 2)
    operator(tmp_path, "three", 2)
    with pytest.raises(SpecError, match=r"the id .* is also that of"):
        Catalog.scan(tmp_path).check({"one"})


def test_a_spec_that_cannot_be_read_is_a_problem(tmp_path):
    folder = tmp_path / "operators" / "one"
    folder.mkdir(parents=True)
    (folder / "operator.json").symlink_to("nowhere")
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        Catalog.scan(tmp_path).check()


def test_links_are_followed_once(tmp_path):
    folder = operator(tmp_path, "one", 1)
    (folder / "loop").symlink_to(tmp_path / "operators")
    elsewhere = operator(tmp_path / "elsewhere", "two", 2)
    (tmp_path / "operators" / "two").symlink_to(elsewhere)
    assert list(Catalog.scan(tmp_path).check().operators) == ["one", "two"]


def test_the_root_is_beside_or_above(tmp_path, monkeypatch):
    (tmp_path / "project" / "operators").mkdir(parents=True)
    (tmp_path / "project" / "pipelines" / "deep").mkdir(parents=True)
    file = tmp_path / "project" / "pipelines" / "deep" / "mass.json"
    file.write_text("{}")
    assert find_root(file) == tmp_path / "project"
    assert find_root(tmp_path / "project") == tmp_path / "project"
    monkeypatch.chdir(tmp_path / "project" / "pipelines")
    assert find_root(Path("deep")) == tmp_path / "project"
    assert find_root(tmp_path) == tmp_path / "project" / "pipelines"
