"""The operators as folders: their specs, their cases, and what their kernels promise beyond one call."""

import json
from pathlib import Path

import numpy as np
import pytest

from distiller_streaming import BatchedFrames, Simulation, com_sparse
from interactem.runtime import BytesMessage, Context
from interactem.runtime.cases import run_cases
from interactem.spec import Graph, catalog_problems, parse_operator, parse_pipeline

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "operators").glob("*/operator.json"))
SPECS = {folder.name: parse_operator((folder / "operator.json").read_text(), str(folder)) for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_cases(folder):
    results = run_cases(folder)
    assert results
    assert {result.case: result.problems for result in results if not result.passed} == {}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_folder_is_complete(folder):
    command = SPECS[folder.name].command is not None
    program = () if command else ("run.py",)
    for name in (*program, "operator.json", "Containerfile", "requirements.txt", "README.md"):
        assert (folder / name).is_file(), f"{folder.name} has no {name}"
    spec = SPECS[folder.name]
    assert spec.image == f"ghcr.io/nersc/interactem/{folder.name}"
    assert (folder / "README.md").read_text().startswith(f"# {folder.name}\n")
    container = (folder / "Containerfile").read_text()
    assert container.startswith("FROM ghcr.io/nersc/interactem/")
    if command:
        assert "COPY ./operator.json" in container
    else:
        assert container.endswith("COPY ./run.py /app/run.py\n")


def test_no_two_operators_share_an_id():
    assert catalog_problems((name, spec) for name, spec in SPECS.items()) == []


def test_the_published_spec_of_center_of_mass_partial_is_kept():
    spec = json.loads((ROOT / "operators" / "center-of-mass-partial" / "operator.json").read_text())
    parameters = {parameter["name"]: parameter for parameter in spec.pop("parameters")}
    assert spec == {
        "id": "70dd71a7-5ebf-4515-8bf9-941d1284328c",
        "image": "ghcr.io/nersc/interactem/center-of-mass-partial",
        "label": "Partial Center of Mass",
        "description": "Calculates the center of mass for a frame",
        "inputs": [{"name": "in", "label": "The input", "type": "frame", "description": "Input frame"}],
        "outputs": [
            {
                "name": "com_partial",
                "label": "The output",
                "type": "com_partial",
                "description": "Partial center of mass",
            }
        ],
        "parallel_config": {"type": "embarrassing"},
    }
    assert set(parameters) == {"crop_to_x", "crop_to_y", "init_center_x", "init_center_y"}
    for parameter in parameters.values():
        assert (parameter["type"], parameter["default"], parameter["required"]) == ("int", "255", False)


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").glob("*.json")), ids=lambda path: path.stem)
def test_the_pipelines_hold(path):
    pipeline = parse_pipeline(path.read_text(), str(path))
    assert pipeline.name == path.stem
    assert Graph(pipeline, SPECS, source=str(path)).problems() == []


def simulated(run_module, parameters, position=0):
    context = Context("frames")
    context._position = position
    return list(run_module("frame-simulator").simulate(parameters, context))


def read(run_module, parameters, position=0, state=None):
    context = Context("frames")
    context._position = position
    context._state = {} if state is None else state
    return list(run_module("frame-reader").read(parameters, context))


SMALL = {"scan_rows": 5, "scan_columns": 7, "frames_per_message": 4, "dose": 50.0}


@pytest.mark.parametrize("position", [0, 1, 4, 8, 9])
def test_the_simulator_resumes_with_the_same_messages(run_module, position):
    whole = simulated(run_module, SMALL)
    assert len(whole) == 9
    assert simulated(run_module, SMALL, position) == whole[position:]


@pytest.mark.parametrize("position", [0, 1, 3])
def test_the_reader_resumes_with_the_same_messages(run_module, position, tmp_path, monkeypatch):
    np.save(tmp_path / "file.npy", np.arange(240, dtype=np.uint16).reshape(2, 5, 4, 6))
    (tmp_path / "file").symlink_to("file.npy")
    monkeypatch.setenv("INTERACTEM_DATA_DIRECTORY", str(tmp_path))
    whole = read(run_module, {"frames_per_message": 3})
    assert len(whole) == 4
    assert read(run_module, {"frames_per_message": 3}, position) == whole[position:]


def test_a_changed_parameter_does_not_shift_a_resumed_source(run_module, tmp_path, monkeypatch):
    np.save(tmp_path / "file.npy", np.arange(240, dtype=np.uint16).reshape(2, 5, 4, 6))
    (tmp_path / "file").symlink_to("file.npy")
    monkeypatch.setenv("INTERACTEM_DATA_DIRECTORY", str(tmp_path))
    state = {}
    whole = read(run_module, {"frames_per_message": 3}, state=state)
    assert read(run_module, {"frames_per_message": 5}, position=1, state=state) == whole[1:]


def reduced(run_module, arrived, parameters=None):
    """What the reducer sends for these partial results, the end of the stream included."""
    module, context = run_module("center-of-mass-reduce"), Context("reduce")
    sent = [module.reduce(message, parameters or {}, context) for message in arrived]
    return [message for message in [*sent, module.finish(context)] if message is not None]


def test_the_chain_gives_the_truth_in_any_order(run_module):
    settings = {"scan_rows": 9, "scan_columns": 8, "frames_per_message": 5, "seed": 4, "dose": 4000.0}
    count, partial = run_module("electron-count").count, run_module("center-of-mass-partial").center_of_mass
    frames = simulated(run_module, settings)
    arrived = [partial(count(message, {}), {}) for message in frames]
    whole = [partial(message, {}) for message in frames]
    assert [bytes(message.data) for message in arrived] == [bytes(message.data) for message in whole]

    inside = {"crop_to_x": 900, "crop_to_y": 900, "init_center_x": 0, "init_center_y": 0}
    assert [partial(message, inside) for message in frames] == whole

    forwards, backwards = reduced(run_module, arrived), reduced(run_module, arrived[::-1])
    assert forwards[-1].meta["final"] is True
    assert forwards[-1] == backwards[-1]
    truth = Simulation(scan_shape=(9, 8), seed=4, dose=4000.0).true_centers()
    assert np.abs(forwards[-1].array - truth).max() < 0.5


def test_maps_are_sent_while_they_fill_and_once_when_full(run_module):
    frames = simulated(run_module, SMALL)
    partial = run_module("center-of-mass-partial").center_of_mass
    sent = reduced(run_module, [partial(message, {}) for message in frames], {"emit_every": 10})
    assert [message.meta["filled"] for message in sent] == [12, 20, 32, 35]
    assert [message.meta["final"] for message in sent] == [False, False, False, True]


def test_reduce_finishes_again_when_a_resumed_run_brings_more(run_module):
    frames = simulated(run_module, SMALL)
    partial = run_module("center-of-mass-partial").center_of_mass
    arrived = [partial(message, {}) for message in frames]
    module, context = run_module("center-of-mass-reduce"), Context("reduce")
    for message in arrived[:4]:
        module.reduce(message, {}, context)
    early = module.finish(context)
    for message in arrived[4:]:
        module.reduce(message, {}, context)
    late = module.finish(context)
    assert late.meta["revision"] > early.meta["revision"]
    assert late == reduced(run_module, arrived)[-1]


def test_the_simulator_sends_what_the_library_simulates(run_module):
    batch = BatchedFrames.from_bytes_message(simulated(run_module, {**SMALL, "field": "radial"})[1])
    scan = Simulation(scan_shape=(5, 7), field="radial", dose=50.0)
    np.testing.assert_array_equal(com_sparse(batch), com_sparse(scan.frames(range(4, 8))))


def test_error_fails_on_the_share_that_was_asked_for_and_always_the_same(run_module):
    is_chosen = run_module("error").is_chosen
    keys = [f"frames.{index}".encode() for index in range(4000)]
    chosen = [is_chosen(key, 0.25) for key in keys]
    assert chosen == [is_chosen(key, 0.25) for key in keys]
    assert abs(sum(chosen) / 4000 - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 4000)
    assert all(is_chosen(key, 0.5) for key, was in zip(keys, chosen, strict=True) if was)
    assert chosen != [is_chosen(key, 0.25, seed=1) for key in keys]


def test_error_goes_by_the_id_of_the_message(run_module):
    module = run_module("error")
    outcomes = []
    for index in range(50):
        message = BytesMessage(data=b"same", id=f"frames.{index}")
        try:
            module.fail(message, {"rate": 0.5}, Context("error", _message=message))
            outcomes.append(False)
        except module.ChosenFailure:
            outcomes.append(True)
    assert outcomes == [module.is_chosen(f"frames.{index}".encode(), 0.5) for index in range(50)]
    assert 0 < sum(outcomes) < 50


def test_the_benchmark_sender_resumes(run_module):
    context = Context("sender")
    context._position = 3
    messages = list(run_module("benchmark-sender").send({"size": 10, "count": 5}, context))
    assert [message.meta["index"] for message in messages] == [3, 4]
    assert [bytes(message.data) for message in messages] == [b"." * 10] * 2


def test_the_benchmark_sender_waits_for_its_rate(run_module, monkeypatch):
    module, now, slept = run_module("benchmark-sender"), [100.0], []

    def sleep(seconds):
        slept.append(round(seconds, 6))
        now[0] += seconds

    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.time, "sleep", sleep)
    assert len(list(module.send({"count": 4, "rate": 10.0}, Context("sender")))) == 4
    assert slept == [0.1, 0.1, 0.1]


def test_the_benchmark_receiver_writes_what_it_counted(run_module, tmp_path, monkeypatch):
    module, now = run_module("benchmark-receiver"), [50.0]
    monkeypatch.setattr(module.time, "time", lambda: now[0])
    context = Context("receiver", outputs=tmp_path / "outputs")
    for size in (10, 20, 30):
        module.receive(BytesMessage(data=bytes(size)), {}, context)
        now[0] += 0.5
    module.finish({}, context)
    result = json.loads((tmp_path / "outputs" / "benchmark.json").read_text())
    assert result == {
        "messages": 3,
        "bytes": 60,
        "seconds": 1.0,
        "messages_per_second": 3.0,
        "bytes_per_second": 60.0,
    }
