"""The logger of an operator, under interactEM's path."""

from __future__ import annotations

import logging
from pathlib import Path

__all__ = ["get_logger"]

_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def get_logger(level: str | int = "INFO", log_file: str | Path | None = None) -> logging.Logger:
    """A logger whose lines come into the replica's log, from this level on; with `log_file`, into that file too."""
    logger = logging.getLogger("interactem.operator.run")  # what the runtime says of failures has a level of its own
    logger.setLevel(level.upper() if isinstance(level, str) else level)
    if log_file is not None and not _writes(logger, Path(log_file)):
        handler = logging.FileHandler(log_file, delay=True)
        handler.setFormatter(logging.Formatter(_FORMAT))
        logger.addHandler(handler)
    return logger


def _writes(logger: logging.Logger, file: Path) -> bool:
    files = [handler.baseFilename for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
    return str(file.absolute()) in files
