"""The files of a list are packed in stages, and their checksums kept, while replicas are killed."""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
import sqlite3
from contextlib import closing

import pytest


@pytest.mark.broker
def test_files_are_packed_whole_whoever_is_killed(project, root):
    for name in ("line-reader", "file-pack", "record-save", "message-save"):
        shutil.copytree(root / "operators" / name, project.path / "operators" / name)
    shutil.copy(root / "pipelines" / "archive.json", project.path)
    files = project.path / "files"
    (files / "below").mkdir(parents=True)
    content = {f"below/{number}.bin": bytes([number]) * 200_000 for number in range(60)}
    for name, data in content.items():
        (files / name).write_bytes(data)
    (project.path / "list.txt").write_text("\n".join([*content, "nowhere"]) + "\n")
    run = project.start("archive.json", "--set", "list.file=list.txt", "--set", f"pack.folder={files}", "--allow-dead")
    packed = run.folder / "outputs" / "below"
    run.wait_for(lambda run: len(list(packed.glob("*.xz"))) > 3, "files to be packed")
    assert run.kill(run.replicas()["pack", 0])
    done = run.end()
    assert done.code == 0, done
    assert {f"below/{file.stem}": lzma.decompress(file.read_bytes()) for file in packed.glob("*.xz")} == content
    with closing(sqlite3.connect(run.folder / "outputs" / "index.sqlite")) as database:
        records = [json.loads(record) for (record,) in database.execute("SELECT record FROM records")]
    expected = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    assert {record["file"]: record["sha256"] for record in records} == expected
    [letter] = project.do("pipeline", "dead", "ls", "last", "--json").json
    assert "'nowhere' is no file in the folder" in letter["error"]
