"""The environment of those references whose packages interactem itself does not need. Made when first asked for."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from bench.programs import ProgramError, last_lines

MINUTES = 15


class Environment:
    """A virtual environment in `folder` that holds what `lock` names, hashes checked, and nothing else."""

    def __init__(self, folder: Path, lock: Path) -> None:
        self.folder = folder
        self._lock = lock
        self._failure: ProgramError | None = None

    def python(self) -> Path:
        """Its interpreter. Raises `ProgramError` where it cannot be made; that is tried once."""
        if self._failure is not None:
            raise self._failure
        wanted, made = hashlib.sha256(self._lock.read_bytes()).hexdigest(), self.folder / "made"
        if not made.is_file() or made.read_text() != wanted:
            try:
                self._make()
            except ProgramError as error:
                self._failure = error
                raise
            made.write_text(wanted)
        return self.folder / "bin" / "python"

    def _make(self) -> None:
        self._uv("venv", "--quiet", "--clear", "--python", sys.executable, str(self.folder))
        python = str(self.folder / "bin" / "python")
        self._uv("pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", str(self._lock))

    def _uv(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "uv", *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=MINUTES * 60)
        except subprocess.TimeoutExpired:
            raise ProgramError(command, f"did not end within {MINUTES} minutes", "") from None
        if done.returncode:
            raise ProgramError(command, f"ended with {done.returncode}", last_lines(done.stderr))
