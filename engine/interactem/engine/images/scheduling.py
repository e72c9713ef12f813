"""Work in order: each piece behind those that it needs, independent ones side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from interactem.engine.images.commands import Commands

SIDE_BY_SIDE = 2
"""How many builds run at once: each uses the processor and the disk fully."""

Result = TypeVar("Result")


def work_off(
    names: Iterable[str],
    needs: Mapping[str, Iterable[str]],
    work: Callable[[str, Mapping[str, Result]], Result],
    commands: Commands,
) -> dict[str, Result]:
    """The results of `work`, which gets a name and the results so far, those that it needs among them.

    There must be no circle in `needs`. Whatever interrupts it, or goes wrong in `work`, ends all `commands` first.
    """
    results: dict[str, Result] = {}
    waiting = list(names)
    running: dict[Future[Result], str] = {}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        try:
            while waiting or running:
                ready = [name for name in waiting if all(need in results for need in needs.get(name, ()))]
                for name in ready[: SIDE_BY_SIDE - len(running)]:
                    waiting.remove(name)
                    running[pool.submit(work, name, dict(results))] = name
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    results[running.pop(future)] = future.result()
        except BaseException:
            commands.cancel()
            raise
    return results
