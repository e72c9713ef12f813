from __future__ import annotations

from pathlib import Path

import pytest

from interactem.engine.errors import DependencyError
from interactem.engine.requirements import hash_folder, read_requirements


def operator(root: Path, text: str, name: str = "count") -> Path:
    folder = root / "operators" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "requirements.txt").write_text(text)
    return folder


def library(root: Path, name: str = "lib") -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "the-{name}"\nversion = "1"\n')
    (folder / "module.py").write_text("x = 1\n")
    return folder


def test_without_a_file_there_is_nothing(tmp_path):
    requirements = read_requirements(tmp_path)
    assert (requirements.file, requirements.lines, requirements.folders) == (None, [], [])


def test_comments_and_continued_lines(tmp_path):
    folder = operator(tmp_path, "# all\n\nnumpy<2  # old\nscipy \\\n  >=1\nx @ git+https://host/x#egg=x\n")
    assert read_requirements(folder).lines == ["numpy<2", "scipy   >=1", "x @ git+https://host/x#egg=x"]


@pytest.mark.parametrize(
    "line",
    [
        "../../lib",
        "../../lib[extra]",
        "../../lib ; python_version > '3'",
        "the-lib @ {url}",
        "{url}",
        "file:../../lib",
        "-e ../../lib",
        "--editable=../../lib",
    ],
)
def test_a_folder_counts_with_its_contents(tmp_path, line):
    lib = library(tmp_path)
    folder = operator(tmp_path, line.format(url=lib.as_uri()) + "\n")
    before = read_requirements(folder)
    assert before.folders == [lib]
    assert before.packages == ["the-lib"]
    (lib / "module.py").write_text("x = 2\n")
    assert read_requirements(folder).lines != before.lines


def test_the_same_contents_are_the_same_from_everywhere(tmp_path):
    library(tmp_path)
    shallow = operator(tmp_path, "../../lib\nnumpy\n")
    deep = operator(tmp_path, "../../../lib # ours\nnumpy", name="group/other")
    assert read_requirements(shallow).lines == read_requirements(deep).lines


def test_files_that_a_file_names_count(tmp_path):
    folder = operator(tmp_path, "-r ../shared.txt\n--constraint=../pins.txt\n")
    (tmp_path / "operators" / "shared.txt").write_text("numpy\n-r more/deep.txt\n")
    (tmp_path / "operators" / "more").mkdir()
    (tmp_path / "operators" / "more" / "deep.txt").write_text("scipy\n-r deep.txt\n")
    (tmp_path / "operators" / "pins.txt").write_text("numpy==2.1\n")
    assert read_requirements(folder).lines == ["-r", "numpy", "-r", "scipy", "-r", "-c", "numpy==2.1"]


def test_an_archive_counts_with_its_contents(tmp_path):
    folder = operator(tmp_path, "./own-1-py3-none-any.whl")
    (folder / "own-1-py3-none-any.whl").write_bytes(b"one")
    before = read_requirements(folder).lines
    (folder / "own-1-py3-none-any.whl").write_bytes(b"two")
    assert read_requirements(folder).lines != before


@pytest.mark.parametrize("line", ["../../nowhere", "-r nowhere.txt", "-e ./nowhere", "file:///nowhere"])
def test_what_does_not_exist_is_said_with_its_place(tmp_path, line):
    folder = operator(tmp_path, f"numpy\n{line}\n")
    with pytest.raises(DependencyError, match=r"count: .*requirements.txt, line 2: there is no .*nowhere") as caught:
        read_requirements(folder)
    assert caught.value.operator == "count"


def test_what_tools_leave_in_a_folder_does_not_count(tmp_path):
    lib = library(tmp_path)
    before = hash_folder(lib)
    for leftover in ("__pycache__/m.pyc", "build/lib/module.py", "the_lib.egg-info/PKG-INFO", ".git/HEAD", "m.pyc"):
        file = lib / leftover
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    assert hash_folder(lib) == before
    (lib / "package" / "build").mkdir(parents=True)
    (lib / "package" / "build" / "real.py").write_text("x")
    assert hash_folder(lib) != before


def test_names_and_boundaries_count(tmp_path):
    lib = library(tmp_path)
    before = hash_folder(lib)
    (lib / "module.py").rename(lib / "other.py")
    assert hash_folder(lib) != before


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("-e /", "/ is no Python project"),
        ("./sub", "sub is no Python project"),
        ("file:///dev/zero", "/dev/zero is no Python project"),
        ("-r /dev/zero", "/dev/zero is no file"),
        ("-c sub", "sub is no file"),
    ],
)
def test_what_is_no_project_and_no_file_is_not_read(tmp_path, line, wrong):
    (tmp_path / "sub").mkdir()
    (tmp_path / "requirements.txt").write_text(f"numpy\n{line}\n")
    with pytest.raises(DependencyError, match=rf"requirements\.txt, line 2: .*{wrong}"):
        read_requirements(tmp_path)
