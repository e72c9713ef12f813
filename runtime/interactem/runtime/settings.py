"""What the environment tells a replica. Read once, at the start.

| variable | |
|---|---|
| `INTERACTEM_RUN` | id of the run |
| `INTERACTEM_OPERATOR` | index of the operator in the plan |
| `INTERACTEM_REPLICA` | index of this replica; default 0 |
| `INTERACTEM_BROKER` | the broker's address, such as `nats://127.0.0.1:4222` |
| `INTERACTEM_CREDENTIALS` | a file with the broker's user and password, as JSON; may be absent |
| `INTERACTEM_OUTPUTS` | the folder that sinks write to; default `outputs` |
| `INTERACTEM_DATA_DIRECTORY` | where mounts appear; default `/mnt` |
| `INTERACTEM_CONNECTIONS` | a file with the values of the operator's connections; may be absent |
| `INTERACTEM_WORK` | the folder for working folders; default the system's for temporary files |
| `INTERACTEM_PATH_MAPPING_RULES` | where files lie here that were named on another machine, as JSON; may be absent |
| `INTERACTEM_SLOT` | the crash slot's file; may be absent |
| `INTERACTEM_ARENAS` | the folder with the arenas of the run; absent where there is no shared memory |
| `INTERACTEM_PARENT` | the process to die with; may be absent |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from interactem.runtime.connections import Address
from interactem.runtime.errors import PathMappingError, SettingsError
from interactem.runtime.path_mapping import VARIABLE, PathRule, rules_in


@dataclass(frozen=True, slots=True)
class Settings:
    run: str
    operator: int
    address: Address
    replica: int = 0
    outputs: Path = Path("outputs")
    slot: Path | None = None
    parent: int | None = None
    connections: Path | None = None
    work: Path | None = None
    path_rules: tuple[PathRule, ...] = ()
    arenas: Path | None = None

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Raises `SettingsError` that names every variable which is missing or wrong."""
        wrong: list[str] = []

        def text(name: str) -> str:
            value = environment.get(f"INTERACTEM_{name}", "")
            if not value:
                wrong.append(f"INTERACTEM_{name} is not set")
            return value

        def number(name: str, default: int | None) -> int:
            value = environment.get(f"INTERACTEM_{name}", "" if default is None else str(default))
            if not value.isdecimal():
                wrong.append(f"INTERACTEM_{name} must be a whole number from 0, not {value!r}")
                return 0
            return int(value)

        def path(name: str) -> Path | None:
            value = environment.get(f"INTERACTEM_{name}")
            return Path(value) if value else None

        def rules() -> tuple[PathRule, ...]:
            try:
                return rules_in(environment)
            except PathMappingError as error:
                wrong.append(f"{VARIABLE}: {'; '.join(error.problems)}")
                return ()

        settings = cls(
            run=text("RUN"),
            operator=number("OPERATOR", None),
            replica=number("REPLICA", 0),
            address=Address(text("BROKER"), path("CREDENTIALS")),
            outputs=path("OUTPUTS") or Path("outputs"),
            slot=path("SLOT"),
            connections=path("CONNECTIONS"),
            work=path("WORK"),
            path_rules=rules(),
            arenas=path("ARENAS"),
            parent=number("PARENT", 0) or None,
        )
        if wrong:
            raise SettingsError("; ".join(wrong))
        return settings
