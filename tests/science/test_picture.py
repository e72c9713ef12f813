"""What the picture of the maps shows."""

import io

import numpy as np
import pytest

from interactem.runtime import BytesMessage


@pytest.fixture
def plot(run_module):
    pytest.importorskip("matplotlib")
    return run_module("center-of-mass-plot")


def test_hue_is_the_direction_and_brightness_the_magnitude(plot):
    right, up, left, down, still, half = plot.colour_wheel(
        np.array([0.0, -1.0, 0.0, 1.0, 0.0, 0.0]), np.array([1.0, 0.0, -1.0, 0.0, 0.0, 0.5]), 1.0
    )
    assert right[0] == 1.0 and right[1] == right[2] < 0.2  # red
    assert up[1] == 1.0 and left[0] < 0.2 < left[1] == left[2] and down[2] == 1.0
    assert still.tolist() == [0, 0, 0]
    np.testing.assert_allclose(half, right / 2)


def test_the_maps_are_drawn_relative_to_their_mean(plot):
    shift = plot.deflection(np.array([[[1.0, 3.0, np.nan]], [[5.0, 5.0, 5.0]]]))
    np.testing.assert_array_equal(shift, [[[-1, 1, np.nan]], [[0, 0, 0]]])


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 2), (64, 64), (20, 50)])
def test_every_shape_gives_a_picture(plot, shape):
    from PIL import Image

    com = np.random.default_rng(0).normal(size=(2, *shape))
    com[:, 0, 0] = np.nan
    message = plot.plot(BytesMessage.from_array(com, revision=7, filled=1, total=9), {"title": "A scan"})
    image = Image.open(io.BytesIO(message.data))
    assert (image.format, image.size) == ("PNG", (1000, 960))
    assert message.meta == {"revision": 7, "filled": 1, "total": 9, "content_type": "image/png"}


def test_the_panels_show_the_field(plot):
    """A field that points right everywhere on the right half and left on the left one."""
    from PIL import Image

    com = np.zeros((2, 40, 40))
    com[1] = np.where(np.arange(40) < 20, -1.0, 1.0)
    image = Image.open(io.BytesIO(plot.plot(BytesMessage.from_array(com), {}).data)).convert("RGB")
    pixels = np.asarray(image).astype(int)
    direction_left, direction_right = pixels[740, 620], pixels[740, 830]
    assert direction_right[0] > 200 and direction_right[1] < 60  # red
    assert direction_left[0] < 60 and direction_left[1] > 200 and direction_left[2] > 200  # cyan
    columns_left, columns_right = pixels[300, 620], pixels[300, 830]
    assert columns_left[2] > columns_left[0] and columns_right[0] > columns_right[2]  # blue, red
    rows = pixels[300, 150]
    assert rows.min() > 230  # nothing moves along rows: white


def test_another_array_is_refused(plot):
    with pytest.raises(ValueError, match=r"shape \(2, scan rows, scan columns\), not \(3, 4\)"):
        plot.plot(BytesMessage.from_array(np.zeros((3, 4))), {})
