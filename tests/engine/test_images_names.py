from __future__ import annotations

import pytest

from interactem.engine.images.names import ImageName, same_image

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "registry", "path", "tag", "digest"),
    [
        ("operator", "", "operator", "latest", ""),
        ("python:3.12-slim-bookworm", "", "python", "3.12-slim-bookworm", ""),
        ("you/operator", "", "you/operator", "latest", ""),
        ("ghcr.io/nersc/interactem/operator", "ghcr.io", "nersc/interactem/operator", "latest", ""),
        ("localhost/shout:latest", "localhost", "shout", "latest", ""),
        ("localhost:5001/a/b:1", "localhost:5001", "a/b", "1", ""),
        ("[::1]:5001/a", "[::1]:5001", "a", "latest", ""),
        (f"ghcr.io/a/b@{DIGEST}", "ghcr.io", "a/b", "latest", DIGEST),
    ],
)
def test_the_parts_of_a_name(text, registry, path, tag, digest):
    assert ImageName.parse(text) == ImageName(registry, path, tag, digest)


@pytest.mark.parametrize("text", ["", "Upper/case", ".x", "-x", "x:", "x:a b", "a//b", "ghcr.io/", "x@sha256:12"])
def test_what_is_no_name(text):
    with pytest.raises(ValueError, match="is not the name of an image"):
        ImageName.parse(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("operator", "operator:latest", True),
        ("operator", "localhost/operator", True),
        ("ghcr.io/a/operator", "ghcr.io/a/operator:latest", True),
        ("operator", "ghcr.io/nersc/interactem/operator", False),
        ("operator:1", "operator", False),
        ("docker.io/library/operator", "operator", False),
        ("Not A Name", "Not A Name", True),
        ("Not A Name", "Another Name", False),
    ],
)
def test_names_of_one_image(one, other, same):
    assert same_image(one, other) is same


@pytest.mark.parametrize(
    ("image", "there"),
    [
        ("ghcr.io/nersc/interactem/error", "localhost:5001/ghcr.io/nersc/interactem/error:latest"),
        ("localhost/shout:2", "localhost:5001/shout:2"),
        ("shout", "localhost:5001/shout:latest"),
        ("registry.site:5000/a", "localhost:5001/registry.site-5000/a:latest"),
    ],
)
def test_the_name_in_the_local_registry(image, there):
    assert str(ImageName.parse(image).in_local_registry()) == there
    ImageName.parse(there)


@pytest.mark.parametrize(
    ("registry", "there"),
    [
        ("ghcr.io/you", "ghcr.io/you/error:latest"),
        ("registry.site:5000", "registry.site:5000/nersc/interactem/error:latest"),
        ("registry.site/", "registry.site/nersc/interactem/error:latest"),
    ],
)
def test_the_name_in_another_registry(registry, there):
    assert str(ImageName.parse("ghcr.io/nersc/interactem/error").in_registry(registry)) == there
