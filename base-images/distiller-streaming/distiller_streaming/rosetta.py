"""Reading a file with RosettaSciIO, lazily."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distiller_streaming.errors import ScanFileError

Dataset = dict[str, Any]

INSTALL = 'pip install "rosettasciio[blockfile,hdf5]>=0.15"'


def read(path: Path, chunk_bytes: int) -> tuple[Any, str]:
    """The file's array (mostly a dask array), its scan axes first, and a remark on what is unusual about it, or "".

    Of several datasets in the file, it is the first one with the most axes. Raises `ScanFileError`.
    """
    failures: list[str] = []
    for name, api in _plugins(path):
        try:
            reader = importlib.import_module(api).file_reader
        except ImportError as error:
            failures.append(f"{name}: {error}, which this format needs; install it beside RosettaSciIO")
            continue
        try:
            dataset = _open(path, reader, chunk_bytes)
        except Exception as error:  # a reader raises whatever a foreign or damaged file makes it stumble over
            failures.append(f"{name}: {type(error).__name__}: {error}")
        else:
            return _scan_axes_first(path, dataset), _remark(dataset)
    said = "; ".join(failures)
    raise ScanFileError(path, f"cannot be read: it is damaged, or not what its name says. RosettaSciIO says: {said}")


def _plugins(path: Path) -> list[tuple[str, str]]:
    """Name and module of each reader that claims the file's suffix."""
    try:
        plugins = importlib.import_module("rsciio").IO_PLUGINS
    except ImportError as error:
        raise ScanFileError(path, f"reading this format needs RosettaSciIO: {INSTALL}") from error
    suffix = path.suffix.lower().removeprefix(".")
    found = [(p["name"], p["api"]) for p in plugins if suffix in {e.lower() for e in p["file_extensions"]}]
    if not found:
        raise ScanFileError(
            path,
            f"no reader knows files that end in {path.suffix or 'nothing'!r}; what is read is .npy and RosettaSciIO's "
            "formats, such as .mib, .blo, .hspy, .mrc, .emd, .dm4",
        )
    return found


def _open(path: Path, reader: Callable[..., list[Dataset]], chunk_bytes: int) -> Dataset:
    """The dataset with the most axes, in chunks of about `chunk_bytes`, which do not cut frames where that can be."""
    config = importlib.import_module("dask.config")
    with config.set({"array.chunk-size": chunk_bytes}):
        datasets = reader(str(path), lazy=True)
        index = max(range(len(datasets)), key=lambda i: (datasets[i]["data"].ndim, -i))
        chunks = _chunks(datasets[index], chunk_bytes)
        if chunks is not None and "chunks" in inspect.signature(reader).parameters:
            datasets = reader(str(path), lazy=True, chunks=chunks)
        return datasets[index]


def _navigates(dataset: Dataset) -> list[bool]:
    axes = dataset.get("axes", [])
    flags = [bool(axis.get("navigate")) for axis in axes]
    # some readers do not say which axes are the scan's
    return flags if any(flags) and len(flags) == dataset["data"].ndim else []


def _chunks(dataset: Dataset, chunk_bytes: int) -> tuple[int, ...] | None:
    """Chunks of whole frames along scan rows, which is how they are read; None where the axes are in another order."""
    shape = dataset["data"].shape
    if len(shape) != 4 or _navigates(dataset) not in ([], [True, True, False, False]):
        return None
    fit = max(1, chunk_bytes // max(1, math.prod(shape[2:]) * dataset["data"].dtype.itemsize))
    rows = max(1, min(shape[0], fit // max(1, shape[1])))
    return rows, min(shape[1], fit), shape[2], shape[3]


def _scan_axes_first(path: Path, dataset: Dataset) -> Any:
    data, navigates = dataset["data"], _navigates(dataset)
    if not navigates:
        return data
    signal = navigates.count(False)
    if signal != 2:
        raise ScanFileError(
            path, f"its data of shape {tuple(data.shape)} are not frames: they have {signal} signal axes"
        )
    order = sorted(range(data.ndim), key=lambda axis: not navigates[axis])
    return data.transpose(order) if order != list(range(data.ndim)) else data


def _remark(dataset: Dataset) -> str:
    """Merlin's .hdr says how many frames were meant to be taken."""
    header = dataset.get("original_metadata", {}).get("hdr_file")
    if not isinstance(header, dict):
        return ""
    planned = int(header.get("Frames in Acquisition (Number)", 0))
    found = math.prod(dataset["data"].shape[:-2])
    if found >= planned:
        return ""
    return f"{found} of {planned} frames are in whole scan rows: the acquisition was interrupted, or the file cut off"
