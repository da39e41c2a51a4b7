"""Step 1: make a data set of recordings: mono, trimmed, at one rate and level.

Reads dataset_raw/<speaker>/*, any format, rate and channel count, and writes
dataset/44k/<speaker>/*.wav with 16 bits. Recordings that cannot be used are
skipped and named.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.common.cli import entry_point, make_parser
from modules.common.errors import AudioError, ConfigError
from modules.common.files import write_text
from modules.common.parallel import failure, run

if TYPE_CHECKING:
    from modules.dsp.blocks import Samples

EPILOG = """\
examples:
  python resample.py
  python resample.py --loudnorm lufs --slice      long recordings of singing

Run it again to continue after an interruption, or to add recordings: files that are
done already, with the same settings, are kept. Only files directly in a speaker's
folder are read, not those in folders within it.
Next step:  python preprocess_flist_config.py
"""
JOURNAL = ".resample.jsonl"  # in the output folder: one line for each recording that is done
FACTS = {"seconds", "lufs", "clipped", "bytes"}  # in a line, of each clip
VERSION = 3  # counts up when the processing changes; older outputs are then made again
SILENCE = 1e-4  # a recording whose highest peak is below -80 dBFS is silent: three steps of 16 bits
SHORTEST, LONGEST = 5.0, 15.0  # s, of the clips that --slice cuts
USELESS = 0.3  # s; shorter cuttings are dropped, step 2 would skip them
LONGEST_STEM = 200  # bytes; what is added to it stays below modules/dataset/layout.py:LONGEST_NAME

logger = logging.getLogger(__name__)


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = make_parser(__doc__, EPILOG)
    add = parser.add_argument
    add("--sr2", type=int, default=44100, help="sampling rate to write, Hz (%(default)s)")
    add("--in_dir", default="./dataset_raw", help="recordings, a folder for each speaker (%(default)s)")
    add("--out_dir2", default="./dataset/44k", help="where the data set goes (%(default)s)")
    add("--skip_loudnorm", action="store_true", help="leave loudness as it is")
    add(
        "--loudnorm",
        choices=("peak", "lufs"),
        default="peak",
        help="match the highest peak to full scale, or the loudness to -20 LUFS with true peaks "
        "of at most -1 dB: steadier where clips hold clicks or shouts (%(default)s)",
    )
    add("--slice", action="store_true", help="cut recordings over 15 s at silences into clips of 5 to 15 s")
    add("--num_processes", type=int, default=0, help="recordings at a time; 0: one per core (%(default)s)")
    return parser


@dataclass(frozen=True)
class ResampleSettings:
    """Everything that an output depends on, besides the recording."""

    sampling_rate: int
    loudnorm: str  # peak, lufs or none
    slice: bool
    version: int = VERSION


@dataclass(frozen=True)
class ResampleJob:
    """A recording, and the path of its clips without number and suffix."""

    source: Path
    target: Path
    settings: ResampleSettings


@dataclass
class JournalEntry:
    """Line of the journal: a finished recording, and the clips that were made of it."""

    source: str  # <speaker>/<file>
    target: str  # name of its clips, without number and suffix
    bytes: int
    mtime_ns: int
    settings: dict[str, Any]
    clips: dict[str, dict[str, Any]] = field(default_factory=dict)  # facts by file name
    skipped: str = ""

    def holds(self, job: ResampleJob, folder: Path) -> bool:
        """Whether ``folder`` already contains the output of ``job``."""
        status = job.source.stat()
        return (
            not self.skipped
            and self.target == job.target.name
            and (self.bytes, self.mtime_ns) == (status.st_size, status.st_mtime_ns)
            and self.settings == asdict(job.settings)
            and all(_size(folder / name) == facts["bytes"] for name, facts in self.clips.items())
        )


def convert(job: ResampleJob) -> JournalEntry:
    """Make the clips of one recording; a bad one is reported, not raised."""
    status = job.source.stat()
    name = f"{job.source.parent.name}/{job.source.name}"
    done = JournalEntry(name, job.target.name, status.st_size, status.st_mtime_ns, asdict(job.settings))
    try:
        _make_clips(job, done)
    except AudioError as error:
        done.skipped = str(error)
    except OSError as error:
        done.skipped = failure(job.source, error)
    return done


def _make_clips(job: ResampleJob, done: JournalEntry) -> None:
    """Write the clips of one recording, and list them in ``done``.

    The recording is read in blocks, so memory does not grow with its length.
    """
    from modules.dataset.report import is_clipped, measure
    from modules.dsp.audio import (
        check_length,
        mono_blocks,
        open_audio,
        resample_blocks,
        resampled_length,
        write_audio,
    )
    from modules.dsp.blocks import ScratchAudio, blocks, changed
    from modules.dsp.loudness import below_full_scale, match_lufs, match_peak, to_int16, trim_silence

    settings = job.settings
    scratch = job.target.parent.parent  # the output folder
    with ExitStack() as stack:
        file = stack.enter_context(open_audio(job.source))
        rate = file.samplerate
        recording = stack.enter_context(ScratchAudio(scratch, mono_blocks(file)))
        check_length(job.source, resampled_length(len(recording), rate, settings.sampling_rate))
        clipped = is_clipped(recording)
        audio = centre(recording, rate)
        if is_silent(audio):
            raise AudioError(f"{job.source} is silent")
        audio = trim_silence(audio, rate)
        pieces = [trim_silence(piece, rate) for piece in cut(audio, rate)] if settings.slice else [audio]
        for number, piece in enumerate(pieces):
            resampled = resample_blocks(blocks(piece), rate, settings.sampling_rate)
            with ScratchAudio(scratch, resampled) as whole:
                clip = below_full_scale(whole)
                if settings.loudnorm == "peak":
                    clip = match_peak(clip)
                elif settings.loudnorm == "lufs":
                    clip = match_lufs(clip, settings.sampling_rate)
                ending = f"_{number:03d}.wav" if settings.slice else ".wav"
                path = job.target.with_name(job.target.name + ending)
                write_audio(path, changed(clip, to_int16), settings.sampling_rate, subtype="PCM_16")
                facts = {**measure(clip, settings.sampling_rate), "clipped": clipped, "bytes": _size(path)}
                done.clips[f"{path.parent.name}/{path.name}"] = facts


def centre(audio: Samples, rate: int) -> Samples:
    """Remove the constant offset (DC) of a whole recording ``audio`` (T,)."""
    from modules.dsp.blocks import blocks, changed
    from modules.dsp.infrasound import OffsetMeter, remove_offset

    meter = OffsetMeter(rate)
    for block in blocks(audio):
        meter.feed(block)
    offset = meter.offset()
    return changed(audio, lambda block: remove_offset(block, offset)) if offset else audio


def is_silent(audio: Samples) -> bool:
    """Whether a recording ``audio`` (T,), which :func:`centre` centred, holds no sound."""
    from modules.dsp.blocks import peak

    return bool(peak(audio) < SILENCE)


def cut(audio: Samples, rate: int) -> list[Samples]:
    """Pieces of ``audio`` (T,) between its silences, none longer than 15 s.

    Silence is what lies 40 dB below the recording's own peak, or deeper where single clicks are much
    louder than the voice. Singers leave
    shorter gaps than speakers do, hence the interval of 0.1 s. A recording of
    at most 15 s stays whole.
    """
    if len(audio) <= LONGEST * rate:
        return [audio]
    from modules.dsp.blocks import blocks, part
    from modules.dsp.loudness import match_peak
    from modules.dsp.slicer import LoudnessMeter, SliceRule, limit_length, slice_ranges

    rule = SliceRule(min_length=SHORTEST, min_interval=0.1, max_kept=0.5)
    meter = LoudnessMeter(rate, rule)
    for block in blocks(match_peak(audio)):
        meter.feed(block)
    rms = meter.rms()
    rule = rule.for_song(rms)
    ranges = limit_length(slice_ranges(rms, len(audio), rate, rule), rms, rate, rule, SHORTEST, LONGEST)
    pieces = [part(audio, found.start, found.end) for found in ranges if not found.silent]
    return [piece for piece in pieces if len(piece) >= USELESS * rate] or [audio]


def plan(clips: dict[str, list[Path]], out_dir: Path, settings: ResampleSettings) -> list[ResampleJob]:
    """Jobs of all recordings; no two write to the same name.

    Of recordings that differ only in suffix the wav keeps its name, the others
    get the suffix into theirs: ``song.wav`` and ``song.flac`` give ``song.wav``
    and ``song_flac.wav``. A name that leaves no room for those of the features is cut short.
    """
    jobs = []
    for speaker, files in clips.items():
        taken: set[str] = set()
        for source in sorted(files, key=lambda path: (path.suffix.lower() != ".wav", path.name)):
            stem = _shortened(source.stem)
            if stem.casefold() in taken:
                stem = f"{stem}_{source.suffix[1:].lower()}"
            while stem.casefold() in taken:
                stem += "_2"
            taken.add(stem.casefold())
            jobs.append(ResampleJob(source, out_dir / speaker / stem, settings))
    return jobs


def _shortened(stem: str) -> str:
    """Beginning of ``stem``, made unique by a digest; a short one stays as it is."""
    content = stem.encode()
    if len(content) <= LONGEST_STEM:
        return stem
    digest = hashlib.blake2b(content, digest_size=4).hexdigest()
    return f"{content[: LONGEST_STEM - 9].decode(errors='ignore')}_{digest}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _read_journal(path: Path) -> dict[str, JournalEntry]:
    entries = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = JournalEntry(**json.loads(line))
                whole = all(FACTS <= facts.keys() for facts in entry.clips.values())
            except (ValueError, TypeError, AttributeError):
                continue  # cut short by a kill
            if not all(map(_is_clip_name, entry.clips)):  # data sets come from anyone
                logger.warning("ignored: a line of %s names files that are not clips of this data set", path)
            elif whole:
                entries[str(entry.source)] = entry
    return entries


def _is_clip_name(name: str) -> bool:
    """Whether ``name`` is <speaker>/<clip>.wav, and does not lead elsewhere."""
    parts = name.split("/")
    plain = all(part not in ("", "..") and Path(part).name == part for part in parts)
    return plain and len(parts) == 2 and name.endswith(".wav")


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Convert new and changed recordings; return the exit code."""
    args = get_parser().parse_args(argv)

    from modules.common.progress import progress_bar
    from modules.dataset.layout import find_clips
    from modules.dataset.report import as_text, save_report, summarize

    if args.sr2 < 8000:
        raise ConfigError(
            f"--sr2 {args.sr2}: a sampling rate is given in Hz, 44100 for every published model"
        )
    if Path(args.in_dir).resolve() == Path(args.out_dir2).resolve():
        raise ConfigError("--out_dir2 is --in_dir: clips would overwrite the recordings; name another folder")
    if args.skip_loudnorm and args.loudnorm != "peak":
        logger.warning("--loudnorm has no effect with --skip_loudnorm")
    settings = ResampleSettings(args.sr2, "none" if args.skip_loudnorm else args.loudnorm, args.slice)
    out_dir = Path(args.out_dir2)
    jobs = plan(find_clips(args.in_dir), out_dir, settings)
    journal = out_dir / JOURNAL
    entries = _read_journal(journal)
    names = {f"{job.source.parent.name}/{job.source.name}": job for job in jobs}
    kept = {name for name, job in names.items() if name in entries and entries[name].holds(job, out_dir)}
    todo = [job for name, job in names.items() if name not in kept]
    if kept:
        print(f"{len(kept)} of {len(jobs)} recordings are done already and kept")
    for name in names.keys() & entries.keys() - kept:  # clips of other settings
        for clip, facts in entries.pop(name).clips.items():
            if _size(out_dir / clip) == facts["bytes"]:  # unchanged since
                (out_dir / clip).unlink()

    # one line per entry again; then lines are added, so a killed run loses none
    write_text(journal, "".join(json.dumps(asdict(entry)) + "\n" for entry in entries.values()))
    with (
        open(journal, "a", encoding="utf-8") as log,
        progress_bar(total=len(todo), desc="resample", unit="file", leave=True, disable=not todo) as progress,
    ):
        for done in run(convert, todo, args.num_processes):
            entries[done.source] = done
            log.write(json.dumps(asdict(done)) + "\n")
            log.flush()
            progress.update()

    current = {clip for name in names for clip in entries[name].clips}
    old = sorted(clip for name in entries.keys() - names.keys() for clip in entries[name].clips)
    old = [clip for clip in old if clip not in current and (out_dir / clip).is_file()]
    if old:
        shown = ", ".join(old[:5]) + " ..." * (len(old) > 5)
        print(
            f"{out_dir} still holds {len(old)} clips of recordings that are no longer in {args.in_dir}, "
            f"and training will use them: {shown}. Delete what you do not want"
        )
    made: dict[str, list[dict[str, Any]]] = {}
    for name, job in names.items():
        made.setdefault(job.source.parent.name, []).extend(entries[name].clips.values())
    report = summarize(made, [entries[name].skipped for name in names if entries[name].skipped])
    print(as_text(report))
    print(f"report: {save_report(out_dir, 'resample', report)}")
    if not report["speakers"]:
        raise AudioError(f"no recording in {args.in_dir} could be used; the reasons are listed above")
    return 0


if __name__ == "__main__":
    sys.exit(main())
