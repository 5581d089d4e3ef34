"""Names of torchvision's own operators, without which it does not import beside a CPU torch.

PyPI's torchvision is built for CUDA and loads no library here; networks without boxes need none of
these operators, and transformers imports torchvision where it is installed.
"""

import importlib.util

import torch

NAMES = (
    "nms", "qnms", "roi_align", "qroi_align", "_roi_align_backward", "roi_pool",
    "_roi_pool_backward", "ps_roi_align", "_ps_roi_align_backward", "ps_roi_pool",
    "_ps_roi_pool_backward", "deform_conv2d", "_deform_conv2d_backward",
)  # fmt: skip

LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
if importlib.util.find_spec("torchvision") and not hasattr(torch.ops.torchvision, "nms"):
    for name in NAMES:
        LIBRARY.define(f"{name}(Tensor any) -> Tensor")
