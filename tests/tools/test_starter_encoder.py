"""The training recipe of the starter encoder, on voices of noise."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from modules.common.errors import ConfigError
from tests.support.golden_cases import voice
from tools.starter.encoder import copies, encodings, losses, probe, state, teacher, tracks, train, write
from tools.starter.encoder.augment import REFERENCE, crop, disturb
from tools.starter.encoder.corpus import SHARES, Corpus
from tools.starter.encoder.encodings import PpgUnits
from tools.starter.encoder.initial import initialise
from tools.starter.phones import UNKNOWN
from vencoder.ppg import DESIGNS, PowerMel, PpgEncoder, pad_frames, relative_mel
from vencoder.ppg.attention import AttentionDesign
from vencoder.whisper import WhisperSpectrogram

VOICES = ("asterisk-en-one", "kokoro-en-000", "kokoro-zh-001", "held-en-000", "held-zh-000")


def write_voice(folder: Path, n_clips: int, seed: int) -> None:
    """Clips of noise of 1.01 s whose level and label change, all but the first labelled."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(n_clips):
        classes = np.repeat(rng.integers(0, 5, 10), 5).astype(np.int16)
        audio = np.repeat(0.02 * (classes + 1), 320) * rng.standard_normal(50 * 320)
        audio = np.append(audio, np.zeros(160)).astype(np.float32)
        soundfile.write(folder / f"{number:04d}-spoken.wav", audio, 16000)
        if number:
            np.save(folder / f"{number:04d}-spoken.npy", classes)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A work folder up to the teacher's units, which are noise."""
    folder = tmp_path_factory.mktemp("work")
    for seed, name in enumerate(VOICES):
        write_voice(folder / "speech" / name, 12, seed)
    (folder / "speech" / "tmp123").mkdir()  # a voice that is being written
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies, "NUMBERS", {"asterisk": (1, 1)})
        patch.setattr(copies, "_OTHERS", (1, 0))
        assert copies.main([str(folder), "--processes", "1"]) == 0
    for name in VOICES:
        n_units = len(tracks.read_track(folder, name).phones)
        units = {"units": torch.randn(n_units, 512, generator=torch.Generator().manual_seed(0)).half()}
        tracks.write_tensors(tracks.teacher_path(folder, name), units)
    return folder


@pytest.fixture
def small(monkeypatch):
    """A small network instead of the whole one."""
    design = AttentionDesign(2, 16, 2, 32, layers=2, bottleneck=12, past=6, future=2)
    monkeypatch.setitem(DESIGNS, losses.NAME, design)
    monkeypatch.setattr("evaluation.whisper_base.load_whisper_encoder", small_whisper)
    monkeypatch.setattr("tools.starter.encoder.corpus.BATCH", 400)


def test_a_track_is_its_clips_joined_with_their_labels(work):
    pieces = list(tracks.pieces(work / "speech" / VOICES[0]))
    assert [len(audio) for audio, _ in pieces] == [10 * 16000]  # the two left over are too short
    audio, classes = pieces[0]
    assert (classes[:50] == UNKNOWN).all() and (classes[50:] != UNKNOWN).all()
    level = np.sqrt(np.square(audio.reshape(-1, 320)).mean(1))
    np.testing.assert_allclose(level[50:], 0.02 * (classes[50:] + 1), rtol=0.25)
    track = tracks.read_track(work, VOICES[0])
    assert (track.source, track.language) == ("asterisk", "en")
    assert track.mels.shape == (3, 1000, 80) and track.bounds.tolist() == [0, 500]
    assert np.array_equal(track.phones.numpy(), classes) and track.teacher.shape == (500, 512)
    # the copies have its rhythm
    power = track.mels.float().exp().sum(-1).log()
    power = power - power.mean(1, keepdim=True)
    for copy in power[1:]:
        assert torch.corrcoef(torch.stack([power[0], copy]))[0, 1] > 0.7


def test_what_is_there_is_not_computed_again(work, monkeypatch):
    monkeypatch.setattr(copies, "copies", None)
    assert copies.main([str(work), "--processes", "1"]) == 0
    assert tracks.read_track(work, "kokoro-en-999") is None


def test_spectra_phones_and_teacher_move_together():
    """Each frame has its unit's class in its first band: at any tempo it must be that of the label."""
    rng = np.random.default_rng(0)
    phones = torch.arange(40).repeat_interleave(8)
    mels = phones.repeat_interleave(2)[None, :, None].expand(2, -1, 80).float()
    for n_units in (100, 100, 100, 300, 300):
        clip = crop(mels, phones.short(), phones[:, None].float(), n_units, rng)
        assert clip.mels.shape == (2, 2 * n_units, 80) and clip.reference.shape == (2, REFERENCE, 80)
        assert clip.phones.shape == (n_units,) and clip.teacher.shape == (n_units, 1)
        classes = clip.mels[0, :, 0].reshape(n_units, 2).mean(1)
        assert (classes - clip.phones).abs().max() < 1.0
        assert (classes - clip.teacher[:, 0]).abs().max() < 0.5
    mel, weight = disturb(torch.randn(4, 60, 80) - 5, torch.randn(4, 20, 80) - 5, rng)
    assert mel.shape == (4, 60, 80) and weight.shape == (4, 60, 1)
    assert mel.isfinite().all() and weight.isfinite().all()


def test_the_adversary_reverses_gradients_and_losses_are_lowest_where_units_match():
    x = torch.ones(3, requires_grad=True)
    y = losses.reverse_gradient(x, 0.5)
    (3 * y).sum().backward()
    assert torch.equal(x, y) and torch.equal(x.grad, torch.full((3,), -1.5))
    torch.manual_seed(0)
    units, weight = torch.nn.functional.normalize(torch.randn(2, 50, 32), dim=-1), torch.ones(2, 50)
    assert losses.contrast(units, units, weight) < 0.1 * losses.contrast(units, units.roll(20, 1), weight)
    assert losses.distance(units, units, weight) < 1e-5 < 0.5 < losses.distance(units, -units, weight)
    weight[:, 10:] = 0
    assert losses.distance(units, torch.cat([units[:, :10], -units[:, 10:]], 1), weight) < 1e-5


def small_whisper(n_layers):
    """An encoder like Whisper's with random weights."""
    torch.manual_seed(1)
    sizes = {"d_model": 16, "encoder_layers": n_layers, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    return WhisperEncoder(WhisperConfig(num_mel_bins=80, **sizes)).eval()


def test_the_network_begins_as_the_teacher(small, work):
    network, teacher = DESIGNS[losses.NAME].build(), small_whisper(2)
    initialise(network, work)
    x = torch.randn(1, 6, 16)
    for own, layer in zip(network.layers, teacher.layers, strict=True):
        own.past = own.future = 6
        for name, norm in (("attention_norm", layer.self_attn_layer_norm), ("norm", layer.final_layer_norm)):
            assert own.get_submodule(name).weight.std() < 1e-6  # one scale for all channels
            own.get_submodule(name).load_state_dict(norm.state_dict())
        assert 0 < own.distance.abs().max() < 10 and own.distance.mean(1).abs().max() < 1e-5
        own.distance = torch.nn.Parameter(torch.zeros(2, 13))
        wanted = layer(x, None)
        torch.testing.assert_close(own(x), wanted if isinstance(wanted, torch.Tensor) else wanted[0])
    audio = torch.from_numpy(next(tracks.pieces(work / "speech" / VOICES[0]))[0][: 16000 * 5])
    theirs = torch.nn.functional.gelu(teacher.conv1(WhisperSpectrogram(80, 1500)(audio)[None]))
    theirs = torch.nn.functional.gelu(teacher.conv2(theirs))[0].T[:240]
    ours = network.stem(relative_mel(PowerMel()(pad_frames(audio)[None]))[0])[0, :240] - network.place
    assert torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1] > 0.8


def test_batches_have_pairs_and_speakers_compete_within_their_language(work):
    corpus = Corpus(work, ["kokoro-en-777"])
    assert corpus.speakers[0] == "kokoro-en-777" and len(corpus.speakers) == 4
    assert [track.speaker for track in corpus.held] == ["held-en-000", "held-zh-000"]
    assert corpus.seconds == 30 and set(SHARES) == set(tracks.MOST) - {"held"}
    np.testing.assert_allclose(corpus._chances, [0.2 / 0.75, 0.275 / 0.75, 0.275 / 0.75])  # equally long
    batch = corpus.batch(np.random.default_rng(0))
    n_clips, n_units = batch.phones.shape
    assert batch.mel.shape == (2 * n_clips, 2 * n_units, 80)
    assert batch.teacher.shape == (n_clips, n_units, 512) and batch.rivals.shape[0] == 2 * n_clips
    for number, rivals in zip(batch.speakers.tolist(), batch.rivals, strict=True):
        language = corpus.speakers[number].split("-")[1] if number != UNKNOWN else None
        found = {corpus.speakers[index].split("-")[1] for index in rivals.nonzero()[:, 0].tolist()}
        assert len(found) == 1 and (language is None or found == {language})
    again = corpus.batch(np.random.default_rng(0))
    assert torch.equal(batch.mel, again.mel)
    with pytest.raises(ConfigError, match="run the steps copies and teacher first"):
        Corpus(work / "speech" / VOICES[0])


def test_training_continues_where_it_was_killed_and_its_weights_can_be_written(
    work, small, monkeypatch, capsys
):
    monkeypatch.setattr(train, "_SAVE_EVERY", 0.0)
    assert train.main([str(work), "--minutes", "0.01"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"M parameters, 3 voices, 0\.01 h\n", said)
    assert re.search(r"held-out voices: phones 0\.\d+, speaker [01]\.\d+ \(0\.500\)", said)
    student = losses.Student()
    optimizer = torch.optim.AdamW(student.parameters())
    run = state.StarterState(work, student, losses.Student(), optimizer)
    run.load()
    assert run.step > 0 and run.speakers == VOICES[:3] and student.deviation.min() > 0.5
    assert len(optimizer.state) == len(list(student.parameters()))
    steps = [run.step]
    more = str(run.seconds / 60 + 0.02)
    for _ in range(2):
        assert train.main([str(work), "--minutes", more]) == 0
        run.load()
        steps.append(run.step)
    assert steps[0] < steps[1] == steps[2]  # the time is up
    path = work / "new.safetensors"
    assert write.main([str(work), "--output", str(path)]) == 0
    encode, audio = PpgUnits(PpgEncoder(losses.NAME, weights=path)), voice(1.0, 16000)
    units = encode(audio)
    assert units.shape == (12, 50) and np.isfinite(units).all()
    np.testing.assert_allclose(encode.ahead(0.5, audio), units, rtol=1e-4, atol=1e-4)
    assert np.abs(encode.ahead(0.0, audio) - units).max() > 0.002


class Echo(torch.nn.Module):
    """Units that are frames of the spectrogram: each must come out where it went in."""

    class config:  # noqa: N801
        num_mel_bins, max_source_positions, d_model = 8, teacher.WINDOW, 8

    def forward(self, mel):
        assert mel.shape == (1, 8, 2 * teacher.WINDOW)
        return type("Output", (), {"last_hidden_state": mel.unflatten(2, (-1, 2)).mean(3).transpose(1, 2)})


def test_the_teachers_units_are_where_their_sound_is(monkeypatch):
    monkeypatch.setattr("evaluation.whisper_base.load_whisper_encoder", lambda layer: Echo())
    made = teacher.Teacher()
    n_units = 1700
    loud = torch.zeros(n_units, 320)
    loud[::100] = torch.randn(17, 320)
    units = made.units(loud.flatten())
    assert units.shape == (n_units, 8)
    assert units.mean(1).reshape(17, 100).argmax(1).tolist() == [0] * 17


def test_the_probes_hear_the_voices_that_are_there(tmp_path, monkeypatch):
    speech, lj = tmp_path / "speech", tmp_path / "lj"
    voices = {"asterisk-en-one": 3, "asterisk-es-one": 3, "asterisk-fr-two": 3, "kokoro-en-000": 2}
    for name, n_clips in {**voices, "held-en-000": 2, "held-en-001": 1}.items():
        write_voice(speech / name, n_clips, 0)
    write_voice(lj, 2, 1)
    monkeypatch.setattr(encodings, "_aligned", lambda folder: [])
    found = encodings.Recordings(speech, lj, 1.0)
    assert list(found.speakers) == ["asterisk-en-one", "asterisk-fr-two", "LJ"]
    assert list(found.english) == ["asterisk-en-one", "LJ", "held-en-000"]  # one clip is too few
    assert not found.phones and not found.english_phones  # nor is there a voice for each
    for number in (1, 2):
        write_voice(speech / f"kokoro-en-{number:03d}", 2, number)
    found = encodings.Recordings(speech, lj, 1.0)
    assert [len(clips) for clips in found.english_phones] == [1, 1, 1] and not found.phones


def test_probes_find_what_units_hold():
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((4, 12))

    def encode(audio):
        return directions[(100 * audio[::320]).round().astype(int)].T + 0.01 * rng.standard_normal((12, 1))

    def clip(seed):
        classes = np.random.default_rng(seed).integers(0, 4, 60)
        return np.repeat(classes / 100, 320).astype(np.float32) + 1e-3, classes.astype(np.int16)

    head = probe.phone_head(encode, [clip(seed) for seed in range(5)])
    assert probe.phones_by(head, encode, [clip(9)])[0] > 0.95
    assert probe.cosine(encode, encode, [clip(1)[0]]) > 0.99
    voices = {"one": [clip(seed)[0] for seed in range(4)], "two": [clip(seed)[0] for seed in range(10, 14)]}
    assert probe.speaker_found(encode, voices) < 0.75
    said = [[rng.integers(low, low + 6, 200) for _ in range(2)] for low in (1, 1, 4)]
    assert 0.4 < probe.speaker_in_phones(said) < 0.8 and probe.speaker_in_phones(said[:2]) < 0.6
    units = rng.standard_normal((200, 12)) + np.repeat([[0.0], [4.0]], 100, 0)
    classifier = probe.LinearClassifier(units[::2], np.repeat([0, 1], 50), 2, 1e-3)
    assert (classifier.guess(units[1::2]) == np.repeat([0, 1], 50)).all()
