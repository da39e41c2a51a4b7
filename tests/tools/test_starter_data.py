"""The data of the starter kit, as far as it needs no synthesizer."""

import numpy as np
import pytest

from modules.common.errors import ConfigError
from synthetic_voice.singers import SINGERS
from tools.starter import kokoro, phones, recordings
from tools.starter.phones import INDEX, LETTERS, PHONES, UNKNOWN
from tools.starter.speech import singing, summary, texts
from tools.starter.speech.files import write_clip
from tools.starter.speech.synthesizer import FRAME, LEAD, RATE, Prosody, timed, with_pauses

# of Kokoro 1.0
ALPHABET = (
    ';:,.!?—…"()“” \u0303ʣʥʦʨᵝꭧAIOQSTWYᵊabcdefhijklmnopqrstuvwxyzɑɐɒæβɔɕçɖðʤəɚɛɜɟɡɥɨɪʝɯɰŋɳɲɴøɸθœɹɾɻʁɽʂʃʈʧʊ'
    "ʋʌɣɤχʎʒʔˈˌːʰʲ↓→↗↘ᵻ"
)


def names(classes):
    return [PHONES[index] for index in classes]


def test_every_letter_of_kokoro_has_a_class_or_a_neighbour():
    marks = phones.LATER + phones.BEFORE + " "
    assert {letter for letter in ALPHABET if letter not in LETTERS} == set(marks)
    assert len(set(PHONES)) == len(PHONES) == 68 and {*LETTERS.values()} == {*range(68)}
    for row in (phones.VOWELS, phones.VOICED, phones.VOICELESS):
        assert len(row) == len(set(row)) and set(row) <= set(PHONES)


def test_units_have_the_class_at_their_middle_whatever_program_named_it():
    found = phones.per_unit(np.array([0.02, 0.05]), np.array([5, 7]), 4)
    assert found.tolist() == [5, 7, INDEX["sil"], INDEX["sil"]]  # middles at 10, 30, 50 and 70 ms
    assert (
        phones.of_ipa("tʃ") == phones.of_arpabet("CH") == INDEX["ʧ"]
        and recordings.of_russian("ch") == INDEX["ʨ"]
    )
    assert phones.of_ipa("ɛ̃") == INDEX["ɛ"] and phones.of_ipa("aɪ") == INDEX["aɪ"]
    assert phones.of_ipa("#") == UNKNOWN and phones.of_ipa("") == phones.of_arpabet("pau") == INDEX["sil"]
    assert names(map(recordings.of_russian, "pau oo nn pp zh".split())) == ["sil", "o", "ɲ", "p", "ʒ"]
    for name in "sil b aa AH0 er jh ng oy zh".split():
        assert phones.of_arpabet(name) or name in ("sil", "AH0")


def test_durations_become_times_of_phones():
    # two frames of silence, then k, stressed and long a, a space, t, a full stop, and silence
    ends, classes = timed("kˈaː t.", np.array([2, 1, 2, 3, 1, 2, 4, 5, 6]))
    assert names(classes) == ["sil", "k", "a", "t", "sil", "sil"]
    assert ends + LEAD == pytest.approx(np.array([2, 3, 10, 15, 20, 26]) * FRAME)
    units = phones.per_unit(ends, classes, 33)
    assert names(units[[0, 1, 9, 10, 15, 16]]) == ["k", "a", "a", "t", "t", "sil"]


def test_what_makes_no_sound_is_silence():
    audio = np.ones(RATE, np.float32)
    audio[RATE // 2 : RATE // 2 + 480 * 8] = 0  # a pause
    audio[:480] = 0  # a closure
    classes = with_pauses(np.full(50, 7, np.int16), audio, RATE)
    assert np.flatnonzero(classes != 7).tolist() == list(range(25, 33))
    audio, classes = kokoro.trimmed(np.arange(480.0 * 40), np.repeat([0, 7, 0], [15, 10, 15]))
    assert len(classes) == 24 and audio[0] == 8 * 480 and len(audio) == 24 * 480
    assert len(kokoro.trimmed(np.ones(4800), np.zeros(10, int))[1]) == 0


def test_a_vowel_of_each_syllable_is_held_for_its_notes():
    letters, durations = "kai, tˈe.", np.array([3, 2, 2, 3, 1, 1, 2, 1, 2, 2, 4])
    melody = iter([[(0.5, 60.0)], [(0.25, 62.0), (0.25, 64.0)]])
    held, notes = singing.hold(letters, durations, melody)
    assert notes.keys() == {3, 8}  # the longer of a and i; e
    changed = np.flatnonzero(held != durations).tolist()
    assert changed == [3, 8]
    assert held[3:8].sum() * FRAME == pytest.approx(0.5) and held[8:10].sum() * FRAME == pytest.approx(0.5)
    short = singing.hold(letters, durations, iter([[(0.01, 60.0)]] * 2))[0]
    assert np.array_equal(short, durations)  # nothing is shortened


def test_the_melody_has_its_notes_where_the_vowels_are_and_none_where_there_is_no_voice():
    letters, durations = "kai, tˈe.", np.array([8, 2, 2, 40, 6, 2, 2, 1, 30, 4, 8])
    notes = {3: [(1.0, 60.0)], 8: [(0.5, 62.0), (0.5, 65.0)]}
    plain = SINGERS["kit"]
    pitch = singing.melody_curve(letters, durations, notes, plain, seed=0)
    assert len(pitch) == 2 * durations.sum()
    ends, classes = timed(letters, durations)
    times = (np.arange(len(pitch)) + 0.5) / 80
    here = np.array(names(classes))[np.minimum(np.searchsorted(ends, times, side="right"), len(classes) - 1)]
    assert ((pitch == 0) == np.isin(here, ["sil", "k", "t"])).all()
    cents = 1200 * np.log2(np.maximum(pitch, 1) / 440) + 6900
    middle = {name: cents[(here == name) & (pitch > 0)] for name in "ie"}
    assert np.median(middle["i"]) == pytest.approx(6000, abs=15)
    first, second = np.array_split(middle["e"], 2)
    assert np.median(first[5:]) == pytest.approx(6200, abs=40)
    assert np.median(second[10:]) == pytest.approx(6500, abs=40)


def test_energy_is_stretched_letter_by_letter():
    before, after = np.array([4, 3, 5]), np.array([4, 20, 5])
    curve = np.repeat([1.0, 5.0, 2.0], 2 * before)
    shifted = np.roll(curve, -round(LEAD * 80))  # as the sound is before its times
    found = singing.stretch(shifted, before, after)
    assert len(found) == 58
    wanted = np.roll(np.repeat([1.0, 5.0, 2.0], 2 * after), -round(LEAD * 80))
    assert np.mean(np.abs(found - wanted)[:50] > 0.5) < 0.2


@pytest.mark.parametrize(
    "letters", ["sˈɪŋɪŋ ɪn ðə ɹˈAn, ænd wˈAtɪŋ.", "ʨʰy↘ pei↓ʨi→ŋ.", "pst.", "koɲɲiʨiβa."]
)
def test_any_letters_can_be_sung(letters):
    durations = np.full(len(letters) + 2, 3)
    n_values = 2 * durations.sum()
    spoken = Prosody(durations, np.full(n_values, 150.0), np.ones(n_values))
    for seed in range(3):
        prosody = singing.sung(letters, spoken, np.random.default_rng(seed))
        assert len(prosody.pitch) == len(prosody.energy) == 2 * prosody.durations.sum()
        assert (prosody.durations >= durations).all()
        voiced = prosody.pitch[prosody.pitch > 0]
        assert not len(voiced) or 60 < voiced.min() < voiced.max() < 400  # near where it is spoken


def fake_styles():
    names = [name for held in kokoro.HELD.values() for name in held[:2]]
    names += ["af_one", "bm_two", "zf_three", "ff_four"]
    return {
        name: np.full((510, 256), float(number), np.float32) for number, name in enumerate(sorted(set(names)))
    }


def test_no_voice_has_a_part_of_one_that_is_held_back(tmp_path):
    styles = fake_styles()
    kept_back = {name for held in kokoro.HELD.values() for name in held[:2]}
    used = [value[0, 0] for name, value in styles.items() if name not in kept_back]
    for name in kept_back:
        styles[name] += 1000
    low, high = min(used), max(used)
    for seed in range(50):
        for language in ("en", "fr", "zh"):
            voice = kokoro.KokoroVoice.between(styles, language, np.random.default_rng(seed))
            assert voice.style.shape == (510, 256) and voice.style.dtype == np.float32
            assert low <= voice.style.min() and voice.style.max() <= high
    french = kokoro.KokoroVoice.between(styles, "fr", np.random.default_rng(0))
    assert (french.style[:, 128:] == styles["ff_four"][0, 0]).all()  # said as by a speaker of French
    held = kokoro.KokoroVoice.held(styles, "en-000")
    assert held.style.min() >= 1000 and not held.british
    for name, value in styles.items():
        value.tofile(tmp_path / f"{name}.bin")
    assert kokoro.read_styles(tmp_path).keys() == styles.keys()
    with pytest.raises(ConfigError, match="npm pack kokoro-js"):
        kokoro.read_styles(tmp_path / "nowhere")


def test_every_language_has_its_share_of_voices_all_along():
    assert sum(kokoro.SHARES.values()) == pytest.approx(1) and tuple(kokoro.SHARES) == texts.LANGUAGES
    for count in (40, 240):
        made = kokoro.voice_names(count)
        assert len(set(made)) == count
        for language, share in kokoro.SHARES.items():
            assert sum(f"-{language}-" in name for name in made) == pytest.approx(share * count, abs=1.5)


def test_generation_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    for name, value in fake_styles().items():
        (tmp_path / "styles").mkdir(exist_ok=True)
        value.tofile(tmp_path / "styles" / f"{name}.bin")
    made, seen = [], 5

    def clips(voice, language, rng):
        made.append(language)
        if len(made) == seen:
            raise KeyboardInterrupt
        for kind in ("sung", "spoken") * 5:
            yield kind, np.full(RATE, 0.1), np.zeros(50, np.int16)

    monkeypatch.setattr(kokoro, "clips", clips)
    options = [str(tmp_path / "work"), "--styles", str(tmp_path / "styles")]
    options += ["--voices", "2", "--seconds", "3", "--processes", "1"]
    assert kokoro.main(options) != 0
    speech = tmp_path / "work" / "speech"
    assert sorted(path.name for path in speech.iterdir()) == [
        "held-en-000",
        "held-en-001",
        "held-en-002",
        "held-zh-000",
    ]
    (killed := tmp_path / "work" / "held-ja-000.unfinished").mkdir(exist_ok=True)
    (killed / "9999-sung.wav").touch()
    assert kokoro.main(options) == 0
    assert sorted(path.name for path in (speech / "held-ja-000").glob("*.wav")) == [
        "0000-sung.wav", "0001-spoken.wav", "0002-sung.wav",
    ]  # fmt: skip
    assert len(made) == 8 and len(list(speech.iterdir())) == 7
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["speech"]  # nothing half done


def test_levels_are_alike_and_nothing_clips():
    quiet = np.concatenate([np.zeros(1000), 0.01 * np.sin(np.arange(4000))])
    loud = kokoro.levelled(quiet)
    assert np.sqrt(np.square(loud[1000:]).mean()) == pytest.approx(kokoro.LEVEL, rel=0.1)
    clicks = np.where(np.arange(5000) % 1000 == 0, 0.5, 1e-3)
    assert np.abs(kokoro.levelled(clicks)).max() <= kokoro.PEAK + 1e-6


def test_sentences_consist_of_plain_words(tmp_path, monkeypatch):
    for topic in " ".join(texts.TOPICS.values()).split():
        (tmp_path / topic).parent.mkdir(exist_ok=True)
        (tmp_path / topic).write_text("", encoding="utf-8")
    text = (
        'A rolling stone gathers\nmore moss.\n\t\t-- Somebody, "Quotes"\n%\nNo 3 of these.\n%\nToo short.\n'
    )
    (tmp_path / "wisdom").write_text(text, encoding="utf-8")
    (tmp_path / "tang300").write_text("《静夜思》。\n床前明月光，疑是地上霜。 abc 短。\n", encoding="utf-8")
    (tmp_path / "es" / "vida").rename(tmp_path / "es" / "vida.fortunes")  # as Debian calls it
    (tmp_path / "es" / "vida.fortunes").write_text(
        "Así es la vida, ¿no?\nÉl está más allá.\n", encoding="utf-8"
    )
    monkeypatch.setattr(texts, "FORTUNES", tmp_path)
    assert texts.sentences() == ["A rolling stone gathers more moss."]
    assert texts.sentences("zh") == ["床前明月光，疑是地上霜。"]
    assert texts.sentences("es") == ["Él está más allá."]
    monkeypatch.setattr(texts, "FORTUNES", tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="apt-get install fortunes"):
        texts.sentences()


def test_recordings_are_read_once_with_their_labels(tmp_path, monkeypatch):
    share = tmp_path / "usr" / "share"
    voice = share / "asterisk" / "sounds" / "en_US_f_Somebody"
    voice.mkdir(parents=True)
    (voice / "hello.g722").write_bytes(b"")
    (voice.parent / "en").symlink_to(voice)  # not another voice
    russian = share / recordings._RUSSIAN
    for name in ("wav", "lab"):
        (russian / name).mkdir(parents=True)
    import soundfile

    soundfile.write(russian / "wav" / "ru_0001.wav", np.full(16000, 0.1), 16000)
    (russian / "lab" / "ru_0001.lab").write_text("#\n0.50000 125 pau\n1.00000 125 aa\n", encoding="ascii")
    for name, seconds in (("3", 1), ("5", 0.5)):
        (share / recordings._MANDARIN / "ㄇㄚ").mkdir(parents=True, exist_ok=True)
        soundfile.write(
            share / recordings._MANDARIN / "ㄇㄚ" / f"{name}.ogg", np.zeros(int(44100 * seconds)), 44100
        )
    (tmp_path / "texts").write_text(";comment\nhello: hello\n", encoding="utf-8")
    monkeypatch.setattr(recordings, "_decoded", lambda path: np.zeros(16000, np.float32))
    found = (np.array([0.5]), np.array([INDEX["h"]]))
    monkeypatch.setattr(recordings, "aligned", lambda audio, text: found)
    options = [str(tmp_path / "work"), "--transcripts", str(tmp_path / "texts"), "--root", str(tmp_path)]
    for _ in range(2):
        assert recordings.main(options) == 0
    made = sorted(
        path.relative_to(tmp_path / "work" / "speech").as_posix() for path in tmp_path.rglob("work/*/*/*")
    )
    assert made == [
        "asterisk-en-f_Somebody/hello-spoken.npy", "asterisk-en-f_Somebody/hello-spoken.wav",
        "festvox-ru-nsh/ru_0001-spoken.npy", "festvox-ru-nsh/ru_0001-spoken.wav",
        "gcin-zh-ChuLo/ㄇㄚ-spoken.wav",
    ]  # fmt: skip
    labels = np.load(tmp_path / "work" / "speech" / "festvox-ru-nsh" / "ru_0001-spoken.npy")
    assert names(labels) == ["sil"] * 25 + ["a"] * 25


def test_the_summary_counts_hours_and_faults(tmp_path, capsys):
    tone = 0.1 * np.sin(np.arange(RATE) * 0.1)
    half = np.where(np.arange(RATE) < RATE // 2, 0, tone)
    labels = np.repeat([INDEX["sil"], INDEX["a"]], 25).astype(np.int16)
    speech = tmp_path / "speech"
    write_clip(speech / "kokoro-fr-000" / "0000-sung.wav", half, RATE, labels)
    write_clip(speech / "kokoro-fr-000" / "0001-spoken.wav", half, RATE, labels[::-1])
    write_clip(speech / "asterisk-it-x" / "a-spoken.wav", 20 * tone, RATE, None)
    write_clip(speech / "asterisk-it-x" / "b-spoken.wav", 0 * tone, RATE, None)
    assert summary.main([str(tmp_path)]) == 0
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:]] for cells in table(capsys.readouterr().out)
    }
    # voices, hours, share sung, hours labelled, clips at full scale, silent clips, faults of labels
    assert rows["all"][:1] == ["2"] and rows["all"][2] == "0.25"
    assert rows["kokoro fr"][2:8] == ["0.50", "0.00", "0", "0", "0.500", "0.500"]
    assert rows["asterisk"][4:6] == ["1", "1"]


def table(text):
    return [line.split("|") for line in text.splitlines() if line.startswith("|")][2:]
