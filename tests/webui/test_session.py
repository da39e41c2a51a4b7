import gc
import threading
import weakref
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

from inference.options import ConvertOptions
from inference.pipeline import SongConverter
from model_tools import instant
from modules.common.errors import AudioError, GlowSVCError
from tests.webui.server import MODEL, RATE, make_project, tone
from webui.context import Context
from webui.convert.picture import draw_conversion
from webui.convert.results import advice_sentence, recent_results
from webui.convert.tab import plan_conversions, watch_conversion
from webui.convert.voice_model import instant_options, loaded_html, watch_instant, watch_loading
from webui.jobs.queue import CONVERTING, Cancelled, JobQueue
from webui.language import in_language
from webui.session import ConversionTask, ConvertedSong, Session, devices
from webui.texts import TEXTS

OPTIONS = ConvertOptions(
    model_path=MODEL, config_path="trained/anna/config.json", spk_list=("anna",), wav_format="wav"
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(make_project(tmp_path))
    return tmp_path


say = in_language(None)


def test_jobs_run_in_order_and_can_be_cancelled():
    queue, order, gate = JobQueue(), [], threading.Event()

    def work(name):
        def run(job):
            gate.wait(10)
            order.append(name)

        return run

    jobs = [queue.submit(work(name)) for name in "abcd"]
    for number, job in enumerate(jobs):
        assert f"waiting for {number} other job(s)" in queue.progress_html(job, say)
    jobs[1].cancel()
    with pytest.raises(Cancelled):
        jobs[1].result()
    gate.set()
    for job in (jobs[0], jobs[2], jobs[3]):
        job.result()
    assert order == ["a", "c", "d"]
    job = queue.submit(lambda job: job.enter(CONVERTING, "a <song>"))
    job.result()
    assert "converting a &lt;song&gt; · 0%" in queue.progress_html(job, say)


def test_a_recording_becomes_the_loaded_voice(project, reference_base, monkeypatch):
    monkeypatch.setattr(instant, "STARTER", reference_base)
    soundfile.write("bob.wav", tone(3.0, 110.0), RATE)
    (project / "text.wav").write_text("no sound")
    session = Session()
    values = {
        "model_path": MODEL,
        "config_path": "trained/anna/config.json",
        "spk_list": ["anna"],
        "trans": 3,
    }
    context = Context(project, lambda key: TEXTS[key][0])
    options_of = partial(instant_options, context, values)
    job = session.load_instant(project / "bob.wav", options_of)
    *_, (status, speakers, model) = watch_instant(job, session, say)
    assert "G_instant.pth is loaded" in status and speakers.value == ["bob"]
    assert (project / model).is_file() and session.options.model_path == model
    assert session.options.trans == (3.0,)
    tasks = plan_conversions([project / "raw" / "歌 one.wav"], session.options)
    assert isinstance(session.convert(session.options, tasks).result()[0], ConvertedSong)
    refused = session.load_instant(project / "text.wav", options_of)
    with pytest.raises(AudioError, match="^text.wav"):
        list(watch_instant(refused, session, say))
    assert session.options.model_path == model  # still loaded


def test_songs_are_converted_and_measured(project):
    soundfile.write("raw/low.wav", tone(3.0, 110.0), RATE)
    session = Session()
    tasks = plan_conversions([project / "raw" / "歌 one.wav", project / "raw" / "low.wav"], OPTIONS)
    names = [task.result.name for task in tasks]
    assert names == ["歌 one_0key_anna_glow_swift-f0.wav", "low_0key_anna_glow_swift-f0.wav"]
    converted = session.convert(OPTIONS, tasks).result()
    for entry in converted:
        conversion = entry.conversion
        assert entry.task.result.is_file() and conversion.seconds == pytest.approx(3.0)
        assert len(entry.result_f0) == round(3 * RATE) // 512 <= len(conversion.f0)
        assert conversion.chunks[0].start == 0 and conversion.chunks[-1].end == round(3 * RATE)
    # the pitch of the tones, within the vibrato of half a semitone
    f0 = converted[1].conversion.f0
    assert np.median(f0[f0 > 0]) == pytest.approx(110.0, rel=0.04)
    assert "a key of +24 semitones would fit better" in advice_sentence(converted[1], say)
    again = plan_conversions([project / "raw" / "low.wav"], replace(OPTIONS, trans=(24.0,)))
    assert session.convert(OPTIONS, again).result()[0].conversion.advice is None
    assert recent_results(project / "results")[0] == "low_24key_anna_glow_swift-f0.wav"


def test_pictures_are_in_the_language_of_the_page_if_a_font_has_it(project, monkeypatch):
    task = plan_conversions([project / "raw" / "歌 one.wav"], OPTIONS)
    (converted,) = Session().convert(OPTIONS, task).result()
    drawn: list[Figure] = []
    monkeypatch.setattr("inference.speaker_mix.plot.use_fonts", drawn.append)  # before it is saved
    chinese = SimpleNamespace(cookies={"glow_svc_language": "zh-CN"})

    def texts():
        assert draw_conversion(converted, chinese).size == (990, 720)
        return {text.get_text() for text in drawn.pop().findobj(Text)}

    keys = ("picture.loudness", "picture.f0.result", "picture.source")
    monkeypatch.setattr(fontManager, "ttflist", [f for f in fontManager.ttflist if f.name == "DejaVu Sans"])
    assert {TEXTS[key][0] for key in keys} <= texts()
    monkeypatch.setattr("inference.speaker_mix.plot.fonts", lambda text: (["DejaVu Sans"], set(text)))
    with pytest.warns(UserWarning, match="missing from font"):  # on a machine without such letters
        assert {TEXTS[key][1] for key in keys} <= texts()


def test_a_bad_song_does_not_stop_the_others_and_a_long_name_is_shortened(project, monkeypatch):
    (project / "raw" / "text.wav").write_text("no sound")
    soundfile.write("raw/second.wav", tone(1.0), RATE)
    session = Session()
    session.load(OPTIONS).result()
    synthesize, passages = session._converter.synthesize, []

    def fail_first(passage, report):
        passages.append(passage)
        if len(passages) == 1:
            raise RuntimeError("CUDA out of memory.\nTried to allocate")
        return synthesize(passage, report)

    monkeypatch.setattr(session._converter, "synthesize", fail_first)
    songs = [project / "raw" / name for name in ("text.wav", "歌 one.wav", "second.wav")]
    unreadable, too_large, good = session.convert(OPTIONS, plan_conversions(songs, OPTIONS)).result()
    assert isinstance(unreadable, AudioError) and str(unreadable).startswith("text.wav cannot be read")
    assert str(too_large).startswith("歌 one.wav: cpu is out of memory. Try ")
    assert good.task.result.is_file()
    taken = project / ("歌" * 78 + "_pm.wav")
    taken.write_bytes(b"")
    task = ConversionTask(project / "raw" / "歌 one.wav", taken, "anna", 0)
    name = Session().convert(OPTIONS, [task]).result()[0].task.result.name
    assert name.endswith(" (2).wav") and len(name.encode()) <= 240


def test_a_failure_removes_the_bar_and_updates_the_status(project):
    broken = replace(OPTIONS, model_path="trained/anna/broken.pth")
    (project / "trained" / "anna" / "broken.pth").write_bytes(b"PK\x03\x04 and no more")
    (project / "raw" / "text.wav").write_text("no sound")
    session = Session()
    shown: list[tuple[object, ...]] = []
    tasks = plan_conversions([project / "raw" / "text.wav"], OPTIONS)
    for watching, status, message in (
        (lambda: watch_conversion(session.convert(OPTIONS, tasks), session, say), "G_8.pth is", "text.wav"),
        (lambda: watch_conversion(session.convert(broken, tasks), session, say), "No voice", "broken.pth"),
        (lambda: watch_loading(session.load(broken), session, say), "No voice model", "broken.pth"),
    ):
        session.load(OPTIONS).result()
        with pytest.raises(GlowSVCError, match=message):
            shown.extend(watching())  # what comes before the error is kept
        *_, values = shown
        assert status in str(values) and "<progress" not in str(values)


def test_the_options_of_one_conversion_are_not_those_of_the_next(project):
    soundfile.write("song.wav", tone(0.3), RATE)
    session = Session()
    session.load(OPTIONS).result()
    task = ConversionTask(project / "song.wav", project / "result.mp3", "anna", 0.0)
    changed = replace(OPTIONS, wav_format="mp3", precision="bf16")  # loads again
    session.convert(changed, [task]).result()
    assert session.options == OPTIONS
    other = replace(OPTIONS, only_diffusion=False, model_path=str(project / MODEL))
    session.convert(other, [task]).result()
    assert session.options == other


def test_a_model_is_loaded_again_only_if_it_changed_and_unloading_frees_it(project, monkeypatch):
    session = Session()
    song = [project / "raw" / "歌 one.wav"]

    def loaded(**changes):
        options = replace(OPTIONS, **changes)
        session.convert(options, plan_conversions(song, options)).result()
        return session._converter

    first = loaded()
    assert loaded(noise_scale=0.1, trans=(3.0,), f0_predictor="dio") is first
    assert session.options == OPTIONS  # programs get the options that the model was loaded with
    assert "Number formats: Glow model float32." in loaded_html(session, say)
    assert loaded(precision="bf16") is not first
    assert "Number formats: Glow model bfloat16." in loaded_html(session, say)
    diffusion = {
        "shallow_diffusion": True,
        "diffusion_model_path": "logs/44k/diffusion/model_8.pt",
        "diffusion_config_path": "logs/44k/diffusion/config.yaml",
        "diffusion_speedup": 50,
    }
    second = loaded(**diffusion)
    assert second.refiner is not None and loaded(**diffusion) is second
    assert loaded(**diffusion, k_step=50) is not second
    session.load(OPTIONS).result()
    assert session.device == devices()[-1] == "cpu"
    network = weakref.ref(session._converter.model)
    converter: weakref.ref[SongConverter] = weakref.ref(session._converter)
    session.unload()
    gc.collect()
    assert network() is None and converter() is None
    assert session.options is None and session.config is None and session.device == ""
