"""`imkin models import sscd`: a TorchScript file to ONNX, and the same vectors from both."""

import numpy as np
import pytest

from imkin import models
from imkin.errors import MissingExtraError, MissingPathError, UsageError
from imkin.models import convert
from imkin.models.cards import SSCD_DIM
from imkin.testing import scene

torch = pytest.importorskip("torch", reason="converting SSCD's file needs torch (the extra `train`)")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def small_sscd(dim=SSCD_DIM, *, pool="mean"):
    """A residual net with generalised-mean pooling, a linear layer and unit vectors, as SSCD is."""
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)

        def forward(self, x):
            return torch.relu(self.norm(self.conv(x)) + x)

    class GemMean(nn.Module):
        def forward(self, x):
            return x.clamp(min=1e-6).pow(3.0).flatten(2).mean(dim=2).pow(1 / 3.0)

    class GemOfItsSize(nn.Module):
        def forward(self, x):
            pooled = functional.avg_pool2d(x.clamp(min=1e-6).pow(3.0), (x.size(-2), x.size(-1)))
            return pooled.pow(1 / 3.0).flatten(1)

    class Unit(nn.Module):
        def forward(self, x):
            return functional.normalize(x)

    torch.manual_seed(0)
    gem = GemMean() if pool == "mean" else GemOfItsSize()
    start = [nn.Conv2d(3, 8, 7, 4, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*start, Block(), Block(), gem, nn.Linear(8, dim), Unit()).eval()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "imkin" / "models"


@pytest.mark.parametrize(("pool", "how"), [("mean", "trace"), ("size", "script")])
def test_an_imported_file_gives_the_vectors_that_torch_gives(here, tmp_path, pool, how):
    network = small_sscd(pool=pool)
    script = torch.jit.trace(network, torch.rand(1, 3, 64, 64)) if how == "trace" else torch.jit.script(network)
    file = tmp_path / "sscd_disc_mixup.torchscript.pt"
    script.save(str(file))
    path, difference = convert.import_sscd(str(file))
    assert path == str(here / "sscd" / "sscd.onnx") and difference < 1e-5
    made = models.fingerprinter("sscd")
    assert (made.spec.dim, made.spec.side, made.spec.default_threshold) == (512, 320, 0.75)
    pictures = [scene(seed, 320, 320) for seed in range(3)]
    values, _ = made.embed_batch(pictures)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    fed = np.stack([((p / 255 - mean) / std).transpose(2, 0, 1) for p in pictures]).astype(np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(fed)).numpy()
    assert np.abs(values - wanted).max() < 1e-5


def test_a_file_that_is_no_torchscript_or_not_sscd_is_refused_and_nothing_is_kept(here, tmp_path):
    file = tmp_path / "wrong.pt"
    file.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(UsageError, match="no TorchScript file") as raised:
        convert.import_sscd(str(file))
    assert "\n" not in str(raised.value)
    torch.jit.script(small_sscd(64)).save(str(file))
    with pytest.raises(UsageError, match="not 512: it is not SSCD"):
        convert.import_sscd(str(file))
    torch.jit.script(torch.nn.Linear(8, 512)).save(str(file))
    with pytest.raises(UsageError, match="cannot be used on pictures of 320 pixels") as raised:
        convert.import_sscd(str(file))
    assert "\n" not in str(raised.value)
    with pytest.raises(MissingPathError):
        convert.import_sscd(str(tmp_path / "none.pt"))
    assert not here.exists()


def test_a_conversion_that_gives_other_vectors_is_refused(here, tmp_path):
    class Moody(torch.nn.Module):
        def forward(self, x):
            seen = x.mean((2, 3)).mean(1, keepdim=True).expand(x.size(0), 512)
            return seen + torch.rand_like(seen)

    torch.jit.script(Moody()).save(str(tmp_path / "moody.pt"))
    with pytest.raises(UsageError, match="differs from it by"):
        convert.import_sscd(str(tmp_path / "moody.pt"))
    assert list(here.iterdir()) == []


def test_without_torch_the_error_names_the_extra(here, tmp_path, monkeypatch):
    (tmp_path / "file.pt").write_bytes(b"")
    monkeypatch.setattr(convert.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"imkin\[train\]"):
        convert.import_sscd(str(tmp_path / "file.pt"))
