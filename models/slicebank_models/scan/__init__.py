"""The selective scan: a slow reference, loops compiled for the CPU, torch operations anywhere, and kernels for CUDA.

`selective_scan` takes the arguments that the published implementations take; `cross_scan` is the 2D form of VMamba.
Both are differentiable. docs/selective_scan.md explains and compares the forms.
"""

from slicebank_models.scan.ordered import ScanForm, ordered_scan
from slicebank_models.scan.selective import cross_orders, cross_scan, selective_scan

__all__ = ["ScanForm", "cross_orders", "cross_scan", "ordered_scan", "selective_scan"]
