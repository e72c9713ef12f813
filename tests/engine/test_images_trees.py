from __future__ import annotations

import os

from interactem.engine.images.trees import settle


def test_files_have_times_that_only_their_content_decides(tmp_path):
    for folder, text in (("one", "x = 1\n"), ("two", "x = 2\n"), ("like-one", "x = 1\n")):
        (tmp_path / folder / "sub").mkdir(parents=True)
        (tmp_path / folder / "sub" / "run.py").write_text(text)
        os.utime(tmp_path / folder / "sub" / "run.py", (len(folder), len(folder)))
        settle(tmp_path / folder)

    def times(folder):
        return [os.stat(tmp_path / folder / name).st_mtime for name in (".", "sub", "sub/run.py")]

    assert times("one") == times("like-one")
    assert times("one")[:2] == times("two")[:2]
    assert times("one")[2] != times("two")[2]
