"""Model cards: what must be known about a network to fetch it, feed it and read it. Data, no behaviour.

Commits and sha256 sums are pins. Where one is None it is not known to us, and the first download is recorded and held
to from then on (see `cache`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    # For their names alone: a list of networks is shown without starting the runtime.
    from imkin.prints.session import Layout, Pooling

Fit = Literal["squeeze", "crop"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a picture becomes the network's input, and its output a vector. None: not said; the graph decides.

    size: pixels a side. fit: "squeeze" bends the whole picture into the shape, "crop" takes the largest part of that
    shape around the centre, `crop` of it (0..1). mean, std: of each channel, where white is 1.
    cut: take the input of the last layer, where the graph ends in the scores of classes. dim: of the vector.
    """

    size: int | None = None
    fit: Fit = "squeeze"
    crop: float = 1.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: Layout | None = None
    output: str | None = None
    pooling: Pooling | None = None
    cut: bool = False
    dim: int | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """A named network. files: paths in the repository, the first that is there is taken; none: it is not on a hub.

    revision: a commit, 40 hex digits. sha256, bytes: of the file. threshold: the default, a cosine;
    threshold_from: who says so.
    """

    name: str
    about: str
    licence: str
    source: str
    files: tuple[str, ...]
    recipe: Recipe
    threshold: float
    threshold_from: str
    revision: str | None = None
    sha256: str | None = None
    bytes: int | None = None


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
SSCD_SIDE, SSCD_DIM = 320, 512
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

# None of these thresholds but SSCD's was measured on copies by the network's authors. Features after a ReLU are all
# positive, and those trained beside texts lie in a narrow cone (Liang et al. 2022): the cosine of unlike pictures is
# far from 0, so the bar is high.
_CLASSIFIER = 0.9
_CLASSIFIER_FROM = "imagededup's default for MobileNetV3; not measured here: `imkin calibrate` does it on your pictures"
_TEXT = 0.95
_CHOSEN = "a careful choice, not measured: `imkin calibrate` does it on your pictures"


def _imagenet(size: int, dim: int, **more: object) -> Recipe:
    """The usual recipe of an ImageNet classifier: the middle 7/8, normalised by ImageNet's mean and deviation."""
    facts = {"fit": "crop", "crop": 0.875, "mean": IMAGENET_MEAN, "std": IMAGENET_STD} | more
    return Recipe(size=size, dim=dim, **facts)  # type: ignore[arg-type]


_ALL = (
    Card(
        "resnet50",
        "ResNet-50 (He et al. 2016), ImageNet classes; pooled features",
        "Apache-2.0",
        "Qdrant/resnet50-onnx",
        ("model.onnx",),
        _imagenet(224, 2048),
        _CLASSIFIER,
        _CLASSIFIER_FROM,
    ),
    Card(
        "inception-v3",
        "Inception-v3 (Szegedy et al. 2016), ImageNet classes; pooled features",
        "Apache-2.0",
        "onnxmodelzoo/inception_v3_Opset17_timm",
        ("inception_v3_Opset17_timm.onnx", "inception_v3_Opset17.onnx"),
        _imagenet(299, 2048, mean=HALF, std=HALF, cut=True),
        _CLASSIFIER,
        _CLASSIFIER_FROM,
        sha256="d714dcf66d2a2819681b7e1900deab67d5a4be0725014390bd044d1fea746b1c",
        bytes=95_317_116,
    ),
    Card(
        "efficientnet-b0",
        "EfficientNet-B0 (Tan and Le 2019), ImageNet classes; pooled features",
        "Apache-2.0",
        "onnxmodelzoo/efficientnet_b0_Opset17",
        ("efficientnet_b0_Opset17.onnx",),
        _imagenet(224, 1280, cut=True),
        _CLASSIFIER,
        _CLASSIFIER_FROM,
        sha256="e76596a2b9e27c7c734c38550859105b43fec926f13447a84dad175eb994068a",
        bytes=21_128_851,
    ),
    Card(
        "mobilenet-v3",
        "MobileNetV3-Large (Howard et al. 2019), ImageNet classes; pooled features",
        "Apache-2.0",
        "onnx-community/mobilenetv3_large_100.ra_in1k",
        ("onnx/model.onnx",),
        _imagenet(224, 1280, cut=True),
        _CLASSIFIER,
        _CLASSIFIER_FROM,
    ),
    Card(
        "dinov2-small",
        "DINOv2 ViT-S/14 (Oquab et al. 2023), self-supervised; class token",
        "Apache-2.0",
        "onnx-community/dinov2-small",
        ("onnx/model.onnx",),
        _imagenet(224, 384, output="last_hidden_state", pooling="token 0", layout="NCHW"),
        _CLASSIFIER,
        _CHOSEN,
        revision="8b1f705a3a7f6f062f6bdd21986c1583d3ef105d",
        sha256="f22797eabf810a75e41de68d378541ebea372122b25c4ce3ef25ff618250c20a",
        bytes=88_532_934,
    ),
    Card(
        "dinov2-base",
        "DINOv2 ViT-B/14 (Oquab et al. 2023), self-supervised; class token",
        "Apache-2.0",
        "onnx-community/dinov2-base",
        ("onnx/model.onnx",),
        _imagenet(224, 768, output="last_hidden_state", pooling="token 0", layout="NCHW"),
        _CLASSIFIER,
        _CHOSEN,
        revision="31ef06cac16d5d301c5930d147002a058c85a5e4",
        sha256="320d1012a6fc65b101fc85ca30ee7a47b2e4f6a2e8bd78fb9d7036def0e30cb0",
        bytes=346_627_111,
    ),
    Card(
        "clip-vit-b32",
        "CLIP ViT-B/32 (Radford et al. 2021), pictures and their texts",
        "MIT",
        "Xenova/clip-vit-base-patch32",
        ("onnx/vision_model.onnx",),
        Recipe(224, "crop", 1.0, CLIP_MEAN, CLIP_STD, "NCHW", "image_embeds", dim=512),
        _TEXT,
        _CHOSEN,
        revision="d15189d7028b43f1d3e65039190477f6af591c2a",
    ),
    Card(
        "siglip",
        "SigLIP ViT-B/16 (Zhai et al. 2023), pictures and their texts",
        "Apache-2.0",
        "Xenova/siglip-base-patch16-224",
        ("onnx/vision_model.onnx",),
        Recipe(224, "squeeze", 1.0, HALF, HALF, "NCHW", "pooler_output", dim=768),
        _TEXT,
        _CHOSEN,
        revision="4649052661e53c7000355844105f8a1792088239",
        sha256="f89d41bac7f4d4b87e010a467d93f98689d708916ed22f5a07f96fdfa26f475f",
        bytes=371_819_850,
    ),
    Card(
        "sscd",
        "SSCD disc_mixup (Pizzi et al. 2022), copy detection; made by `imkin models import sscd FILE`",
        "MIT",
        "facebookresearch/sscd-copy-detection: sscd_disc_mixup.torchscript.pt",
        (),
        Recipe(SSCD_SIDE, "squeeze", 1.0, IMAGENET_MEAN, IMAGENET_STD, "NCHW", "vectors", dim=SSCD_DIM),
        0.75,
        "its authors: 90 % precision on DISC2021",
    ),
)
CARDS = {card.name: card for card in _ALL}
