"""Melodies as MIDI files."""

import pytest

from inference.pitch.midi import read_midi, write_midi
from modules.common.errors import ConfigError
from modules.dsp.notes import MelodyNote

mido = pytest.importorskip("mido", reason="mido is missing: pip install -r requirements-onnx.txt")
NOTES = [MelodyNote(0.5, 1.0, 60.0), MelodyNote(1.0, 1.75, 64.0), MelodyNote(2.0, 2.1, 59.0)]


def test_written_notes_come_back(tmp_path):
    write_midi(tmp_path / "a.mid", NOTES)
    found = read_midi(tmp_path / "a.mid")
    for note, known in zip(found, NOTES, strict=True):
        assert (note.start, note.end, note.pitch) == pytest.approx((known.start, known.end, known.pitch))


def song(path, *messages, tempo=500000):
    file = mido.MidiFile()
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=tempo)])
    track += [mido.Message(kind, time=time, **values) for kind, time, values in messages]
    file.tracks.append(track)
    file.save(path)
    return path


def test_tempo_counts_drums_do_not_and_a_note_ends_where_the_next_begins(tmp_path):
    messages = [
        ("note_on", 0, {"note": 60}),
        ("note_on", 0, {"note": 35, "channel": 9}),
        ("note_on", 480, {"note": 62}),  # legato: 60 still sounds
        ("note_on", 480, {"note": 60, "velocity": 0}),
        ("note_off", 480, {"note": 62}),
    ]
    found = read_midi(song(tmp_path / "a.mid", *messages, tempo=1_000_000))
    assert found == [MelodyNote(0.0, 1.0, 60.0), MelodyNote(1.0, 3.0, 62.0)]


def test_files_that_are_no_melody_are_named(tmp_path):
    chord = [("note_on", 0, {"note": n}) for n in (60, 64)]
    song(tmp_path / "chord.mid", *chord, *(("note_off", 480, {"note": n}) for n in (60, 64)))
    song(tmp_path / "empty.mid")
    (tmp_path / "text.mid").write_bytes(b"no midi at all")
    (tmp_path / "cut.mid").write_bytes(song(tmp_path / "b.mid", *chord).read_bytes()[:-3])
    for name, message in (
        ("chord.mid", "several notes at once at 0.00 s"),
        ("empty.mid", "holds no notes"),
        ("text.mid", "cannot be read|is not a MIDI file"),
        ("cut.mid", "cannot be read|is not a MIDI file"),
        ("none.mid", "cannot be read: No such file"),
    ):
        with pytest.raises(ConfigError, match=message) as error:
            read_midi(tmp_path / name)
        assert "\n" not in str(error.value)
