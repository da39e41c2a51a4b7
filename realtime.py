"""Sing into the microphone and hear another voice: live conversion with a trained voice model.

Use headphones: a loudspeaker beside the microphone feeds back. Input and output are
sound devices, or files: a file as input and output is converted by the same engine, as
fast as the computer can.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from modules.common.cli import entry_point, make_parser
from modules.common.errors import ConfigError
from modules.f0_predictor import F0_PREDICTORS, LIVE_PREDICTOR

if TYPE_CHECKING:
    from inference.conversion import PitchFiles
    from inference.output import SongWriter
    from inference.realtime.commands import Commands
    from inference.realtime.devices import DeviceStreams
    from inference.realtime.engine import RealtimeEngine
    from inference.realtime.session import LiveSession

# options of a conversion that a stream has not, or has in another form
NOT_LIVE = frozenset(
    (
        *(
            "trans",
            "spk_list",
            "f0_predictor",
            "clean_names",
            "use_spk_mix",
            "spk_mix_file",
            "clip",
            "linear_gradient",
        ),
        *("linear_gradient_retain", "slice_db", "pad_seconds", "loudness_envelope_adjustment", "wav_format"),
        *("write_f0", "midi", "write_midi", "autotune", "scale", "protect", "preview"),
    )
)
EPILOG = """\
examples:
  python realtime.py --list_devices
  python realtime.py -m logs/44k/G_best.pth -s anna -t 12                  default microphone and loudspeaker
  python realtime.py -m logs/44k/G_best.pth -s anna --input usb --output 5 --record take.flac
  python realtime.py -m logs/44k/G_best.pth -s anna --block 35             shorter latency
  python realtime.py -m logs/44k/G_best.pth -s anna --measure_latency      output connected to input
  python realtime.py -m logs/44k/G_best.pth -s anna --input song.wav --output result.flac
  python realtime.py -m logs/44k/G_best.pth -s anna --input song.wav --output result.flac --f0 song.f0.csv
  python realtime.py --reference recordings/anna.wav                       without training
  python realtime.py --onnx checkpoints/anna -s anna                       without PyTorch

While it runs, type and press Enter:
  t 5            key change in semitones
  s bob          another speaker of the model
  m other.pth    another voice model (its config.json beside it); t and s stay
  q              the end, as Ctrl-C; a recording is kept

Latency is block + look-ahead + computing + sound cards. If the load is above 70 %, a longer --block
helps most, then a shorter --context and --unit_context; on a GPU the load is lower.
"""


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    from inference.options.arguments import add_arguments
    from inference.realtime.settings import RealtimeSettings

    parser = make_parser(__doc__, EPILOG)
    add = parser.add_argument
    add(
        "--list_devices",
        action="store_true",
        help="list the sound devices and end; * is the system's default",
    )
    add(
        "--input",
        metavar="DEVICE",
        help="microphone: number or part of its name, or a sound file (default: *)",
    )
    add("--output", metavar="DEVICE", help="loudspeaker: number or part of its name, or a file (default: *)")
    add("--exclusive", action="store_true", help="use WASAPI devices (Windows) alone: shorter latency")
    add(
        "-s", "--speaker", default="", metavar="NAME", help="target speaker, by name or id; not needed if one"
    )
    add("-t", "--trans", type=float, default=0.0, metavar="NUMBER", help="key change in semitones (0)")
    for time_ in fields(RealtimeSettings):
        text = f"{time_.metadata['help']} ({time_.default:g})"
        add(f"--{time_.name}", type=float, default=time_.default, metavar="NUMBER", help=text)
    add(
        "--record", default="", metavar="FILE", help="keep what is heard in a sound file: flac, wav, mp3, ogg"
    )
    add(
        "--measure_latency",
        action="store_true",
        help="measure the latency with noise bursts and end: connect the output with the input first",
    )
    add_arguments(parser, but=NOT_LIVE)
    add(
        "-f0p",
        "--f0_predictor",
        default=LIVE_PREDICTOR,
        choices=F0_PREDICTORS,
        help="pitch tracker; others than pm hear less of the end of a block (%(default)s)",
    )
    return parser


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Convert until the end of the input, or until Ctrl-C; return the exit code."""
    args = get_parser().parse_args(argv)
    # on tensors of a block, further threads cost more than they help; it counts when PyTorch is loaded
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if args.list_devices:
        return _list()

    from inference.conversion import PitchFiles
    from inference.options.arguments import from_arguments
    from inference.pitch.paths import pitch_files
    from inference.realtime.files import is_file_name
    from inference.realtime.settings import RealtimeSettings

    options = from_arguments(args)
    settings = RealtimeSettings(
        **{time_.name: getattr(args, time_.name) for time_ in fields(RealtimeSettings)}
    )
    source = Path(args.input) if args.input and is_file_name(args.input) else None
    result = Path(args.output) if args.output and is_file_name(args.output) else None
    if result and args.record:
        raise ConfigError("--record: --output is a file already; remove one of them")
    if args.measure_latency and (source or result):
        raise ConfigError("--measure_latency measures sound devices; remove the files")
    if source and not source.is_file():
        raise ConfigError(f"--input: there is no file {source}")
    if options.f0_file and not (source and result):
        raise ConfigError("--f0 counts from the beginning of a song; it needs files as --input and --output")
    pitch = pitch_files(options, [source])[source] if source else PitchFiles()
    streams = None if source and result else _streams(args, source, result)
    if options.reference:
        from model_tools.instant import make_instant_voice

        options = replace(options, reference="", model_path=str(make_instant_voice(options.reference)))

    from inference.realtime.commands import Commands

    commands = Commands(options, settings, args.speaker, args.trans)
    engine = commands.load()
    with _recorder(result or args.record, engine, commands) as recorder:
        if streams is None:
            assert source and recorder
            return _convert_file(engine, source, pitch, recorder, result)
        if args.measure_latency:
            return _measure(engine, streams)
        return _live(commands, engine, streams, source, recorder)


def _list() -> int:
    from inference.realtime.devices import list_devices

    for kind in ("input", "output"):
        print(f"{kind}s:")
        print("\n".join(map(str, list_devices(kind))) or "  none")
    return 0


def _streams(args: argparse.Namespace, source: Path | None, result: Path | None) -> DeviceStreams:
    """The sound devices that are needed."""
    from inference.realtime.devices import DeviceStreams, find_device

    return DeviceStreams(
        None if source else find_device("input", args.input),
        None if result else find_device("output", args.output),
        args.exclusive,
    )


@contextmanager
def _recorder(path: str | Path, engine: RealtimeEngine, commands: Commands) -> Iterator[SongWriter | None]:
    """The file that the result goes to, if one does."""
    if not path:
        yield None
        return
    from inference.output import writing

    suffix = Path(path).suffix.lstrip(".")
    with writing(path, engine.sampling_rate, suffix, commands.tag) as writer:
        yield writer
    print(f"{path}: recorded")


def _convert_file(
    engine: RealtimeEngine, source: Path, pitch: PitchFiles, writer: SongWriter, result: Path | None
) -> int:
    from inference.pitch.song import given_curve
    from inference.realtime.files import convert_stream
    from modules.common.progress import seconds_bar
    from modules.dsp.audio import open_audio

    with open_audio(source) as file:
        total = file.frames / file.samplerate
    frame_rate = engine.converter.frame_rate
    if pitch.f0:
        engine.curve = given_curve(None, pitch, math.ceil(total * frame_rate), frame_rate)
    began = time.perf_counter()
    with seconds_bar(source.name) as show:
        convert_stream(engine, source, writer, lambda done: show(done, total))
    factor = (time.perf_counter() - began) / total
    print(f"{result}: {total:.1f} s, real-time factor {factor:.2f}, latency {1000 * engine.latency:.0f} ms")
    return 0


def _measure(engine: RealtimeEngine, streams: DeviceStreams) -> int:
    """Measure the latency through the sound devices, and print it."""
    from inference.realtime.commands import check_speed
    from inference.realtime.loopback import N_BURSTS, SECONDS, LoopbackProbe
    from inference.realtime.runner import running
    from inference.realtime.session import LiveSession

    check_speed(engine)
    probe, rates = LoopbackProbe(engine), streams.rates(engine.sampling_rate)
    session = LiveSession(probe, *rates)  # type: ignore[arg-type]
    print(f"measuring for {SECONDS:.0f} s ...", file=sys.stderr)
    with running(session, streams, rates) as check:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(0.1)
            check()
        status = session.status()
    found = probe.result()
    print(
        f"latency {1000 * found.latency:.1f} ms, measured ({found.found} of {N_BURSTS} bursts, within "
        f"{1000 * found.spread:.1f} ms); {1000 * engine.latency:.1f} ms of it are block and look-ahead\n"
        f"load {100 * status.load:.0f} % (p95), {status.underruns} underruns, {status.skipped} blocks skipped"
    )
    return 0


def _live(
    commands: Commands,
    engine: RealtimeEngine,
    streams: DeviceStreams,
    source: Path | None,
    recorder: SongWriter | None,
) -> int:
    """Convert between devices, or a device and a file, until the end."""
    from inference.realtime.commands import check_speed
    from inference.realtime.files import Pacer
    from inference.realtime.runner import running
    from inference.realtime.session import LiveSession

    check_speed(engine)
    rates = streams.rates(engine.sampling_rate)
    session = LiveSession(engine, *rates, recorder)
    commands.listen()
    names = [str(device.name) for device in (streams.source, streams.sink) if device]
    print(f"{' → '.join(names)}: Ctrl-C ends; t, s, m and q change it, see --help", file=sys.stderr)
    with ExitStack() as stack:
        pacer = None
        if source or not streams.sink:
            pacer = stack.enter_context(Pacer(session, source, engine.sampling_rate, not streams.sink))
        check = stack.enter_context(running(session, streams, rates))
        try:
            while not commands.ended and not (pacer and pacer.finished.wait(0)):
                time.sleep(0.25)
                check()
                commands.obey(session)
                _show(session, streams)
            if pacer and pacer.finished.is_set():
                time.sleep(session.latency)
        except KeyboardInterrupt:
            pass  # the usual end; a recording is kept
        finally:
            status = session.status()
            print(
                f"\n{status.seconds:.0f} s, latency {1000 * (status.latency + streams.latency):.0f} ms, load "
                f"{100 * status.load:.0f} %, {status.underruns} underruns, {status.skipped} blocks skipped",
                file=sys.stderr,
            )
            if status.suggestion:
                print(commands.advice(status), file=sys.stderr)
    return 0


def _show(session: LiveSession, streams: DeviceStreams) -> None:
    """One line on a terminal: levels, latency, load."""
    if not sys.stderr.isatty():
        return
    status = session.status()
    latency = 1000 * (status.latency + streams.latency)
    sys.stderr.write(
        f"\rin {status.input_level:4.0f} dB  out {status.output_level:4.0f} dB  latency {latency:.0f} ms "
        f"(algorithm {1000 * status.algorithmic:.0f})  load {100 * status.load:3.0f} %  underruns "
        f"{status.underruns}  skipped {status.skipped} "
    )
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
