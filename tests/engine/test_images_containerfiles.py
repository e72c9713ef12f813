from __future__ import annotations

import pytest

from interactem.engine.images.containerfiles import ContainerfileError, referenced_images


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM operator\nCOPY ./run.py /app/run.py\n", ("operator",)),
        ("# a comment\n\nfrom operator\n", ("operator",)),
        ("\ufeffFROM operator", ("operator",)),
        (
            "FROM --platform=linux/amd64 ghcr.io/a/b:1 AS build\nFROM scratch\nCOPY --from=build /x /y\n",
            ("ghcr.io/a/b:1",),
        ),
        ("FROM a AS One\nFROM one\nCOPY --from=0 /x /y\nCOPY --from=ONE /x /y\n", ("a",)),
        ("FROM a\nCOPY --chown=1 --from=ghcr.io/c/d /x /y\n", ("a", "ghcr.io/c/d")),
        ("FROM a\nRUN --mount=type=bind,from=b,target=/b true\n", ("a", "b")),
        ("FROM a\nRUN --mount=type=secret,id=x true\n", ("a",)),
        ("ARG BASE=operator\nFROM $BASE\n", ("operator",)),
        ("ARG R=ghcr.io/x\nARG BASE=${R}/operator\nFROM ${BASE}:${TAG:-latest}\n", ("ghcr.io/x/operator:latest",)),
        ("ARG A=\nFROM x${A:+-a}\n", ("x",)),
        ("FROM \\\n  operator\n", ("operator",)),
        ("# escape=`\nFROM `\n  operator\n", ("operator",)),
        ("FROM a\nRUN <<EOF\nFROM b\nEOF\nCOPY --from=c /x /y\n", ("a", "c")),
        ("FROM a\nRUN echo $((1 <<2))\nCOPY --from=c /x /y\n", ("a", "c")),
        ("FROM a\nRUN echo FROM b \\\n# a comment between\n  && true\n", ("a",)),
        ("FROM a\nFROM a\n", ("a",)),
        ("FROM scratch\n", ()),
    ],
)
def test_the_images_that_a_containerfile_names(text, images):
    assert referenced_images(text) == images


def test_build_arguments_win_over_defaults():
    assert referenced_images("ARG BASE=a\nFROM $BASE\n", {"BASE": "b"}) == ("b",)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 0, "it has no FROM"),
        ("RUN true\n", 0, "it has no FROM"),
        ("\nFROM\n", 2, "'FROM' names no image"),
        ("ARG BASE\nFROM $BASE\n", 2, "'FROM $BASE' names no image"),
    ],
)
def test_what_no_engine_could_build(text, line, message):
    with pytest.raises(ContainerfileError) as caught:
        referenced_images(text)
    assert (caught.value.line, caught.value.message) == (line, message)
    assert caught.value.hint
