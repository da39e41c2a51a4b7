import numpy as np

from evaluation.conversions import Song, Take
from evaluation.evaluators.base import Given
from evaluation.evaluators.cloning import Distortion, vocoded
from modules.config import DataConfig
from modules.f0_predictor import F0_PREDICTORS
from tests.support.golden_cases import voice
from vdecoder import VOCODERS


def test_the_vocoder_alone_stands_beside_the_conversion():
    audio = voice(1.0, 44100)
    f0, uv = F0_PREDICTORS.build("pm", sampling_rate=44100).predict(audio)
    copy = vocoded(audio, DataConfig(), VOCODERS.build("world", DataConfig(), "cpu"), f0 * uv, uv)
    assert len(copy) == len(f0) * 512
    song = Song("a", audio, 44100, f0, uv)
    judge = Distortion(Given())
    score = judge.judge(Take(song, audio, copy=copy))["mcd"]
    assert score.value == 0 and 0.5 < score.reference < 10
    assert np.isnan(judge.judge(Take(song, audio))["mcd"].reference)
