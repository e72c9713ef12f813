import numpy as np
import pytest

from distiller_streaming import SettingError, Simulation, com_sparse, true_field

FIELDS = ["uniform", "radial", "vortex", "domains"]


@pytest.mark.parametrize("field", FIELDS)
def test_the_truth_is_recovered(field):
    scan = Simulation(scan_shape=(12, 16), field=field, dose=2000.0, seed=3)
    measured = com_sparse(scan.frames(range(12 * 16))).reshape(2, 12, 16)
    error = measured - scan.true_centers()

    # a disc of radius r spreads each coordinate by r/2 around its centre, and binning to pixels adds 1/12 px²
    expected = np.sqrt((12.0**2 / 4 + 1 / 12) / 2000)
    assert abs(error.mean()) < 4 * expected / np.sqrt(error.size)
    assert 0.85 * expected < error.std() < 1.15 * expected


def test_counts_are_poisson_distributed():
    scan = Simulation(scan_shape=(20, 20), dose=300.0, amplitude=0.0, radius=4.0, frame_shape=(16, 16))
    frames = scan.frames(range(400)).array.astype(float)
    for counts in (frames.sum(axis=(1, 2)), frames[:, 7, 7], frames[:, 5, 9]):
        # 400 draws: the variance of a Poisson distribution is its mean, give or take four standard errors
        assert abs(counts.var() / counts.mean() - 1) < 4 * np.sqrt(2 / 400)
    assert abs(frames.sum(axis=(1, 2)).mean() - 300) < 4 * np.sqrt(300 / 400)


def test_a_frame_depends_on_its_index_alone():
    scan = Simulation(seed=5)
    together, later = scan.frames(range(10, 20)).array, scan.frames([17, 12]).array
    np.testing.assert_array_equal(later, together[[7, 2]])


def test_another_seed_gives_other_frames():
    assert not np.array_equal(Simulation(seed=1).frames([0]).array, Simulation(seed=2).frames([0]).array)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 4), (8, 8)])
def test_no_deflection_is_above_the_amplitude(field, shape):
    deflection = true_field(field, shape, 3.0)
    assert deflection.shape == (2, *shape)
    assert np.hypot(*deflection).max() <= 3.0 + 1e-12


def test_a_vortex_turns_around_the_middle():
    rows, columns = true_field("vortex", (9, 9), 2.0)
    assert rows[4, 8] < -1 and abs(columns[4, 8]) < 1e-12  # right of the middle: upwards
    assert columns[8, 4] > 1 and abs(rows[8, 4]) < 1e-12  # below the middle: to the right
    assert (rows[4, 4], columns[4, 4]) == (0, 0)


def test_bright_frames_do_not_overflow():
    scan = Simulation(scan_shape=(1, 1), frame_shape=(3, 3), radius=0.25, amplitude=0.0, dose=200_000.0)
    frames = scan.frames([0]).array
    assert frames.dtype == np.uint32
    assert frames[0, 1, 1] == frames.sum() > 65_535


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"scan_shape": (0, 4)}, "at least one row"),
        ({"radius": 0.0}, "radius is above 0"),
        ({"dose": 0.0}, "dose is above 0"),
        ({"dose": float("nan")}, "dose is above 0"),
        ({"dose": 1e12}, "at most 10 million"),
        ({"radius": 30.0, "amplitude": 2.0}, "the disc leaves the frame"),
        ({"seed": -1}, "not negative"),
    ],
)
def test_settings_that_do_not_go_together(settings, says):
    with pytest.raises(SettingError, match=says):
        Simulation(**settings)


def test_an_unknown_field():
    with pytest.raises(SettingError, match="uniform, radial, vortex, domains"):
        Simulation(field="spiral").true_centers()
