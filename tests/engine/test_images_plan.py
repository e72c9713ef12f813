"""What is to be baked, from folders alone: no engine is asked."""

from __future__ import annotations

import json
import uuid

import pytest

from interactem.engine.images import labels
from interactem.engine.images.plan import inputs_hash
from interactem.engine.images.projects import Project
from interactem.spec import SpecError


@pytest.fixture
def add(tmp_path):
    """Adds an operator to the project, which is a folder of its own."""

    def add(name, containerfile=None, *, image=None, run=True, **spec_too):
        folder = tmp_path / "operators" / name
        folder.mkdir(parents=True)
        bare = name.rpartition("/")[2]
        spec = {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
            "image": image or f"ghcr.io/tests/{bare}",
            "label": bare,
            "description": "",
            **spec_too,
        }
        (folder / "operator.json").write_text(json.dumps(spec))
        if run:
            (folder / "run.py").write_text(f"# {name}\n")
        if containerfile is not None:
            (folder / "Containerfile").write_text(containerfile)
        return folder

    return add


def problems(root, *names):
    with pytest.raises(SpecError) as caught:
        Project.open(root).select(names)
    return [str(problem) for problem in caught.value.problems]


def names(targets):
    return [target.name for target in targets]


def test_every_folder_with_a_spec_is_baked_each_behind_what_it_builds_on(tmp_path, add):
    add("a-child", "FROM ghcr.io/tests/parent:latest\n")
    add("deep/down/parent", "FROM python:3.12\n")
    add("other", "FROM scratch\nCOPY --from=ghcr.io/tests/a-child /x /x\n")
    selection = Project.open(tmp_path).select()
    assert names(selection.plan.targets) == ["parent", "a-child", "other"]
    assert selection.plan.parents == {"parent": (), "a-child": ("parent",), "other": ("a-child",)}
    assert selection.plan.outside == {"parent": ("python:3.12",), "a-child": (), "other": ()}


def test_the_one_that_is_named_brings_along_what_it_builds_on(tmp_path, add):
    add("child", "FROM ghcr.io/tests/parent\n")
    add("parent", "FROM scratch\n")
    add("other", "FROM scratch\n")
    selection = Project.open(tmp_path).select(["child"])
    assert names(selection.plan.targets) == ["parent", "child"]
    assert names(selection.targets) == ["child"]
    assert selection.asked == {"parent", "child"}


def test_a_folder_with_nothing_but_a_spec_is_left_alone(tmp_path, add):
    add("prebuilt", run=False)
    add("built", "FROM scratch\n", run=False)
    selection = Project.open(tmp_path).select()
    assert names(selection.plan.targets) == ["built"]
    assert [operator.name for operator in selection.prebuilt] == ["prebuilt"]


def test_a_file_called_dockerfile_will_do(tmp_path, add):
    folder = add("a")
    (folder / "Dockerfile").write_text("FROM scratch\n")
    assert names(Project.open(tmp_path).select().targets) == ["a"]


def test_an_image_of_nobodys_registry_is_found_by_its_bare_name(tmp_path, add):
    add("a", "FROM scratch\n", image="localhost/a:latest")
    add("b", "FROM a\n")
    selection = Project.open(tmp_path).select()
    assert selection.plan.parents["b"] == ("a",)
    assert selection.plan.target("a").images == ("localhost/a:latest", "a:latest")


def test_the_label_has_the_spec(tmp_path, add):
    add("a", "FROM scratch\n")
    (target,) = Project.open(tmp_path).select().targets
    project = Project.open(tmp_path)
    spec = labels.decode_spec(target.labels[labels.SPEC], target.image)
    assert spec == project.catalog.operators["a"].spec


def test_the_image_of_a_command_has_its_spec(tmp_path, add):
    command = {"arguments": ["sort", {"when": "meta", "arguments": ["-r"]}]}
    for name, copied in (("named", "COPY ./operator.json /app/operator.json"), ("whole", "COPY . /app/")):
        add(name, f"FROM scratch\n{copied}\n", run=False, command=command)
    targets = Project.open(tmp_path).select().targets
    assert [target.name for target in targets] == ["named", "whole"]
    spec = labels.decode_spec(targets[0].labels[labels.SPEC], targets[0].image)
    assert spec.command.arguments[1].when == "meta"
    add("without", "FROM scratch\nCOPY ./run.py /app/run.py\n", command=command)
    [problem] = problems(tmp_path)
    assert problem.endswith("it does not copy operator.json, where the command stands; " + HINT)


HINT = "add: COPY ./operator.json /app/operator.json"


def test_everything_that_is_wrong_is_told_at_once(tmp_path, add):
    add("no-containerfile")
    add("no-from", "RUN true\n")
    add("no-name", "FROM scratch\n", image="Not A Name")
    add("digest", "FROM scratch\n", image="ghcr.io/tests/digest@sha256:" + "0" * 64)
    told = problems(tmp_path)
    assert len(told) == 4
    assert "no-containerfile: it has a run.py and no Containerfile; make one: FROM" in told[1]
    assert "no-from/Containerfile: it has no FROM; its first line says" in told[2]
    assert "no-name/operator.json: $.image: 'Not A Name' is not the name of an image" in told[3]
    assert "digest/operator.json: $.image: an image that is built here has no digest" in told[0]


def test_what_is_wrong_with_others_does_not_matter(tmp_path, add):
    add("no-containerfile")
    add("round", "FROM ghcr.io/tests/round\n")
    (add("broken", "FROM scratch\n") / "operator.json").write_text("{")
    add("good", "FROM scratch\n")
    assert names(Project.open(tmp_path).select(["good"]).targets) == ["good"]
    assert problems(tmp_path, "broken")
    assert len(problems(tmp_path)) == 1  # the specs first


@pytest.mark.parametrize(
    ("files", "way"),
    [
        ({"a": "FROM ghcr.io/tests/b\n", "b": "FROM ghcr.io/tests/a\n"}, "in a circle: a -> b -> a"),
        ({"a": "FROM ghcr.io/tests/a\n"}, "its Containerfile builds on a itself"),
        (
            {
                "a": "FROM ghcr.io/tests/b\n",
                "b": "FROM scratch\nCOPY --from=ghcr.io/tests/c / /\n",
                "c": "FROM ghcr.io/tests/a\n",
            },
            "in a circle: a -> b -> c -> a",
        ),
    ],
)
def test_a_circle_of_containerfiles(tmp_path, add, files, way):
    for name, text in files.items():
        add(name, text)
    (told,) = problems(tmp_path)
    assert way in told and "let one of them build on something else" in told


def test_two_operators_with_one_image(tmp_path, add):
    add("a", "FROM scratch\n", image="ghcr.io/tests/same")
    add("b", "FROM scratch\n", image="ghcr.io/tests/same:latest")
    (told,) = problems(tmp_path)
    assert told.endswith(
        f"operators/b/operator.json: $.image: the image ghcr.io/tests/same:latest is also that of "
        f"{tmp_path}/operators/a; give one of them another name"
    )


def test_an_operator_that_is_called_like_a_base_image(tmp_path, add):
    (tmp_path / "base-images" / "operator").mkdir(parents=True)
    (tmp_path / "base-images" / "operator" / "Containerfile").write_text("FROM scratch\n")
    add("operator", "FROM scratch\n")
    (told,) = problems(tmp_path)
    assert "the name 'operator' is also that of" in told and "rename one of the folders" in told


def test_base_images_come_first_and_are_asked_for_only_when_they_are_wanted(tmp_path, add):
    for name, text in {"operator": "FROM scratch\n", "library": "FROM ghcr.io/nersc/interactem/operator\n"}.items():
        (tmp_path / "base-images" / name).mkdir(parents=True)
        (tmp_path / "base-images" / name / "Containerfile").write_text(text)
    add("bare", "FROM operator\n")
    add("full", "FROM ghcr.io/nersc/interactem/library\n")
    project = Project.open(tmp_path)
    plain = project.select()
    assert names(plain.plan.targets) == ["operator", "library", "bare", "full"]
    assert plain.asked == {"bare", "full"} == plain.chosen
    assert project.select(bases=True).asked == {"operator", "library", "bare", "full"}
    assert project.select(["library"]).asked == {"library"}
    assert names(project.select(["bare"]).plan.targets) == ["operator", "bare"]


def test_the_inputs_of_an_image(tmp_path, add):
    folder = add("a", "FROM ghcr.io/tests/base\n")

    def inputs(base):
        (target,) = Project.open(tmp_path).select().targets
        return inputs_hash(target, {"ghcr.io/tests/base": base})

    first = inputs("sha256:1")
    assert inputs("sha256:1") == first
    assert inputs("sha256:2") != first
    (folder / "run.py").write_text("# changed\n")
    changed = inputs("sha256:1")
    assert changed != first
    spec = json.loads((folder / "operator.json").read_text())
    (folder / ".dockerignore").write_text("operator.json\n")
    before = inputs("sha256:1")
    (folder / "operator.json").write_text(json.dumps({**spec, "label": "New"}))
    assert inputs("sha256:1") != before  # the label has the spec, whatever the build sees
