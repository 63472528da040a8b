from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from slicebank_imaging.resize import resize_gray8, resize_hu
from slicebank_imaging.thumbnails import jpeg_thumbnail

SHAPES = [(512, 512), (400, 512), (512, 301), (224, 224), (100, 64), (33, 77), (225, 224)]


def _picture(shape: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [224, 65])
def test_gray_equals_torchvision_on_pil_images(shape: tuple[int, int], size: int) -> None:
    image = _picture(shape)
    reference = Compose([Resize(size, InterpolationMode.BILINEAR), CenterCrop(size)])(Image.fromarray(image))
    assert np.array_equal(resize_gray8(image, size), np.asarray(reference))


@pytest.mark.parametrize("shape", SHAPES)
def test_hu_has_the_geometry_of_gray(shape: tuple[int, int]) -> None:
    image = _picture(shape)
    hu = resize_hu(image.astype(np.float32), 96)
    assert hu.dtype == np.float32
    # 8-bit results are rounded after each of the two passes
    assert np.abs(hu - resize_gray8(image, 96)).max() <= 1.01


def test_a_square_of_the_right_size_is_untouched() -> None:
    image = _picture((64, 64))
    assert np.array_equal(resize_gray8(image, 64), image)


def test_thumbnails_are_small_jpegs_in_proportion() -> None:
    data = jpeg_thumbnail(np.tile(np.arange(200, dtype=np.uint8), (400, 1)), size=100)
    assert data[:3] == b"\xff\xd8\xff"
    picture = Image.open(BytesIO(data))
    assert picture.size == (50, 100)
    assert picture.mode == "L"
