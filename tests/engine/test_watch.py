import asyncio
import os

import pytest

from interactem.engine import watch
from interactem.engine.watch import Watch, check_syntax


class Heard:
    def __init__(self):
        self.changed, self.refused = asyncio.Queue(), asyncio.Queue()

    def refuse(self, name, error):
        self.refused.put_nowait((name, error))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "operators" / "scale"
    (folder / "tests").mkdir(parents=True)
    (folder / "run.py").write_text("FACTOR = 1\n")
    (folder / "table.csv").write_text("1,2\n")
    return folder


def run(tmp_path, folder, scenario):
    async def watched():
        programs, heard = {}, Heard()
        one = Watch(
            {"scale": folder, "prebuilt": tmp_path},
            tmp_path / "code",
            programs,
            check=check_syntax,
            changed=heard.changed.put_nowait,
            refused=heard.refuse,
        )
        one.begin()
        task = asyncio.create_task(one.run())
        try:
            async with asyncio.timeout(60):
                await scenario(programs, heard)
        finally:
            task.cancel()

    asyncio.run(watched())


def save_by_renaming(file, text):
    new = file.with_name("run.py.tmp")
    new.write_text(text)
    os.replace(new, file)


@pytest.mark.parametrize("save", [lambda file, text: file.write_text(text), save_by_renaming])
def test_new_code_is_taken_however_it_is_saved(tmp_path, folder, save):
    async def scenario(programs, heard):
        first = programs["scale"]
        assert first.read_text() == "FACTOR = 1\n"
        save(folder / "run.py", "FACTOR = 2\n")
        assert await heard.changed.get() == "scale"
        assert programs["scale"].read_text() == "FACTOR = 2\n"
        assert first.read_text() == "FACTOR = 1\n"  # a replica may still be starting from it

    run(tmp_path, folder, scenario)


def test_the_old_code_goes_on_until_the_new_one_holds(tmp_path, folder):
    async def scenario(programs, heard):
        first = programs["scale"]
        (folder / "run.py").write_text("FACTOR = \n")
        name, error = await heard.refused.get()
        assert name == "scale"
        assert error == f"{folder / 'run.py'}, line 1: invalid syntax"
        assert programs["scale"] == first
        (folder / "run.py").write_text("FACTOR = 3\n")
        await heard.changed.get()
        assert programs["scale"].read_text() == "FACTOR = 3\n"

    run(tmp_path, folder, scenario)


def test_a_file_that_is_gone_for_a_while_is_waited_for(tmp_path, folder):
    async def scenario(programs, heard):
        (folder / "run.py").unlink()
        await asyncio.sleep(3 * watch.POLL_SECONDS)
        (folder / "run.py").write_text("FACTOR = 4\n")
        await heard.changed.get()
        assert heard.refused.empty()

    run(tmp_path, folder, scenario)


def test_what_lies_beside_it_is_found_beside_the_copy(tmp_path, folder):
    async def scenario(programs, heard):
        copy = programs["scale"].parent
        assert (copy / "table.csv").read_text() == "1,2\n"
        assert not (copy / "tests").exists()

    run(tmp_path, folder, scenario)


def test_operators_without_a_program_are_left_alone(tmp_path, folder):
    async def scenario(programs, heard):
        assert list(programs) == ["scale"]

    run(tmp_path, folder, scenario)


def test_bytes_that_are_no_source_are_refused(tmp_path, folder):
    (folder / "run.py").write_bytes(b"a = '\0'\n")
    assert "null bytes" in asyncio.run(check_syntax("scale", folder))
