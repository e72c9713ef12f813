"""What a project has to bake: its base images and its operators, as they stand in its folders."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from interactem.engine.catalog import Catalog, CatalogOperator
from interactem.engine.images.base_targets import base_targets
from interactem.engine.images.plan import BakePlan, make_plan, needed
from interactem.engine.images.targets import Target, has_only_spec, operator_target
from interactem.spec import Problem, SpecError


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be done of a project.

    `chosen` are the targets that are meant by name, or all; `asked` those that are brought up to date: with `chosen`,
    the operators that they build on, and the base images where these are wanted; `plan` has those and all that they
    build on. `prebuilt` are the operators that are meant and have nothing but a spec.
    """

    plan: BakePlan
    chosen: frozenset[str]
    asked: frozenset[str]
    prebuilt: tuple[CatalogOperator, ...]

    @property
    def targets(self) -> list[Target]:
        return [target for target in self.plan.targets if target.name in self.chosen]


@dataclass(frozen=True, slots=True)
class Project:
    """The operators and base images in a folder."""

    root: Path
    catalog: Catalog
    bases: tuple[Target, ...]

    @classmethod
    def open(cls, root: Path, *, offline: bool = False, ca_bundle: Path | None = None) -> Project:
        """Raises `EngineError` and `SpecError` where the base images do not hold."""
        return cls(root, Catalog.scan(root), tuple(base_targets(root, offline=offline, ca_bundle=ca_bundle)))

    @property
    def names(self) -> list[str]:
        """What can be named: operators, broken ones too, and base images."""
        return sorted({*self.catalog.operators, *self.catalog.broken, *(base.name for base in self.bases)})

    def select(self, names: Collection[str] = (), *, bases: bool = False) -> Selection:
        """The targets that are named, or all; with `bases` all base images too.

        Raises `SpecError` with all that is wrong with what is meant; what is wrong with the rest does not matter.
        """
        chosen = set(names) or {*self.catalog.operators, *self.catalog.broken}
        self.catalog.check(chosen)
        meant, rest = _parted(self.catalog.operators.values(), chosen)
        prebuilt = tuple(operator for operator in meant if has_only_spec(operator.folder))
        targets = _targets([operator for operator in meant if operator not in prebuilt])
        named = [base for base in self.bases if bases or base.name in chosen]
        plan = make_plan(needed([*targets, *named], [*self.bases, *_valid_targets(rest)]))
        wanted = frozenset(target.name for target in (*targets, *named))
        asked = wanted | {target.name for target in plan.targets if target.kind == "operator"}
        return Selection(plan, wanted, asked, prebuilt)

    def all_targets(self) -> list[Target]:
        """The operators that can be built, whatever is wrong with others."""
        return _valid_targets(self.catalog.operators.values())


def _parted(
    operators: Iterable[CatalogOperator], chosen: Collection[str]
) -> tuple[list[CatalogOperator], list[CatalogOperator]]:
    every = list(operators)
    return [each for each in every if each.name in chosen], [each for each in every if each.name not in chosen]


def _targets(operators: Iterable[CatalogOperator]) -> list[Target]:
    found: list[Target] = []
    problems: list[Problem] = []
    for operator in operators:
        try:
            found.append(operator_target(operator))
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    return found


def _valid_targets(operators: Iterable[CatalogOperator]) -> list[Target]:
    found: list[Target] = []
    for operator in operators:
        if not has_only_spec(operator.folder):
            try:
                found.append(operator_target(operator))
            except SpecError:  # it is told when that one is baked
                continue
    return found
