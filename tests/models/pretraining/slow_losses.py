"""The losses and their gradients one number at a time, in Python's float64, from the printed formulas."""

import math

from torch import Tensor


def slow_loss(
    queries: Tensor, keys: Tensor, first: int, temperature: float, lesions: list[bool], weight: float, kind: str
) -> tuple[float, list[list[float]]]:
    """Mean over queries of -log(psi(q, k+) / denominator), times 2 temperature, and its gradient by every query's number.

    `kind` is `printed` (the denominator's weight stands before the sum over lesion keys) or `published_code` (the weight
    multiplies the exponent, and the query's own key has no second term).
    """
    rows, others = queries.double().tolist(), keys.double().tolist()
    total, gradients = 0.0, []
    for at, query in enumerate(rows):
        loss, gradient = _of_one(query, others, first + at, temperature, lesions, weight, kind)
        total += 2.0 * temperature * loss / len(rows)
        gradients.append([2.0 * temperature * number / len(rows) for number in gradient])
    return total, gradients


def _of_one(
    query: list[float],
    keys: list[list[float]],
    own: int,
    temperature: float,
    lesions: list[bool],
    weight: float,
    kind: str,
) -> tuple[float, list[float]]:
    cosines = [_cosine(query, key) for key in keys]
    # Terms of the denominator, and each one's derivative by its key's cosine.
    denominator = 0.0
    slopes = [0.0] * len(keys)
    for at, cosine in enumerate(cosines):
        term = math.exp(cosine / temperature)
        denominator += term
        slopes[at] += term / temperature
        if lesions[at] and weight > 0.0:
            if kind == "printed":
                denominator += weight * term
                slopes[at] += weight * term / temperature
            elif at != own:
                second = math.exp(weight * cosine / temperature)
                denominator += second
                slopes[at] += weight * second / temperature
    loss = -math.log(math.exp(cosines[own] / temperature) / denominator)
    by_cosine = [slope / denominator for slope in slopes]
    by_cosine[own] -= 1.0 / temperature
    gradient = [0.0] * len(query)
    for key, cosine, slope in zip(keys, cosines, by_cosine, strict=True):
        for at in range(len(query)):
            # d cos(q, k) / d q = k / (|q| |k|) - cos q / |q|^2
            along = key[at] / (_length(query) * _length(key)) - cosine * query[at] / _length(query) ** 2
            gradient[at] += slope * along
    return loss, gradient


def _cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / (_length(one) * _length(other))


def _length(row: list[float]) -> float:
    return math.sqrt(sum(number * number for number in row))
