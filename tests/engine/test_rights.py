"""RUN lines on top of our images are done by root, as published Containerfiles expect; what runs has no rights."""

from __future__ import annotations

import pytest

from interactem.engine.images.rights import run_as_root

BASES = ("ghcr.io/nersc/interactem/operator", "operator")


def test_the_user_is_as_it_was_behind_the_last_run():
    text = "FROM operator\n# tools\nRUN apt-get update && \\\n  apt-get install git\nRUN pip install x\n"
    text += "COPY run.py /app/\n"
    assert run_as_root(text, BASES) == (
        "FROM operator\n# tools\nUSER 0:0\nRUN apt-get update && \\\n  apt-get install git\nRUN pip install x\n"
        "USER 65532:65532\nCOPY run.py /app/\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "FROM ghcr.io/nersc/interactem/operator\nCOPY ./run.py /app/run.py\n",
        "FROM operator\nUSER root\nRUN mkdir /output\n",
        "FROM debian\nRUN mkdir /output\n",
        "FROM other.io/operator\nRUN mkdir /output\n",
        "FROM operator\nLABEL run=1\n# RUN nothing\n",
    ],
)
def test_what_needs_no_change_has_none(text):
    assert run_as_root(text, BASES) == text


def test_names_may_have_tags_and_the_file_no_end_of_line():
    text = "FROM --platform=linux/amd64 operator:latest\nrun pip install x"
    assert run_as_root(text, BASES).splitlines()[1:] == ["USER 0:0", "run pip install x", "USER 65532:65532"]


@pytest.mark.parametrize("name", ["$BASE", "${BASE}", "${OTHER:-operator}"])
def test_the_image_may_stand_in_an_argument(name):
    text = f'ARG BASE="operator"\nFROM {name}\nRUN mkdir /output\n'
    assert run_as_root(text, BASES).splitlines()[2:] == ["USER 0:0", "RUN mkdir /output", "USER 65532:65532"]


def test_each_stage_counts_for_itself():
    text = "FROM gcc AS built\nRUN make\nFROM operator AS tools\nRUN one\n"
    text += "FROM operator\nCOPY --from=built /x /x\nRUN two\n"
    assert run_as_root(text, BASES).splitlines() == [
        "FROM gcc AS built",
        "RUN make",
        "FROM operator AS tools",
        "USER 0:0",
        "RUN one",
        "USER 65532:65532",
        "FROM operator",
        "COPY --from=built /x /x",
        "USER 0:0",
        "RUN two",
        "USER 65532:65532",
    ]


def test_what_a_here_document_holds_is_left_alone():
    text = "FROM operator\nRUN <<EOF\nUSER me\nRUN fast\nEOF\nCOPY run.py /app/run.py\n"
    assert run_as_root(text, BASES) == text.replace("RUN <<", "USER 0:0\nRUN <<").replace(
        "COPY", "USER 65532:65532\nCOPY"
    )
