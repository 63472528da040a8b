"""Crops of slices, and the matrices that cut, resize and flip them."""

import math

import torch
from torch import Tensor


def lesion_crops(boxes: Tensor, n_boxes: Tensor, box: Tensor, size: Tensor, side: int) -> Tensor:
    """Crops around the centre of one of each slice's boxes, clipped at the border of the slice (LECL, Fig. 1C).

    The centre always lies in the crop, and a box lies in it whole where it is no larger than the drawn size; so every
    box of at most sqrt(crop_min) * side a side is always seen whole. A side of the crop is never less than half of the
    drawn one. Boxes that reach over the border of the slice are clipped first. The published code
    (src/LECL/moco/data.py) centres the crop on a corner of the box, that of its first column and last row, and fills what
    lies beyond the border with black.

    Args:
        boxes: (B, K, 4) pixels, as `SliceBatch`; K at least 1.
        n_boxes: (B,); slices without a box get a crop of no meaning.
        box: (B,) uniform in [0, 1], which of the boxes.
        size: (B, 2) height and width, shares of the side.
        side: Of the slices, pixels.

    Returns:
        (B, 4) pixels: row_start, column_start, row_stop, column_stop.
    """
    place = torch.minimum((box * n_boxes).long(), n_boxes - 1).clamp(min=0)
    chosen = boxes[torch.arange(len(boxes), device=boxes.device), place].clamp(0, side)
    centre = (chosen[:, :2] + chosen[:, 2:]) / 2
    half = size * (side / 2)
    return torch.cat([centre - half, centre + half], dim=1).clamp(0, side)


def resizing_matrix(start: Tensor, stop: Tensor, flip: Tensor, side: int, size: int) -> Tensor:
    """Matrices that cut [start, stop) from one axis and resize it to `size` pixels.

    The filter is the antialiased bilinear one of torch and Pillow, applied to the crop alone: a triangle that reaches one
    pixel, of the slice or of the result, whichever is larger, to either side; its weights are made to sum to 1 at the
    borders. A pixel that a border cuts weighs as much as is within.

    Args:
        start: (B,) pixels, fractions allowed.
        stop: (B,) pixels, above start.
        flip: (B,) bool, whether the result runs backwards.
        side: Length of the axis.
        size: Length of the result.

    Returns:
        (B, size, side) float32; rows sum to 1.
    """
    start, stop = start.view(-1, 1, 1), stop.view(-1, 1, 1)
    step = (stop - start) / size
    reach = step.clamp(min=1)
    # Only so many pixels can have a weight, so only theirs are computed.
    taps = math.ceil(2 * max(side / size, 1.0)) + 1
    output = torch.arange(size, device=start.device, dtype=start.dtype).view(1, -1, 1) + 0.5
    centre = torch.where(flip.view(-1, 1, 1), stop - output * step, start + output * step)
    first = (centre - reach).floor()
    pixel = first + torch.arange(taps, device=start.device, dtype=start.dtype)  # (B, size, taps)
    covered = (torch.minimum(pixel + 1, stop) - torch.maximum(pixel, start)).clamp_(0, 1)
    weights = (1 - (pixel + 0.5 - centre).abs_() / reach).clamp_(min=0) * covered
    weights /= weights.sum(dim=2, keepdim=True)
    # Pixels beyond the ends of the axis, whose weight is 0, get columns of their own, so that no two share a place.
    matrix = weights.new_zeros((len(start), size, side + 2 * taps))
    return matrix.scatter_(2, pixel.long() + taps, weights)[:, :, taps : taps + side]
