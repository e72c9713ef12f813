"""Images of a run: names, what is found, pulled, pinned and locked, with an engine that exists in this test only."""

from __future__ import annotations

import asyncio

import pytest

from interactem.engine.containers.engines import Image
from interactem.engine.containers.errors import EngineRefusal, MissingImageError
from interactem.engine.containers.pulling import find_pinned, locked_images, pin_images
from interactem.engine.containers.references import digest_of, is_local, registry, split_reference, with_algorithm
from interactem.engine.images import labels
from interactem.engine.plan import PinnedImage
from interactem.runtime.assignment import VERSION


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("frames", ("frames", "latest")),
        ("frames:1.2", ("frames", "1.2")),
        ("localhost:5001/frames", ("localhost:5001/frames", "latest")),
        ("localhost:5001/frames:1", ("localhost:5001/frames", "1")),
        ("ghcr.io/a/frames@sha256:12", ("ghcr.io/a/frames", "sha256:12")),
        ("ghcr.io/a/frames:1@sha256:12", ("ghcr.io/a/frames", "sha256:12")),
    ],
)
def test_names_of_images(reference, expected):
    assert split_reference(reference) == expected


@pytest.mark.parametrize(
    ("reference", "host", "local"),
    [
        ("frames", "docker.io", False),
        ("user/frames", "docker.io", False),
        ("ghcr.io/a/frames", "ghcr.io", False),
        ("localhost/frames", "localhost", True),
        ("localhost:5001/frames", "localhost:5001", True),
        ("127.0.0.1:5001/frames", "127.0.0.1:5001", True),
        ("localhosted.example/frames", "localhosted.example", False),
    ],
)
def test_registries(reference, host, local):
    assert registry(reference) == host
    assert is_local(reference) is local


def test_ids_and_digests():
    assert with_algorithm("ab12") == with_algorithm("sha256:ab12") == "sha256:ab12"
    digests = ("localhost:5001/frames@sha256:1", "ghcr.io/a/frames@sha256:2")
    assert digest_of("ghcr.io/a/frames:latest", digests) == "ghcr.io/a/frames@sha256:2"
    assert digest_of("other", digests) == "localhost:5001/frames@sha256:1"
    assert digest_of("other", ()) == ""


class Store:
    """The part of an engine that has images. `registry` holds what can be pulled: an image, or why not."""

    name = "podman"

    def __init__(self, images=None, registry=None):
        self.images = images or {}
        self.registry = registry or {}
        self.pulled = []

    def image(self, reference):
        return self.images.get(reference)

    def pull(self, reference, progress):
        self.pulled.append(reference)
        found = self.registry.get(reference, EngineRefusal("podman", "manifest unknown"))
        if isinstance(found, EngineRefusal):
            raise found
        progress("downloaded 1 of 2 MB")
        self.images[reference] = self.images[found.id] = found


FRAMES = Image("sha256:f", ("ghcr.io/a/frames@sha256:1",))
COUNT = Image("sha256:c")


def pin(store, names):
    told = []
    found = asyncio.run(pin_images(store, names, lambda operator, text: told.append((operator, text))))
    return found, told


def test_an_image_with_an_older_interactem_inside_is_refused():
    images = {str(n): Image(f"sha256:{n}", labels={labels.ASSIGNMENTS: str(VERSION + n)}) for n in (-1, 0, 1)}
    with pytest.raises(MissingImageError) as raised:
        pin(Store(images), {f"operator{n}": n for n in images})
    [problem] = raised.value.problems
    assert problem == (
        "operator-1: the interactem in its image -1 is older than this one, and would not understand it; "
        "build it again: interactem operator build operator-1 --build-base --engine podman"
    )
    old = images["-1"]
    store = Store({old.id: old})
    with pytest.raises(MissingImageError, match="build it again"):
        asyncio.run(find_pinned(store, {"a": PinnedImage("a:1", old.id)}, lambda operator, text: None))


def test_images_that_are_there_are_pinned_without_a_word():
    store = Store({"ghcr.io/a/frames": FRAMES, "count": COUNT})
    found, told = pin(store, {"frames": "ghcr.io/a/frames", "count": "count"})
    assert found == {
        "frames": PinnedImage("ghcr.io/a/frames", "sha256:f", "ghcr.io/a/frames@sha256:1"),
        "count": PinnedImage("count", "sha256:c", ""),
    }
    assert told == store.pulled == []


def test_missing_images_are_pulled_with_progress():
    store = Store(registry={"ghcr.io/a/frames": FRAMES})
    found, told = pin(store, {"frames": "ghcr.io/a/frames"})
    assert found["frames"].id == "sha256:f"
    assert told == [
        ("frames", "pulling ghcr.io/a/frames"),
        ("frames", "ghcr.io/a/frames: downloaded 1 of 2 MB"),
    ]


def test_all_images_that_cannot_be_had_are_told_at_once():
    down = EngineRefusal("podman", 'pinging: Get "http://localhost:5001/v2/": connection refused')
    store = Store({"plot": COUNT}, registry={"localhost:5001/count": down})
    with pytest.raises(MissingImageError) as caught:
        pin(store, {"frames": "ghcr.io/a/frames", "count": "localhost:5001/count", "plot": "plot"})
    frames, count = sorted(caught.value.problems, reverse=True)
    assert frames.startswith("frames: its image ghcr.io/a/frames is not in podman, and its registry ghcr.io does not")
    assert "interactem operator build frames --engine podman" in frames
    assert "its registry localhost:5001 cannot be reached" in count
    assert "connection refused" in count


def find(store, pinned):
    return asyncio.run(find_pinned(store, pinned, lambda operator, text: None))


def test_locked_images_are_found_by_what_they_are_not_by_their_name():
    store = Store({"sha256:f": FRAMES, "ghcr.io/a/frames": COUNT})
    pinned = {"frames": PinnedImage("ghcr.io/a/frames", "sha256:f")}
    assert find(store, pinned) == pinned
    assert store.pulled == []


def test_a_locked_image_that_is_gone_is_pulled_by_its_digest():
    store = Store(registry={"ghcr.io/a/frames@sha256:1": FRAMES})
    find(store, {"frames": PinnedImage("ghcr.io/a/frames", "sha256:f", "ghcr.io/a/frames@sha256:1")})
    assert store.pulled == ["ghcr.io/a/frames@sha256:1"]


def test_a_locked_image_that_was_never_in_a_registry_and_is_gone():
    with pytest.raises(MissingImageError, match=r"frames: its image frames \(sha256:f\) is not in podman any more"):
        find(Store(), {"frames": PinnedImage("frames", "sha256:f")})


def test_what_a_digest_gives_must_be_the_locked_image():
    store = Store(registry={"frames@sha256:1": COUNT})
    with pytest.raises(MissingImageError, match="is sha256:c in podman, not sha256:f"):
        find(store, {"frames": PinnedImage("frames", "sha256:f", "frames@sha256:1")})


def test_a_plan_that_does_not_know_an_operator_locks_nothing():
    known = {"frames": PinnedImage("frames", "sha256:f")}
    assert locked_images(["frames"], known, "plan.json") == known
    with pytest.raises(
        MissingImageError, match=r"plan\.json does not say which image count is run from; it has frames"
    ):
        locked_images(["frames", "count"], known, "plan.json")
