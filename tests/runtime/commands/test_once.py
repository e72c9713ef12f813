"""Commands that are started once for each message: what goes in, what comes out, and how they end."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import uuid

import numpy as np
import pytest

from interactem.runtime import BytesMessage, MessageHeader
from interactem.runtime.errors import CommandError, CommandTimeoutError, LoadError, PortError
from interactem.runtime.loading import load
from interactem.runtime.testing import Operator, call

linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


def given(data=b"", **meta):
    return BytesMessage(MessageHeader(meta=meta), data)


def test_data_goes_to_standard_input_and_comes_from_standard_output(make):
    (made,) = call(make(arguments=["sort"], environment={"LC_ALL": "C"}), given(b"b\na\n", number=3))
    assert (made.data, made.meta) == (b"a\nb\n", {"number": 3})


def test_what_was_said_of_the_data_is_not_said_of_the_result(make):
    (made,) = call(make(arguments=["cat"]), BytesMessage.from_array(np.arange(3), scan=1))
    assert made.meta == {"scan": 1}
    assert made.data == np.arange(3).tobytes()


def test_arguments_and_variables_are_templates(make):
    program = "import os, sys; print(sys.argv[1:], os.environ['KIND'], os.getcwd())"
    folder = make(
        program,
        arguments=[
            "{{ parameters.level + 1 }}",
            "",
            {"when": "parameters.fast", "arguments": ["-f", "{{ meta.items }}"]},
            {"when": "not parameters.fast", "arguments": ["-s"]},
            "{{ folder }}",
        ],
        environment={"KIND": "{{ meta['a b']|upper }}"},
        spec={"parameters": [{"name": "level", "type": "int", "default": 4}, {"name": "fast", "type": "bool"}]},
    )
    (made,) = call(folder, given(**{"a b": "x", "items": 2}), {"fast": True})
    text = made.data.decode()
    place = text.split()[-1]
    assert text.startswith(f"['5', '', '-f', '2', '{place}'] X {place}")
    assert not os.path.exists(place)


def test_data_in_a_file_and_results_from_files(make):
    program = """
import pathlib, sys
text = pathlib.Path(sys.argv[1]).read_text()
for word in text.split():
    pathlib.Path(word + ".out").write_text(word.upper())
pathlib.Path("out").mkdir()
pathlib.Path("out/deep.out").write_text("deep")
pathlib.Path("link.out").symlink_to("/etc/passwd")
"""
    folder = make(program, arguments=["{{ input }}"], input="file:{{ meta.name }}.out", output="files:**/*.out")
    made = call(folder, given(b"one two", name="in"))
    assert [(one.meta, bytes(one.data)) for one in made] == [
        ({"name": "in", "file": "one.out"}, b"ONE"),
        ({"name": "in", "file": "out/deep.out"}, b"deep"),
        ({"name": "in", "file": "two.out"}, b"TWO"),
    ]


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x", ""])
def test_an_input_file_stays_in_the_working_folder(make, name):
    with pytest.raises(CommandError, match=r"in the working folder; give a relative path"):
        call(make(arguments=["cat"], input="file:{{ meta.name }}"), given(name=name))


def test_no_file_is_an_error_that_tells_what_there_is(make):
    folder = make("open('other.txt', 'w')", output="files:*.png")
    with pytest.raises(CommandError, match=r"made no file '\*.png' in its working folder; there is: other.txt"):
        call(folder, given())


def test_a_source_is_run_once(make):
    folder = make(arguments=["seq", "3"], spec={"inputs": []})
    assert [made.data for made in call(folder)] == [b"1\n2\n3\n"]


def test_a_sink_writes_files_into_the_outputs(make, tmp_path, caplog):
    program = "import sys; open('a.txt', 'w').write(sys.stdin.read()); print('said')"
    caplog.set_level(logging.INFO)
    outputs = tmp_path / "outputs"
    assert call(make(program, output="files:*.txt", spec={"outputs": []}), given(b"text"), outputs=outputs) == []
    assert {path.name: path.read_text() for path in outputs.iterdir()} == {"a.txt": "text"}
    assert "said" in caplog.messages


def test_a_mount_is_in_the_data_directory(make, tmp_path):
    table = tmp_path / "table"
    table.write_text("from the host")
    folder = make(
        arguments=["cat", "{{ data }}/table"],
        spec={"parameters": [{"name": "table", "type": "mount", "required": True}]},
    )
    (made,) = call(folder, given(), mounts={"table": table})
    assert made.data == b"from the host"


# how it ends


def test_another_exit_code_than_0_is_a_failure_with_the_last_lines(make):
    program = "import sys\nfor n in range(50): print('line', n, file=sys.stderr)\nsys.exit(3)"
    with pytest.raises(CommandError) as raised:
        call(make(program), given())
    assert raised.value.code == 3
    assert "ended with exit code 3:\nline 40\n" in str(raised.value)
    assert str(raised.value).endswith("line 49")


def test_exit_codes_that_are_no_failure(make):
    (made,) = call(make(arguments=["grep", "x"], success_codes=[0, 1]), given(b"a"))
    assert made.data == b""


def test_a_signal_is_named(make):
    with pytest.raises(CommandError, match="ended with SIGSEGV"):
        call(make(arguments=["sh", "-c", "kill -SEGV $$"]), given())
    with pytest.raises(CommandError, match="ended with SIGKILL: somebody killed it, or the system did because memory"):
        call(make(arguments=["sh", "-c", "kill -KILL $$"]), given())


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("no-such-program", "there is no program 'no-such-program' on the PATH; install it"),
        ("/no/such/program", "there is no program /no/such/program"),
        ("/tmp", "is a folder, not a program"),
        ("{{ here }}/plain", "is not executable; use: chmod [+]x"),
        ("{{ here }}/lost", "is there what its first line, #!, names?"),
        ("{{ here }}/garbage", "is no program of this machine"),
        ("{{ here }}/nobody", "there is no program"),
        (
            "{{ meta.missing }}",
            r"\$.command.arguments\[0\] cannot be filled in: 'dict object' has no attribute 'missing'",
        ),
        ("{{ meta.empty }}", "its first argument is empty"),
        ("{{ meta.null }}", "has a NUL character in it"),
        ("{{ 1 // 0 }}", "cannot be filled in: integer division"),
    ],
)
def test_a_program_that_cannot_be_started(make, program, words):
    folder = make(arguments=[program])
    for name, text in (("plain", "#!/bin/sh"), ("lost", "#!/no/interpreter\n"), ("garbage", "\0\1\2\3" * 99)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o644 if name == "plain" else 0o755)
    with pytest.raises(CommandError, match=words):
        call(folder, given(empty="", null="a\0b"))


def test_arguments_that_are_too_long(make):
    with pytest.raises(CommandError, match="its arguments and variables are too long"):
        call(make(arguments=["echo", "{{ meta.text }}"]), given(text="x" * 300_000))


def test_it_need_not_read_its_input(make):
    data = b"x" * 10_000_000
    (made,) = call(make(arguments=["head", "-c", "3"]), given(data))
    assert made.data == b"xxx"
    (made,) = call(make(arguments=["true"]), given(data))
    assert made.data == b""


def test_large_outputs_while_input_is_still_written(make):
    """100 MB both ways at once, and much on standard error: nobody waits for anybody."""
    program = """
import sys
sys.stderr.write("e" * 5_000_000 + "\\n")
while part := sys.stdin.buffer.read(65536):
    sys.stdout.buffer.write(part)
    sys.stderr.write("." * 10_000)
"""
    data = os.urandom(1_000_000) * 100
    (made,) = call(make(program), given(data))
    assert made.data == data


def test_what_is_no_text_does_no_harm(make, caplog):
    caplog.set_level(logging.INFO)
    program = r"""
import os
os.write(2, b"\xff\xfe broken \x80\n" + b"y" * 200_000 + b"\nopenjd_status: st\xe4tus\n" + bytes(range(256)))
os.write(1, b"fine")
"""
    with Operator(make(program)) as started:
        (made,) = started.handle(given())
        assert made.data == b"fine"
        assert started.context.telling.status == "st\ufffdtus"
    assert any("broken" in message for message in caplog.messages)


def test_a_full_disk_is_told(make, monkeypatch):
    from pathlib import Path

    def full(path, data):
        raise OSError(28, "No space left on device")

    folder = make(arguments=["cat"], input="file:in")
    with Operator(folder) as started:
        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(CommandError, match=r"data cannot be written to .*: No space left on device"):
            started.handle(given(b"x"))


def test_the_working_folder_of_a_failure_is_kept_when_asked(make, tmp_path):
    with Operator(make(arguments=["sh", "-c", "pwd > place; false"], keep_failed=True)) as started:
        with pytest.raises(CommandError) as raised:
            started.handle(given(b"x"))
        (kept,) = [path for path in started.context.work.iterdir() if path.name.startswith("kept-")]
        assert (kept / "place").is_file()
        assert raised.value.__notes__ == [f"its working folder is kept: {kept}"]
    assert [path.name for path in kept.parents[1].rglob("*")] == ["work", kept.name, "place"]
    shutil.rmtree(kept.parents[1])
    with Operator(make(arguments=["false"])) as started:
        with pytest.raises(CommandError):
            started.handle(given(b"x"))
        assert list(started.context.work.iterdir()) == []
    assert not started.context.work.exists()


def test_the_environment_tells_nothing_of_the_runtime(make, monkeypatch):
    monkeypatch.setenv("INTERACTEM_CREDENTIALS", "/secret")
    (made,) = call(make(arguments=["env"]), given())
    assert b"INTERACTEM_" not in made.data
    assert b"PATH=" in made.data


# time limits, and what is left behind


def test_a_time_limit_ends_it(make):
    with pytest.raises(CommandTimeoutError, match=r"longer than its limit of 0\.2 s"):
        call(make(arguments=["sleep", "999"], spec={"timeout": 0.2}), given())


@linux
def test_who_does_not_end_when_asked_is_killed_with_its_whole_group(make, running):
    mark = uuid.uuid4().hex
    program = f"""
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
inner = "import time; print('openjd_fail: now', flush=True); time.sleep(999) # {mark}"
child = subprocess.Popen([sys.executable, "-c", inner], stdout=sys.stderr)
while True: time.sleep(1)
"""
    with pytest.raises(CommandError, match="it has failed: now"):
        call(make(program, grace=0.3), given())
    assert running(mark) == []


@linux
def test_who_ends_when_asked_has_the_grace_for_it(make, tmp_path):
    file = tmp_path / "said"
    program = f"""
import signal, sys, time
def end(*_):
    open({str(file)!r}, "w").write("tidied up")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("openjd_fail: now", file=sys.stderr)
time.sleep(999)
"""
    with pytest.raises(CommandError, match="it has failed: now"):
        call(make(program, grace=60), given())
    assert file.read_text() == "tidied up"


@linux
@pytest.mark.parametrize("way", ["&", "setsid"])
def test_what_a_command_leaves_behind_ends_with_it(make, running, way):
    mark = uuid.uuid4().hex
    tail = {"&": "%s &", "setsid": "setsid %s & (setsid sh -c '%s & exit' &)"}[way]
    sleep = f"python3 -c 'import time; time.sleep(999)' {mark}".replace("python3", sys.executable)
    line = tail.replace("%s", sleep.replace("'", '"') if way == "setsid" else sleep)
    (made,) = call(make(arguments=["sh", "-c", line + "\n echo done"]), given())
    assert made.data == b"done\n"
    assert running(mark) == []


@linux
def test_the_spawner_that_is_killed_costs_one_attempt(make, running):
    mark = uuid.uuid4().hex
    tool = f"""
import os, signal, subprocess, sys
if sys.stdin.read():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(999)", "{mark}"])
    os.kill(os.getppid(), signal.SIGKILL)
"""
    with Operator(make(tool)) as started:
        with pytest.raises(CommandError, match="SIGKILL"):
            started.handle(given(b"x"))
        assert running(mark) == []
        assert [made.data for made in started.handle(given())] == [b""]


@linux
def test_an_interruption_ends_the_command_first(make, running, monkeypatch):
    mark = uuid.uuid4().hex
    folder = make(
        f"import time; print('openjd_status: on', flush=True); time.sleep(999) # {mark}", spec={"outputs": []}
    )
    with Operator(folder) as started:
        monkeypatch.setattr(
            type(started.context), "status", lambda self, text: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            started.handle(given())
        assert running(str(folder / "tool.py")) == []


# what its lines mean


LINES = """
import sys
for line in sys.stdin.read().splitlines():
    print(line, file=sys.stderr, flush=True)
print("data")
"""


def tell(folder, *lines):
    with Operator(folder) as started:
        made = started.handle(given("\n".join(lines).encode()))
        return made, started.context.telling


def test_lines_of_open_job_description(make):
    made, telling = tell(make(LINES), "openjd_progress: 12.5", "openjd_status: at work", "xopenjd_progress: 99")
    assert [one.data for one in made] == [b"data\n"]
    assert (telling.progress, telling.status) == (12.5, "at work")
    with pytest.raises(CommandError, match="the command says that it has failed: no licence"):
        tell(make(LINES), "openjd_fail: no licence")


def test_patterns_of_the_author(make, caplog):
    folder = make(
        LINES,
        patterns={"progress": ["^(\\d+)%$", "done: (\\S+)"], "status": ["phase \\w+"], "failure": ["^FATAL (.*)"]},
    )
    _, telling = tell(folder, "40%", "now in phase two of it")
    assert (telling.progress, telling.status) == (40, "phase two")
    _, telling = tell(folder, "done: half")
    assert telling.progress is None
    assert "'half' is no percentage" in caplog.messages
    with pytest.raises(CommandError, match="it has failed: out of wine"):
        tell(folder, "FATAL out of wine")


CALLBACKS = """
import logging
found = []

def frame(match, context):
    if match[1] == "13":
        raise ValueError("unlucky frame")
    context.counter("frames")

def any_name(it):
    found.append(it["word"])
"""


def test_callbacks_of_the_author(make):
    folder = make(
        LINES, run=CALLBACKS, patterns={"callbacks": {"frame": "frame (\\d+)", "any_name": "(?P<word>w\\w+)"}}
    )
    made, telling = tell(folder, "frame 1", "word frame 2")
    assert telling.counters == {"frames": 2}
    assert [one.data for one in made] == [b"data\n"]


def test_a_callback_that_raises_fails_the_message_and_never_the_reader(make):
    program = """
import sys
print("frame 13", file=sys.stderr, flush=True)
for _ in range(3000): print("frame 2 " + "x" * 1000, file=sys.stderr)
"""
    folder = make(program, run=CALLBACKS, patterns={"callbacks": {"frame": "^frame (\\d+)"}}, grace=30)
    with Operator(folder) as started:
        for _ in range(2):
            with pytest.raises(ValueError, match="unlucky frame"):
                started.handle(given())


def test_lines_of_standard_output_count_where_it_is_no_data(make):
    program = "print('openjd_progress: 7'); open('a.x', 'w')"
    _, telling = tell(make(program, output="files:*.x"))
    assert telling.progress == 7
    made, telling = tell(make(program))
    assert telling.progress is None
    assert made[0].data == b"openjd_progress: 7\n"


# run.py


HOOKS = """
from interactem.runtime import BytesMessage, dependencies

@dependencies
def ready(context):
    context.gauge("ready", 1)
    yield

def prerun(inputs, context):
    (context.folder / "extra").write_text(bytes(inputs.data).decode())

def command(run_data):
    return ["cat" if run_data["meta"].get("new") else "false", run_data["folder"] + "/extra", "-"]

def postrun(result, parameters):
    if result.data == b"xx":
        return [BytesMessage(data=result.data + b"!"), BytesMessage(data=str(result.code).encode()).to("out")]
"""


def test_hooks(make):
    folder = make(run=HOOKS)
    assert [made.data for made in call(folder, given(b"x", new=True))] == [b"xx!", b"0"]
    assert [made.data for made in call(folder, given(b"y", new=True))] == [b"yy"]
    with pytest.raises(CommandError, match="false ended with exit code 1"):
        call(folder, given(b"x"))


@pytest.mark.parametrize("chosen", ["'cat x'", "[]", "None", "['cat', None]", "['a\\0b']"])
def test_a_command_hook_returns_arguments(make, chosen):
    with pytest.raises(CommandError, match=r"command\(run_data\) in run.py returned .*; (return|give)"):
        call(make(run=f"def command(run_data): return {chosen}"), given())


@pytest.mark.parametrize(
    ("run", "command", "words"),
    [
        (None, {}, "nothing says what to start"),
        ("x = 1", {"patterns": {"callbacks": {"frame": "x"}}}, "there is no function 'frame' in it"),
        ("def command(a, b): ...", {}, "command cannot take 'b'; it takes run_data"),
        ("async def prerun(inputs): ...", {"arguments": ["a"]}, "prerun should be a plain function"),
        ("prerun = 3", {"arguments": ["a"]}, "prerun should be a plain function"),
        ("def postrun(result, *more): ...", {"arguments": ["a"]}, "postrun cannot take"),
        ("syntax error", {"arguments": ["a"]}, "it does not import"),
        (
            "from interactem.runtime import operator\n@operator\ndef kernel(inputs): ...",
            {"arguments": ["a"]},
            r"there is an operator in it \(kernel\), and a command in operator.json; keep one",
        ),
        (None, {"arguments": ["{{ nothing }}"]}, r"\$.command.arguments\[0\]: names 'nothing'"),
    ],
)
def test_a_folder_that_does_not_hold(make, run, command, words):
    with pytest.raises(LoadError, match=words):
        load(make(run=run, **command) / "run.py")


def test_a_missing_program_is_told_before_anything_starts(make):
    folder = make(arguments=["no-such-program"])
    load(folder / "run.py")
    with pytest.raises(LoadError, match=r"arguments\[0\]: there is no program 'no-such-program' on the PATH"):
        load(folder / "run.py", look=True)
    load(make(arguments=["{{ python }}"]) / "run.py", look=True)


def test_a_folder_with_nothing_but_a_broken_spec(tmp_path):
    (tmp_path / "operator.json").write_text("{")
    with pytest.raises(LoadError, match=r"operator.json: .*invalid JSON"):
        load(tmp_path / "run.py")


def test_a_command_needs_no_run_py_and_leaves_the_folder_as_it_is(make):
    folder = make(arguments=["cat"])
    call(folder, given(b"x"))
    assert [path.name for path in folder.iterdir()] == ["operator.json"]


def test_ports_are_those_of_the_spec(make):
    with pytest.raises(PortError, match="no output port 'x'"):
        call(make(arguments=["cat"], run="def postrun(result, inputs): return inputs.to('x')"), given())
