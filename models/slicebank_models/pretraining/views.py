"""Two views of every slice of a batch, made on its device.

Order: HU, window, crop with antialiased resize and flip, blur, brightness and contrast, solarisation. Crop, resize and
flip are one separable linear map, rows @ slice @ columns^T, and so is blur; no slice is touched alone. MoCo v3's changes
of hue and saturation and its greyscale have no meaning for pictures of one channel and are left out; its changes of
brightness and contrast come before the blur, which differs only where they clip.
"""

import torch
from torch import Tensor

from slicebank_models.pretraining import grey
from slicebank_models.pretraining.batches import SliceBatch
from slicebank_models.pretraining.cropping import lesion_crops, resizing_matrix
from slicebank_models.pretraining.draws import ViewDraws
from slicebank_models.pretraining.spec import Method, ViewSettings

# Pixels of slices at a time: 64 of 512 x 512, 67 MB in float32, and about twice as much of matrices and products.
CHUNK_PIXELS = 2**24


@torch.no_grad()
def render_views(
    batch: SliceBatch,
    draws: ViewDraws,
    settings: ViewSettings,
    loss_method: Method,
    windows: Tensor,
    input_size: int,
) -> tuple[Tensor, Tensor]:
    """Renders both views of every slice, in float32 whatever autocast says.

    With LECL, view 1 of an annotated slice is the whole slice and view 2 a crop around one of its lesions; with MoCo,
    and for slices without a box, both are random crops.

    Args:
        batch: B slices.
        draws: Of the same B slices, best on the CPU.
        settings: Those that the draws were made from.
        loss_method: Whether boxes count.
        windows: (W, 2) lowest and highest HU of `settings.windows`, such as from `grey.window_bounds`.
        input_size: Side of the views, pixels.

    Returns:
        Two of (B, input_size, input_size) float32, grey levels 0 to 255, on the batch's device.
    """
    if len(draws) != len(batch):
        raise ValueError(f"{len(draws)} draws do not belong to {len(batch)} slices")
    if windows.shape != (len(settings.windows), 2):
        raise ValueError(f"windows must be ({len(settings.windows)}, 2), not {tuple(windows.shape)}")
    device = batch.hu.device
    views = torch.empty((2, len(batch), input_size, input_size), device=device)
    sigma = draws.sigma.cpu() * (input_size / grey.BLUR_SIDE)  # decides on the CPU, so that no device is waited for
    windows, draws = windows.to(device), draws.to(device)
    crops = view_crops(batch, draws, loss_method)
    step = max(1, CHUNK_PIXELS // batch.side**2)
    with torch.autocast(device.type, enabled=False):
        for start in range(0, len(batch), step):
            stop = min(start + step, len(batch))
            chunk = draws.part(start, stop)
            for view in range(2):
                slices = grey.window_grey(batch.hu[start:stop], windows[chunk.window[:, view]])
                shown = _cut(slices, crops[start:stop, view], chunk.flip[:, view], input_size)
                _blur(shown, sigma[start:stop, view])
                shown = grey.jitter(shown, chunk.brightness[:, view], chunk.contrast[:, view])
                views[view, start:stop] = grey.solarise(shown, chunk.solarise[:, view])
    return views[0], views[1]


def view_crops(batch: SliceBatch, draws: ViewDraws, loss_method: Method) -> Tensor:
    """What of its slice each view shows.

    Args:
        batch: B slices.
        draws: Of the same slices, on the same device.
        loss_method: Whether boxes count.

    Returns:
        (B, 2, 4) pixels: row_start, column_start, row_stop, column_stop of view 1 and view 2.
    """
    crops = draws.crop * batch.side
    if loss_method is not Method.LECL or batch.boxes.shape[1] == 0:
        return crops
    lesion = lesion_crops(batch.boxes, batch.n_boxes, draws.box, draws.lesion_size, batch.side)
    whole = torch.tensor([0.0, 0.0, batch.side, batch.side], device=crops.device).expand_as(lesion)
    return torch.where(batch.annotated.view(-1, 1, 1), torch.stack([whole, lesion], dim=1), crops)


def _cut(slices: Tensor, crops: Tensor, flip: Tensor, size: int) -> Tensor:
    side = slices.shape[1]
    rows = resizing_matrix(crops[:, 0], crops[:, 2], torch.zeros_like(flip), side, size)
    columns = resizing_matrix(crops[:, 1], crops[:, 3], flip, side, size)
    return rows @ slices @ columns.mT  # (B, size, side) @ (B, side, side) @ (B, side, size)


def _blur(views: Tensor, sigma: Tensor) -> None:
    """Blurs in place the views whose sigma, on the CPU, is above 0."""
    blurred = torch.nonzero(sigma)[:, 0]
    if len(blurred):
        place = blurred.to(views.device)
        views[place] = grey.blur(views[place], sigma[blurred])
