from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from slicebank_imaging.resize import Interpolation, resize_gray8, resize_hu
from slicebank_imaging.thumbnails import jpeg_thumbnail

SHAPES = [(512, 512), (400, 512), (512, 301), (224, 224), (100, 64), (33, 77), (225, 224)]


def _picture(shape: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)


def _torchvision(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], size: int, mode: str) -> np.ndarray:
    transforms = Compose([Resize(size, InterpolationMode(mode)), CenterCrop(size)])
    return np.asarray(transforms(Image.fromarray(image)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [224, 65])
def test_gray_equals_torchvision_on_pil_images(shape: tuple[int, int], size: int) -> None:
    image = _picture(shape)
    assert np.array_equal(resize_gray8(image, size), _torchvision(image, size, "bilinear"))


@pytest.mark.parametrize("shape", [(512, 512), (768, 768), (224, 224), (96, 96), *SHAPES])
@pytest.mark.parametrize("size", [224, 65])
def test_bicubic_gray_equals_torchvision_where_the_order_of_the_axes_does_not_tell(
    shape: tuple[int, int], size: int
) -> None:
    image = _picture(shape)
    if shape[0] != shape[1]:  # smooth enough that nothing overshoots black or white
        image = (64 + image // 2).astype(np.uint8)
    found = resize_gray8(image, size, Interpolation.BICUBIC)
    assert np.abs(found - _torchvision(image, size, "bicubic").astype(int)).max() <= (shape[0] != shape[1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("interpolation", Interpolation)
def test_hu_has_the_geometry_of_gray(shape: tuple[int, int], interpolation: Interpolation) -> None:
    image = _picture(shape) // 2 + 64  # the cubic overshoots, which 8 bits cannot hold
    hu = resize_hu(image.astype(np.float32), 96, interpolation)
    assert hu.dtype == np.float32
    # 8-bit results are rounded after each of the two passes
    assert np.abs(hu - resize_gray8(image, 96, interpolation)).max() <= 1.5


def test_a_resize_is_known_by_its_name() -> None:
    assert Interpolation.BILINEAR.resize_name == "pil-bilinear-antialias-shorter-side-center-crop"  # in stored recipes
    assert [Interpolation.of_resize(one.resize_name) for one in Interpolation] == list(Interpolation)
    with pytest.raises(ValueError, match="nearest"):
        Interpolation.of_resize("nearest")


def test_a_square_of_the_right_size_is_untouched() -> None:
    image = _picture((64, 64))
    assert np.array_equal(resize_gray8(image, 64), image)


def test_thumbnails_are_small_jpegs_in_proportion() -> None:
    data = jpeg_thumbnail(np.tile(np.arange(200, dtype=np.uint8), (400, 1)), size=100)
    assert data[:3] == b"\xff\xd8\xff"
    picture = Image.open(BytesIO(data))
    assert picture.size == (50, 100)
    assert picture.mode == "L"
