// What the pitch editor shows: mel, pitch of source and target, notes, piano keys, and an overview.
//
// Times are in frames of the pitch, pitches in MIDI numbers; only this file knows pixels.

const KEYS = 46, RULER = 20; // pixels
const TILE = 1024; // frames
const LOW = 24, HIGH = 108, FINE = 4; // pitches of a tile, and its rows a semitone
const MOST_TILES = 24;
const BLACK = new Set([1, 3, 6, 8, 10]);
const NAMES = ["C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B"];
const SOURCE = "#7fd4ff", TARGET = "#ffe14d", STALE = "#ff8a3d", CHOSEN = "rgba(255, 255, 255, .16)";

export const toPitch = (hz) => 69 + 12 * Math.log2(hz / 440);

export class View {
  /** `load(of, start, end)` promises a mel's frames as bytes, a byte a band. */
  constructor(canvas, overview, song, load) {
    Object.assign(this, { canvas, overview, song, load, of: "source", selection: null, head: 0, ghost: null });
    this.tiles = new Map();
    const pitches = song.source.filter((hz) => hz > 0).map(toPitch).sort((a, b) => a - b);
    const at = (share) => pitches[Math.floor(share * (pitches.length - 1))] ?? 60;
    this.left = 0; // frame at the left
    this.zoom = 1; // pixels a frame
    this.top = Math.max(at(0.98), at(0.98) + song.key) + 5; // pitch at the upper end
    this.rows = Math.max(10, this.top + 5 - Math.min(at(0.02), at(0.02) + song.key)); // semitones that fit
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
    this.zoom = Math.max(this.fitting, Math.min(1.5, (this.width - KEYS) / 400));
  }

  // geometry

  resize() {
    const dense = window.devicePixelRatio || 1;
    for (const canvas of [this.canvas, this.overview]) {
      canvas.width = Math.max(1, Math.round(canvas.clientWidth * dense));
      canvas.height = Math.max(1, Math.round(canvas.clientHeight * dense));
    }
    this.dense = dense;
    this.draw();
  }

  get width() { return this.canvas.clientWidth; }
  get height() { return this.canvas.clientHeight; }
  get count() { return this.song.f0.length; }
  get tall() { return (this.height - RULER) / this.rows; } // pixels a semitone
  get fitting() { return (this.width - KEYS) / this.count; } // zoom that shows all
  get right() { return this.left + (this.width - KEYS) / this.zoom; }
  x(frame) { return KEYS + (frame - this.left) * this.zoom; }
  y(pitch) { return RULER + (this.top - pitch) * this.tall; }
  frame(x) { return this.left + (x - KEYS) / this.zoom; }
  pitch(y) { return this.top - (y - RULER) / this.tall; }
  place(x, y) { return y < RULER ? "ruler" : x < KEYS ? "keys" : "song"; }

  scroll(frames, semitones = 0) {
    this.left = Math.max(0, Math.min(this.left + frames, this.count - (this.width - KEYS) / this.zoom));
    this.left = Math.max(0, this.left);
    this.top = Math.max(LOW + this.rows, Math.min(this.top + semitones, HIGH));
    this.draw();
  }

  /** Zoom in time by `factor`, and in pitch by `taller`, around a point. */
  scale(factor, x = this.width / 2, taller = 1, y = this.height / 2) {
    const frame = this.frame(x), pitch = this.pitch(y);
    this.zoom = Math.max(Math.min(this.fitting, 1), Math.min(16, this.zoom * factor));
    this.rows = Math.max(6, Math.min(HIGH - LOW, this.rows / taller));
    this.scroll(frame - this.frame(x), pitch - this.pitch(y));
  }

  /** Bring a frame into sight. */
  follow(frame) {
    if (frame < this.left || frame > this.right) this.scroll(frame - this.left - 20 / this.zoom);
  }

  noteAt(x, y) {
    const frame = this.frame(x), pitch = this.pitch(y), reach = Math.max(0.7, 12 / this.tall);
    const time = frame / this.song.frameRate;
    return this.song.notes.findIndex((note) => note[0] <= time && time < note[1] && Math.abs(note[2] - pitch) < reach);
  }

  /** Frames of a note. */
  frames(note) { return [0, 1].map((end) => Math.round(note[end] * this.song.frameRate)); }

  // drawing

  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.paint();
      this.paintOverview();
    });
  }

  paint() {
    const g = this.canvas.getContext("2d");
    g.setTransform(this.dense, 0, 0, this.dense, 0, 0);
    g.fillStyle = "#101018";
    g.fillRect(0, 0, this.width, this.height);
    g.save();
    g.beginPath();
    g.rect(KEYS, RULER, this.width - KEYS, this.height - RULER);
    g.clip();
    this.paintMel(g);
    this.paintGrid(g);
    this.paintSlices(g);
    this.paintNotes(g);
    this.paintTrack(g, this.song.source, 0, SOURCE, 1.2);
    this.paintTrack(g, this.song.f0, this.song.key, TARGET, 2.2);
    this.paintGhost(g);
    g.restore();
    this.paintKeys(g);
    this.paintRuler(g);
  }

  paintMel(g) {
    const first = Math.max(0, Math.floor(this.left / TILE)), last = Math.floor(Math.min(this.right, this.count - 1) / TILE);
    g.imageSmoothingEnabled = true;
    for (let number = first; number <= last; number++) {
      const tile = this.tile(number);
      if (tile) g.drawImage(tile, this.x(number * TILE - 0.5), this.y(HIGH), tile.width * this.zoom, (HIGH - LOW) * this.tall);
    }
  }

  tile(number) {
    const key = `${this.of} ${number}`;
    const known = this.tiles.get(key);
    if (known !== undefined) return known;
    this.tiles.set(key, null);
    const start = number * TILE, end = Math.min(this.count, start + TILE);
    this.load(this.of, start, end).then((bytes) => {
      if (!this.tiles.has(key)) return; // forgotten meanwhile
      this.tiles.set(key, this.coloured(bytes, end - start));
      for (const old of this.tiles.keys()) if (this.tiles.size > MOST_TILES && old !== key) this.tiles.delete(old);
      this.draw();
    }, () => this.tiles.delete(key));
    return null;
  }

  /** Picture of a mel on the axis of pitch. */
  coloured(bytes, width) {
    const { bands } = this.song, height = (HIGH - LOW) * FINE;
    const tile = Object.assign(document.createElement("canvas"), { width, height });
    const g = tile.getContext("2d"), image = g.createImageData(width, height);
    let band = 0;
    for (let row = height - 1; row >= 0; row--) {
      const hz = 440 * 2 ** ((HIGH - (row + 0.5) / FINE - 69) / 12);
      while (band < bands.length - 2 && bands[band + 1] < hz) band++;
      const share = Math.max(0, Math.min(1, (hz - bands[band]) / (bands[band + 1] - bands[band])));
      for (let frame = 0; frame < width; frame++) {
        const from = frame * bands.length + band, place = 4 * (row * width + frame);
        const shade = (bytes[from] * (1 - share) + bytes[from + 1] * share) / 255;
        image.data[place] = 225 * shade ** 1.6;
        image.data[place + 1] = 130 * shade ** 4;
        image.data[place + 2] = 30 + 90 * Math.sin(Math.PI * shade);
        image.data[place + 3] = 255;
      }
    }
    g.putImageData(image, 0, 0);
    return tile;
  }

  /** Forget the mel of samples of the result. */
  forget(ranges) {
    for (const [start, end] of ranges)
      for (let tile = Math.floor(start / this.song.hop / TILE) - 1; tile <= end / this.song.hop / TILE + 1; tile++)
        this.tiles.delete(`result ${tile}`);
    this.draw();
  }

  paintGrid(g) {
    for (let pitch = Math.ceil(this.pitch(this.height)); pitch <= this.top; pitch++) {
      g.strokeStyle = pitch % 12 === 0 ? "rgba(255, 255, 255, .4)" : "rgba(255, 255, 255, .1)";
      g.lineWidth = 1;
      g.beginPath();
      g.moveTo(KEYS, this.y(pitch));
      g.lineTo(this.width, this.y(pitch));
      g.stroke();
    }
  }

  paintSlices(g) {
    const stale = new Set(this.song.stale);
    this.song.slices.forEach(([start, end], number) => {
      const x = this.x(start / this.song.hop);
      g.fillStyle = "rgba(255, 255, 255, .35)";
      g.fillRect(x, RULER, 1, this.height);
      if (stale.has(number)) {
        g.fillStyle = STALE;
        g.fillRect(x, this.height - 4, ((end - start) / this.song.hop) * this.zoom, 4);
      }
    });
    if (this.selection) {
      g.fillStyle = CHOSEN;
      g.fillRect(this.x(this.selection[0]), RULER, (this.selection[1] - this.selection[0]) * this.zoom, this.height);
    }
  }

  paintNotes(g) {
    for (const note of this.song.notes) {
      const [first, last] = this.frames(note);
      const chosen = this.selection && first < this.selection[1] && last > this.selection[0];
      const pitch = note[2] + (chosen && this.ghost?.move ? this.ghost.move : 0);
      g.fillStyle = chosen ? "rgba(255, 225, 77, .45)" : "rgba(140, 160, 255, .3)";
      g.strokeStyle = chosen ? TARGET : "rgba(170, 190, 255, .8)";
      g.beginPath();
      g.roundRect(this.x(first), this.y(pitch + 0.45), (last - first) * this.zoom, 0.9 * this.tall, 4);
      g.fill();
      g.stroke();
    }
  }

  paintTrack(g, f0, key, colour, width) {
    g.beginPath();
    let drawing = false;
    for (let frame = Math.max(0, Math.floor(this.left)); frame < Math.min(f0.length, this.right + 1); frame++) {
      if (f0[frame] > 0) {
        const x = this.x(frame), y = this.y(toPitch(f0[frame]) + key);
        drawing ? g.lineTo(x, y) : g.moveTo(x, y);
        if (!drawing && !(f0[frame + 1] > 0)) g.lineTo(x + 1, y);
      }
      drawing = f0[frame] > 0;
    }
    for (const [style, wide] of [["rgba(0, 0, 0, .6)", width + 2], [colour, width]]) {
      g.strokeStyle = style;
      g.lineWidth = wide;
      g.stroke();
    }
  }

  /** What is being drawn or chosen now. */
  paintGhost(g) {
    if (this.ghost?.points) {
      g.strokeStyle = "#ffffff";
      g.lineWidth = 2.5;
      g.beginPath();
      this.ghost.points.forEach(([frame, pitch], index) => g[index ? "lineTo" : "moveTo"](this.x(frame), this.y(pitch)));
      g.stroke();
    }
    if (this.ghost?.erase) {
      g.fillStyle = "rgba(255, 60, 60, .3)";
      g.fillRect(this.x(this.ghost.erase[0]), RULER, (this.ghost.erase[1] - this.ghost.erase[0]) * this.zoom, this.height);
    }
    g.fillStyle = "#ffffff";
    g.fillRect(this.x(this.head) - 0.75, RULER, 1.5, this.height);
  }

  paintKeys(g) {
    g.font = "11px system-ui, sans-serif";
    g.textBaseline = "middle";
    for (let pitch = Math.floor(this.pitch(this.height)); pitch <= this.top + 1; pitch++) {
      const name = ((pitch % 12) + 12) % 12, dark = BLACK.has(name);
      g.fillStyle = dark ? "#22222c" : "#f2f2f2";
      g.fillRect(0, this.y(pitch + 0.5), KEYS - 2, this.tall - 0.5);
      if (this.tall > 11 || name === 0) {
        g.fillStyle = dark ? "#cccccc" : "#222222";
        g.fillText(`${NAMES[name]}${Math.floor(pitch / 12) - 1}`, 6, this.y(pitch));
      }
    }
  }

  paintRuler(g) {
    g.fillStyle = "#2a2a36";
    g.fillRect(0, 0, this.width, RULER);
    g.fillStyle = "#e8e8ee";
    const seconds = 80 / this.zoom / this.song.frameRate;
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120].find((wide) => wide >= seconds) ?? 300;
    const first = Math.ceil(this.left / this.song.frameRate / step);
    for (let mark = first; mark * step <= this.right / this.song.frameRate; mark++) {
      const x = this.x(mark * step * this.song.frameRate);
      if (x < KEYS) continue;
      g.fillRect(x, RULER - 6, 1, 6);
      g.fillText(`${+(mark * step).toFixed(1)} s`, x + 3, RULER / 2);
    }
    const x = this.x(this.head);
    if (x < KEYS) return;
    g.beginPath();
    g.moveTo(x - 6, RULER - 9);
    g.lineTo(x + 6, RULER - 9);
    g.lineTo(x, RULER);
    g.fill();
  }

  paintOverview() {
    const g = this.overview.getContext("2d"), width = this.overview.clientWidth, height = this.overview.clientHeight;
    g.setTransform(this.dense, 0, 0, this.dense, 0, 0);
    g.fillStyle = "#101018";
    g.fillRect(0, 0, width, height);
    const stale = new Set(this.song.stale), wide = width / this.song.samples;
    this.song.slices.forEach(([start, end, silent], number) => {
      g.fillStyle = silent ? "#333340" : stale.has(number) ? STALE : "#4fa36c";
      g.fillRect(start * wide, 5, Math.max(1, (end - start) * wide - 1), height - 10);
    });
    const frames = width / this.count;
    g.strokeStyle = "#ffffff";
    g.lineWidth = 2;
    g.strokeRect(this.left * frames + 1, 1, Math.max(4, (Math.min(this.right, this.count) - this.left) * frames - 2), height - 2);
    g.fillStyle = "#ffffff";
    g.fillRect(this.head * frames, 0, 1.5, height);
  }
}
