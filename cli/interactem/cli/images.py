"""`interactem operator build`, `push` and `pull`: operators as images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from interactem.cli import completion
from interactem.cli.output import AsJson

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", help="The operators. (default: all)", autocompletion=completion.operator_names),
]
EngineOption = Annotated[
    Literal["docker", "podman"] | None,
    typer.Option(help="The container engine. (default: docker where it can build, else podman)"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Registry = Annotated[
    str | None,
    typer.Option(metavar="HOST[/PATH]", help="A registry in place of the one in the image's name."),
]


def add_to(app: typer.Typer) -> None:
    """The commands, as commands of `interactem operator`."""
    app.command("build")(build)
    app.command("push")(push)
    app.command("pull")(pull)


def build(
    names: Names = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--target", metavar="NAME", help="An operator; repeat for more.", autocompletion=completion.operator_names
        ),
    ] = None,
    build_base: Annotated[
        bool, typer.Option("--build-base", help="Bring the base images up to date too; missing ones are built anyway.")
    ] = False,
    push_local: Annotated[
        bool, typer.Option("--push-local", help="Push to the local registry, as localhost:5001/IMAGE.")
    ] = False,
    pull_local: Annotated[
        bool,
        typer.Option(
            "--pull-local", help="Pull from the local registry into podman. Alone, it builds nothing and only pulls."
        ),
    ] = False,
    push_remote: Annotated[
        bool, typer.Option("--push-remote", help="Push to the registry in the image's name, or to --registry.")
    ] = False,
    registry: Registry = None,
    dry_run: DryRun = False,
    engine: EngineOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Make the base images from Debian packages: no image registry is needed.")
    ] = False,
    ca_bundle: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificates that images trust, as PEM. (default: those that pip trusts)"),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Build the operators' images, each from its folder's Containerfile. ./bake is short for it.

    What has not changed is not built again. Base images that are missing are built first.

    An operator whose folder has nothing but operator.json runs from an image that others have built.

    \b
    Examples:
      ./bake                              build all operators
      ./bake --target error               build one
      ./bake --push-local --pull-local    build with docker, run with podman
      ./bake --build-base --offline       base images without an image registry
      ./bake --push-remote --registry ghcr.io/you
    """
    from interactem.cli.baking import Request, bake

    request = Request(
        names=tuple(dict.fromkeys([*(names or ()), *(targets or ())])),
        build=not pull_local or build_base or push_local or push_remote,
        bases=build_base,
        push_local=push_local,
        pull_local=pull_local,
        push_remote=push_remote,
        registry=registry,
        dry_run=dry_run,
        engine=engine,
        offline=offline,
        ca_bundle=ca_bundle,
    )
    return bake(request, as_json=as_json)


def push(
    names: Names = None,
    registry: Registry = None,
    remote: Annotated[bool, typer.Option("--remote", help="To the registry in the image's name.")] = False,
    dry_run: DryRun = False,
    engine: EngineOption = None,
    as_json: AsJson = False,
) -> int:
    """Push images that are built: to the local registry, unless --remote or --registry says otherwise.

    \b
    Examples:
      interactem operator push                  to localhost:5001, as localhost:5001/IMAGE
      interactem operator push error --registry ghcr.io/you
    """
    from interactem.cli.baking import Request, bake

    far = remote or registry is not None
    request = Request(
        names=tuple(names or ()),
        push_local=not far,
        push_remote=far,
        registry=registry,
        dry_run=dry_run,
        engine=engine,
    )
    return bake(request, as_json=as_json)


def pull(
    names: Names = None,
    registry: Registry = None,
    remote: Annotated[bool, typer.Option("--remote", help="From the registry in the image's name.")] = False,
    dry_run: DryRun = False,
    engine: Annotated[Literal["docker", "podman"], typer.Option(help="The container engine.")] = "podman",
    as_json: AsJson = False,
) -> int:
    """Pull images, from the local registry unless --remote or --registry says otherwise, under the specs' names.

    \b
    Examples:
      interactem operator pull                  from localhost:5001 into podman
      interactem operator pull error --remote
    """
    from interactem.cli.baking import Request, bake

    far = remote or registry is not None
    request = Request(
        names=tuple(names or ()),
        pull_local=not far,
        pull_remote=far,
        registry=registry,
        dry_run=dry_run,
        puller=engine,
    )
    return bake(request, as_json=as_json)
