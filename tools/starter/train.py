"""Step 5: train the network, and keep WORK/encoder.safetensors up to date while it runs.

Five losses train the units: the phone; the phones 60 ms before and after; equality
in two voices; contrast with the other units of the clip in the other voice; and an
adversary that identifies the speaker. Run it again to continue.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.common.cli import entry_point, make_parser
from modules.common.device import cpu_has_bf16
from tools.starter.augment import contrast, crop, disturb
from tools.starter.copies import kind_of
from tools.starter.phones import PHONES, UNKNOWN
from vencoder.ppg import ConvNextBlock, PpgNetwork

AROUND = 3  # units to the neighbouring phones
UNITS = 200  # of a clip: 4 s
BATCH = 14  # clips, each in two voices
RATE = 2e-3  # learning rate
ADVERSARY = 0.2  # weight of the speaker
# probability of each kind of speaker
SHARES = {
    "kokoro": 0.4,
    "held": 0.0,
    "asterisk-en": 0.16,
    "asterisk": 0.12,
    "festvox": 0.08,
    "gcin": 0.02,
    "flite": 0.12,
    "espeak": 0.1,
}
_DECAY = 0.995  # of the moving average of the weights, which is saved
_MOMENTS = ("exp_avg", "exp_avg_sq")  # of Adam


class _Shifted(nn.Conv1d):
    """A depthwise convolution as a sum of shifted copies: twice as fast as PyTorch's on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        n_units, reach, dilation = x.shape[1], int(self.padding[0]), self.dilation[0]
        padded = F.pad(x, (0, 0, reach, reach))
        taps = self.weight[:, 0].T.to(x.dtype)
        total = padded[:, :n_units] * taps[0]
        for tap in range(1, len(taps)):
            total = torch.addcmul(total, padded[:, tap * dilation :][:, :n_units], taps[tap])
        return (total + cast(Tensor, self.bias).to(x.dtype)).transpose(1, 2)


class Student(nn.Module):
    """The network, with the heads that only training needs."""

    def __init__(self, n_speakers: int) -> None:
        super().__init__()
        self.network = PpgNetwork()
        for block in self.network.blocks:
            cast(ConvNextBlock, block).time.__class__ = _Shifted
        width = self.network.out.out_features
        self.phones = nn.Linear(width, 3 * len(PHONES))
        self.speaker = nn.Linear(width, n_speakers)


class Corpus:
    """All spectra, in memory: 16 kB for each second and copy."""

    def __init__(self, work: Path, rng: np.random.Generator) -> None:
        self._rng = rng
        self.pieces: list[list[tuple[Tensor, Tensor]]] = []
        self.held: list[tuple[Tensor, Tensor]] = []
        self.names: list[str] = []
        self._numbers: list[int] = []
        folders = sorted((work / "speech").iterdir())
        self.n_speakers = len(folders)
        for number, folder in enumerate(folders):
            path = work / "spectra" / f"{folder.name}.npz"
            if not path.exists():
                continue
            with np.load(path, allow_pickle=False) as file:
                pieces = [
                    (torch.from_numpy(file[f"mel{index}"]), torch.from_numpy(file[f"phones{index}"]))
                    for index in range(len(file.files) // 2)
                ]
            if kind_of(folder.name) == "held":
                self.held += pieces
            elif pieces:
                self.pieces.append(pieces)
                self.names.append(folder.name)
                self._numbers.append(number)
        kinds = [kind_of(name) for name in self.names]
        chances = np.array([SHARES[kind] / kinds.count(kind) for kind in kinds])
        self._chances = chances / chances.sum()

    def batch(self, n_clips: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs (2 B, N, 80), phones (B, U), and speakers (2 B,), unknown for all but recordings."""
        mels, phones, speakers = [], [], []
        for speaker in self._rng.choice(len(self.pieces), n_clips, p=self._chances):
            pieces = self.pieces[speaker]
            copies, known = pieces[self._rng.integers(len(pieces))]
            pair = self._rng.choice(len(copies), 2, replace=False)
            mel, phone = crop(copies[pair], known, UNITS, self._rng)
            mels.append(mel)
            phones.append(phone)
            speakers.append([self._numbers[speaker] if copy == 0 else UNKNOWN for copy in pair])
        stacked = torch.stack(mels, 1).flatten(0, 1)
        return disturb(stacked, self._rng), torch.stack(phones), torch.tensor(speakers).T.flatten()


def reverse_gradient(x: Tensor, weight: float) -> Tensor:
    """``x``, whose gradient is multiplied by -``weight`` (Ganin and Lempitsky, 2015)."""
    x = x.view_as(x)
    if x.requires_grad:
        x.register_hook(lambda gradient: -weight * gradient)
    return x


def losses(
    student: Student, mel: Tensor, phones: Tensor, speakers: Tensor, adversary: float
) -> dict[str, Tensor]:
    """The five losses of a batch, and the accuracy of the phones."""
    with torch.autocast("cpu", torch.bfloat16, enabled=cpu_has_bf16()):
        units = student.network(mel)
        logits = student.phones(units).float()
        guess = student.speaker(reverse_gradient(units, adversary)).float()
    units = units.float()
    known = phones.repeat(2, 1)
    before, here, after = logits.split(len(PHONES), -1)

    def entropy(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
        return F.cross_entropy(
            logits.flatten(0, 1), target.flatten(), ignore_index=UNKNOWN, label_smoothing=smoothing
        )

    one, other = F.normalize(units - units.mean(1, keepdim=True), dim=-1).chunk(2)
    spoken = (phones != 0).float() + 0.2
    hits = (here.argmax(-1) == known)[known != UNKNOWN]
    result = {
        "phones": entropy(here, known),
        "around": entropy(before[:, AROUND:], known[:, :-AROUND])
        + entropy(after[:, :-AROUND], known[:, AROUND:]),
        "alike": 1 - (one * other).sum(-1).mean(),
        "contrast": contrast(one, other, spoken),
        "accuracy": hits.float().mean(),
    }
    if (speakers != UNKNOWN).any():
        result["speaker"] = entropy(guess, speakers[:, None].expand(-1, guess.shape[1]), 0.0)
    return result


WEIGHTS = {"phones": 1.0, "around": 0.2, "alike": 0.7, "contrast": 0.15, "speaker": 1.0}


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.train")
    parser.add_argument("work", type=Path, help="folder for all results")
    parser.add_argument("--minutes", type=float, default=60, help="of training in all (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    torch.manual_seed(args.seed)
    corpus = Corpus(args.work, np.random.default_rng(args.seed))
    student = Student(corpus.n_speakers)
    average = Student(corpus.n_speakers).requires_grad_(False)
    average.load_state_dict(student.state_dict())
    decayed = [p for p in student.parameters() if p.ndim > 1]
    rest = [p for p in student.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.02}, {"params": rest, "weight_decay": 0.0}],
        RATE, betas=(0.9, 0.98),
    )  # fmt: skip
    state = StarterState(args.work, student, average, optimizer)
    step, before = state.load()
    n_parameters = sum(parameter.numel() for parameter in student.network.parameters())
    print(f"{n_parameters / 1e6:.2f} M parameters, {len(corpus.names)} speakers")
    began, saved = time.monotonic() - before, time.monotonic()
    while True:
        batch = corpus.batch(BATCH)
        step += 1
        elapsed = time.monotonic() - began
        part = min(1.0, elapsed / (60 * args.minutes))
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, step / 100) * (0.02 + 0.98 * (1 + np.cos(np.pi * part)) / 2)
        found = losses(student, *batch, ADVERSARY * min(1.0, step / 500))
        total = torch.stack([WEIGHTS[name] * found[name] for name in WEIGHTS if name in found]).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            decay = min(_DECAY, step / (step + 10))
            for kept, new in zip(average.parameters(), student.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)
        if step % 20 == 0:
            line = "  ".join(f"{name} {float(value.detach()):.3f}" for name, value in found.items())
            print(f"{step}  {elapsed / 60:.1f} min  {line}", flush=True)
        if time.monotonic() - saved > 120 or part >= 1:
            saved = time.monotonic()
            state.save(step, elapsed)
            print(f"phone accuracy in held-out voices {_accuracy(average, corpus):.3f}", flush=True)
        if part >= 1:
            return 0


@torch.no_grad()
def _accuracy(student: Student, corpus: Corpus) -> float:
    from vencoder.ppg import relative_mel

    right = n_all = 0
    for copies, known in corpus.held:
        logits = student.phones(student.network(relative_mel(copies[:1].float().exp())[0]))[0]
        guess = logits.split(len(PHONES), -1)[1].argmax(-1)[: len(known)]
        labelled = known[: len(guess)] != UNKNOWN
        right += int((guess == known[: len(guess)])[labelled].sum())
        n_all += int(labelled.sum())
    return right / max(1, n_all)


class StarterState:
    """State of a run, in one safetensors file."""

    def __init__(
        self, work: Path, student: Student, average: Student, optimizer: torch.optim.Optimizer
    ) -> None:
        self._path = work / "training.safetensors"
        self._kept = work / "encoder.safetensors"
        self._student, self._average, self._optimizer = student, average, optimizer

    def load(self) -> tuple[int, float]:
        """Restore a previous run: its step and seconds; 0 and 0 without one."""
        from safetensors import safe_open

        if not self._path.exists():
            return 0, 0.0
        with safe_open(self._path, "pt") as file:
            for prefix, module in (("student", self._student), ("average", self._average)):
                names = module.state_dict()
                module.load_state_dict({name: file.get_tensor(f"{prefix}.{name}") for name in names})
            done = file.metadata()
            for name, parameter in self._student.named_parameters():
                if f"adam.exp_avg.{name}" in file.keys():  # noqa: SIM118
                    moments = {key: file.get_tensor(f"adam.{key}.{name}") for key in _MOMENTS}
                    self._optimizer.state[parameter] = {"step": torch.tensor(float(done["step"])), **moments}
        return int(done["step"]), float(done["seconds"])

    def save(self, step: int, seconds: float) -> None:
        """Write the whole state, and the averaged weights to a file of their own."""
        from safetensors.torch import save_file

        from modules.common.files import replacing

        kept = {name: tensor.contiguous() for name, tensor in self._average.state_dict().items()}
        content = {f"average.{name}": tensor for name, tensor in kept.items()}
        content |= {f"student.{name}": tensor for name, tensor in self._student.state_dict().items()}
        for name, parameter in self._student.named_parameters():
            if moments := self._optimizer.state.get(parameter):
                content |= {f"adam.{key}.{name}": moments[key] for key in _MOMENTS}
        done = {"step": str(step), "seconds": f"{seconds:.0f}"}
        for target, tensors in ((self._path, content), (self._kept, kept)):
            with replacing(target) as path:
                save_file(tensors, path, done)


if __name__ == "__main__":
    sys.exit(main())
