// The pitch editor of the tab Convert: its buttons, gestures and keys, and its requests to the server.
//
// Python opens the song and gives a ticket (webui/editor/panel.py). What an edit means is decided on
// the server alone (webui/editor/actions.py); here it is asked for, and its result is shown.

import { Sound } from "./editor_sound.js";
import { View } from "./editor_view.js";

const TOOLS = ["select", "draw", "erase", "hand"];
const SHAPES = ["vibrato", "drift"];
const NEAR = 4; // pixels; a shorter way is a click

let editor = null;

/** Show the song of a ticket, given as JSON with the words and scales; "" shows none. */
async function open(given) {
  editor?.close();
  editor = null;
  if (!given) return;
  const { ticket, words, scales } = JSON.parse(given);
  editor = new Editor(document.getElementById("pitch-editor"), new Server(ticket), words, scales);
  await editor.start();
}

class Server {
  constructor(ticket) {
    this.headers = { "x-editor-ticket": ticket };
  }

  async ask(path, body) {
    const how = body ? { method: "POST", body: JSON.stringify(body) } : {};
    const answer = await fetch(new URL(`editor/${path}`, document.baseURI), { headers: this.headers, ...how });
    if (answer.ok) return answer;
    const said = await answer.json().catch(() => ({}));
    throw new Error(said.detail ?? answer.statusText);
  }

  async bytes(what, of, start, end) {
    return (await this.ask(`${what}?of=${of}&start=${start}&end=${end}`)).arrayBuffer();
  }

  /** Render; `tell` gets the share that is done. Returns the last line of the answer. */
  async render(save, tell) {
    const reader = (await this.ask("render", { save })).body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "", last = {};
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (text + value).split("\n");
      text = lines.pop();
      for (const line of lines) {
        last = JSON.parse(line);
        if ("share" in last) tell(last.share);
      }
    }
    if (last.detail) throw new Error(last.detail);
    return last;
  }
}

class Editor {
  constructor(place, server, words, scales) {
    Object.assign(this, { place, server, words, scales, tool: "select", pointers: new Map(), last: Promise.resolve() });
  }

  async start() {
    this.song = await (await this.server.ask("song")).json();
    this.build();
    const mel = async (of, start, end) => new Uint8Array(await this.server.bytes("mel", of, start, end));
    const samples = async (of, start, end) => new Float32Array(await this.server.bytes("audio", of, start, end));
    this.view = new View(this.canvas, this.overview, this.song, mel);
    this.sound = new Sound(this.song.samples, this.song.rate, samples, () => this.update());
    this.listen();
    this.update();
    this.tell(this.words.hint);
    this.canvas.focus({ preventScroll: true });
    this.place.scrollIntoView({ block: "nearest" });
  }

  close() {
    this.sound?.close();
    this.place.replaceChildren();
  }

  // layout

  build() {
    const make = (tag, settings = {}, ...children) => {
      const element = Object.assign(document.createElement(tag), settings);
      element.append(...children);
      return element;
    };
    this.buttons = {};
    const button = (name, act, key = "") => {
      const label = this.words[name] ?? name;
      const made = make("button", { type: "button", textContent: label, title: key ? `${label} (${key})` : label });
      made.addEventListener("click", act);
      return (this.buttons[name] = made);
    };
    const edit = (name, action, key) => button(name, () => this.edit({ action }), key);
    const group = (name, ...children) => {
      const made = make("div", { className: "pitch-group" }, ...children);
      made.setAttribute("role", "group");
      made.setAttribute("aria-label", this.words[name]);
      return made;
    };
    const menu = (name, options) => {
      const made = make("select", { title: this.words[name] }, ...options.map(([value, text]) => new Option(text, value)));
      made.setAttribute("aria-label", this.words[name]);
      return made;
    };
    const slider = (name) => {
      const made = make("input", { type: "range", min: 0, max: 300, step: 10, value: 100 });
      const number = make("output", { textContent: "100 %" });
      made.addEventListener("input", () => (number.textContent = `${made.value} %`));
      made.addEventListener("change", () => this.shape());
      this[name] = made;
      return make("label", {}, this.words[name], made, number);
    };
    this.of = menu("shown", [["source", this.words.source], ["result", this.words.result]]);
    this.scale = menu("scale", this.scales.map((name) => [name, name]));
    const chooser = make("input", { type: "file", accept: ".csv,.txt,.f0,text/*", hidden: true });
    chooser.addEventListener("change", () => this.read(chooser));
    const bar = make("div", { className: "pitch-bar" },
      group("tools", ...TOOLS.map((tool, index) => button(tool, () => this.take(tool), index + 1))),
      group("sound", button("play", () => this.play(), this.words.space), this.of,
        button("render", () => this.render(false), "R"), button("save", () => this.render(true))),
      group("history", edit("undo", "undo", "Ctrl+Z"), edit("redo", "redo", "Ctrl+Y")),
      group("move", ...[-12, -1, 1, 12].map((by) => button(by > 0 ? `+${by}` : `−${-by}`, () => this.move(by)))),
      group("tuning", this.scale, button("snap", () => this.snap(), "S"), edit("octaves", "octaves", "O")),
      group("voicing", edit("voice", "voice", "V"), edit("unvoice", "unvoice", "U"), edit("reset", "reset")),
      group("shape", ...SHAPES.map(slider)),
      group("zoom", button("−", () => this.view.scale(1 / 1.5), "−"), button("+", () => this.view.scale(1.5), "+")),
      group("file", button("export", () => this.download("f0.csv", `${this.stem}.f0.csv`)),
        button("import", () => chooser.click()), chooser));
    this.buttons["−"].setAttribute("aria-label", this.words.narrower);
    this.buttons["+"].setAttribute("aria-label", this.words.wider);
    this.canvas = make("canvas", { className: "pitch-canvas", tabIndex: 0 });
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", this.words.canvas);
    this.overview = make("canvas", { className: "pitch-overview" });
    this.overview.setAttribute("aria-hidden", "true");
    this.status = make("p", { className: "pitch-status" });
    this.status.setAttribute("role", "status");
    this.place.replaceChildren(bar, this.canvas, this.overview, this.status);
  }

  get stem() {
    return this.song.name.replace(/\.[^.]*$/, "");
  }

  tell(sentence, wrong = false) {
    this.status.textContent = sentence;
    this.status.classList.toggle("pitch-wrong", wrong);
  }

  /** Show the state of the buttons. */
  update() {
    const { song, buttons } = this, playing = Boolean(this.sound.run);
    for (const tool of TOOLS) buttons[tool].setAttribute("aria-pressed", String(tool === this.tool));
    buttons.undo.disabled = !song.undo;
    buttons.redo.disabled = !song.redo;
    buttons.render.disabled = Boolean(this.rendering) || !song.stale.length;
    buttons.save.disabled = Boolean(this.rendering);
    buttons.play.textContent = playing ? this.words.stop : this.words.play;
    this.canvas.style.cursor = { select: "default", draw: "crosshair", erase: "cell", hand: "grab" }[this.tool];
    this.view.draw();
  }

  take(tool) {
    this.tool = tool;
    this.update();
  }

  // edits

  /** What an edit is for: what is selected, or all. */
  get span() {
    const [first, last] = this.view.selection ?? [0, this.song.f0.length];
    return { first, last };
  }

  /** Ask for an edit; they are done one after the other. */
  edit(request) {
    const body = { ...this.span, ...request };
    this.last = this.last.then(async () => {
      try {
        const { first, f0, ...state } = await (await this.server.ask("edit", body)).json();
        f0.forEach((hz, index) => (this.song.f0[first + index] = hz));
        Object.assign(this.song, state);
        this.tell(f0.length ? this.counted() : this.words.unchanged);
      } catch (error) {
        this.tell(error.message, true);
      }
      this.view.ghost = null;
      this.update();
    });
    return this.last;
  }

  counted() {
    return this.words.stale.replace("{count}", this.song.stale.length);
  }

  move(semitones) {
    return this.edit({ action: "move", semitones });
  }

  snap() {
    return this.edit({ action: "snap", scale: this.scale.value, strength: 1 });
  }

  async shape() {
    const factors = Object.fromEntries(SHAPES.map((name) => [name, this[name].value / 100]));
    await this.edit({ action: "shape", ...factors });
    for (const name of SHAPES) {
      this[name].value = 100; // the next one is relative to what there is now
      this[name].nextSibling.textContent = "100 %";
    }
  }

  async read(chooser) {
    const [file] = chooser.files;
    if (file) await this.edit({ action: "read", text: await file.text() });
    chooser.value = "";
  }

  async download(path, name) {
    try {
      const url = URL.createObjectURL(await (await this.server.ask(path)).blob());
      Object.assign(document.createElement("a"), { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    } catch (error) {
      this.tell(error.message, true);
    }
  }

  // sound

  /** Render what changed; returns whether that worked. */
  async render(save) {
    if (this.rendering) return false;
    await this.last;
    this.rendering = true;
    this.update();
    try {
      const begun = performance.now();
      const done = await this.server.render(save, (share) =>
        this.tell(this.words.rendering.replace("{share}", Math.round(100 * share))));
      if (done.cancelled) throw new Error(this.words.cancelled);
      this.song.stale = done.stale;
      this.sound.forget(done.ranges);
      this.view.forget(done.ranges);
      const facts = { count: done.ranges.length, seconds: ((performance.now() - begun) / 1000).toFixed(1), file: done.file };
      const sentence = save ? this.words.saved : this.words.rendered;
      this.tell(sentence.replace(/\{(\w+)\}/g, (_, name) => facts[name]));
      if (save) await this.download("saved", done.file);
      this.show("result");
      return true;
    } catch (error) {
      this.tell(error.message, true);
      return false;
    } finally {
      this.rendering = false;
      this.update();
    }
  }

  show(of) {
    this.of.value = this.view.of = of;
    this.view.draw();
  }

  async play() {
    if (this.sound.run) {
      this.sound.stop();
      return this.update();
    }
    if (this.of.value === "result" && this.song.stale.length && !(await this.render(false))) return;
    this.from(this.view.head);
  }

  /** Play from a frame on. */
  from(frame) {
    const at = Math.min(Math.round(frame * this.song.hop), this.song.samples - 1);
    this.sound.play(this.of.value, at).catch((error) => {
      this.tell(error.message, true);
      this.update();
    });
    const run = this.sound.run;
    const tick = () => {
      if (!this.canvas.isConnected || (run && this.sound.run !== run)) return;
      const position = this.sound.position;
      if (position !== null) {
        this.view.head = position / this.song.hop;
        this.view.follow(this.view.head);
        this.view.draw();
      }
      if (this.sound.run) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
    this.update();
  }

  seek(frame) {
    this.view.head = Math.max(0, Math.min(frame, this.song.f0.length - 1));
    if (this.sound.run) this.from(this.view.head);
    this.view.draw();
  }

  // gestures

  listen() {
    const { canvas, overview } = this;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => this.up(event, true));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
    const jump = (event) => {
      if (!event.buttons) return;
      const shown = this.view.right - this.view.left;
      this.view.scroll((event.offsetX / overview.clientWidth) * this.view.count - shown / 2 - this.view.left);
    };
    overview.addEventListener("pointerdown", (event) => {
      overview.setPointerCapture(event.pointerId);
      jump(event);
    });
    overview.addEventListener("pointermove", jump);
    this.of.addEventListener("change", () => {
      this.show(this.of.value);
      if (this.sound.run) this.from(this.view.head);
    });
  }

  down(event) {
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    const { offsetX: x, offsetY: y } = event, { view } = this;
    this.pointers.set(event.pointerId, { x, y });
    view.ghost = null;
    if (this.pointers.size > 1) return (this.gesture = { kind: "pinch" });
    const place = view.place(x, y), frame = view.frame(x), begun = { x, y, frame };
    if (place === "ruler") {
      this.gesture = { kind: "seek" };
      this.seek(frame);
    } else if (place === "keys" || this.tool === "hand" || event.button === 1) {
      this.gesture = { kind: "hand", ...begun };
    } else if (this.tool === "draw") {
      this.gesture = { kind: "draw", points: new Map([[Math.round(frame), view.pitch(y)]]), ...begun };
    } else if (this.tool === "erase") {
      this.gesture = { kind: "erase", ...begun };
    } else {
      const number = view.noteAt(x, y);
      if (number < 0) return (this.gesture = { kind: "range", ...begun });
      const [first, last] = view.frames(this.song.notes[number]), chosen = view.selection;
      if (event.shiftKey && chosen) view.selection = [Math.min(first, chosen[0]), Math.max(last, chosen[1])];
      else if (!chosen || first < chosen[0] - 2 || last > chosen[1] + 2) view.selection = [first, last];
      this.gesture = { kind: "move", ...begun };
      view.draw();
    }
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before || !this.gesture) return;
    const { offsetX: x, offsetY: y } = event, { view, gesture } = this;
    if (gesture.kind === "pinch") this.pinch(event.pointerId, x, y);
    this.pointers.set(event.pointerId, { x, y });
    if (gesture.kind === "seek") this.seek(view.frame(x));
    if (gesture.kind === "hand") view.scroll((before.x - x) / view.zoom, (y - before.y) / view.tall);
    if (gesture.kind === "range") view.selection = this.ordered(gesture.frame, view.frame(x));
    if (gesture.kind === "erase") view.ghost = { erase: this.ordered(gesture.frame, view.frame(x)) };
    if (gesture.kind === "draw") {
      this.line(gesture.points, before, { x, y });
      view.ghost = { points: [...gesture.points].sort((a, b) => a[0] - b[0]) };
    }
    if (gesture.kind === "move" && Math.abs(y - gesture.y) > NEAR) {
      const semitones = (gesture.y - y) / view.tall;
      view.ghost = { move: event.altKey ? Math.round(10 * semitones) / 10 : Math.round(semitones) };
    }
    view.draw();
  }

  up(event, cancelled = false) {
    const known = this.pointers.delete(event.pointerId), { gesture, view } = this;
    if (!known || !gesture || this.pointers.size) return;
    this.gesture = null;
    const click = Math.hypot(event.offsetX - gesture.x, event.offsetY - gesture.y) < NEAR;
    const ghost = view.ghost;
    if (gesture.kind === "range" && click) {
      view.selection = null;
      this.seek(gesture.frame);
    } else if (!cancelled && ghost?.points?.length > 1) {
      return this.edit({ action: "draw", points: ghost.points });
    } else if (!cancelled && ghost?.erase) {
      const [first, last] = ghost.erase;
      return this.edit({ action: "unvoice", first, last });
    } else if (!cancelled && ghost?.move) {
      return this.move(ghost.move);
    }
    view.ghost = null;
    view.draw();
  }

  ordered(one, other) {
    const within = (frame) => Math.max(0, Math.min(this.song.f0.length, Math.round(frame)));
    return [Math.min(within(one), within(other)), Math.max(within(one), within(other), within(one) + 1)];
  }

  /** Points of each frame between two places of the pointer; going back draws over. */
  line(points, from, to) {
    const { view } = this, start = view.frame(from.x), end = view.frame(to.x);
    const step = start <= end ? 1 : -1;
    for (let frame = Math.round(start); step * frame <= step * Math.round(end); frame += step) {
      const share = end === start ? 1 : Math.max(0, Math.min(1, (frame - start) / (end - start)));
      if (frame >= 0 && frame < this.song.f0.length) points.set(frame, view.pitch(from.y + share * (to.y - from.y)));
    }
  }

  /** Two fingers zoom and scroll. */
  pinch(id, x, y) {
    const [other] = [...this.pointers].filter(([pointer]) => pointer !== id).map(([, place]) => place);
    const before = this.pointers.get(id), { view } = this;
    if (!other) return;
    const wide = (one) => Math.max(20, Math.abs(one.x - other.x));
    view.scale(wide({ x }) / wide(before), (x + other.x) / 2);
    view.scroll((before.x - x) / 2 / view.zoom, (y - before.y) / 2 / view.tall);
  }

  wheel(event) {
    event.preventDefault();
    const { view } = this, step = event.deltaY || event.deltaX;
    if (event.ctrlKey || event.metaKey) view.scale(Math.exp(-step / 300), event.offsetX);
    else if (event.altKey) view.scale(1, event.offsetX, Math.exp(-step / 300), event.offsetY);
    else if (event.shiftKey) view.scroll(0, -step / 40);
    else view.scroll((event.deltaX + event.deltaY) / view.zoom, 0);
  }

  key(event) {
    const command = event.ctrlKey || event.metaKey, { view } = this;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const fine = event.altKey ? 0.1 : event.shiftKey ? 12 : 1;
    const wide = (view.right - view.left) * 0.8;
    const acts = command
      ? {
          z: () => this.edit({ action: event.shiftKey ? "redo" : "undo" }),
          y: () => this.edit({ action: "redo" }),
          a: () => (view.selection = [0, this.song.f0.length]),
        }
      : {
          " ": () => this.play(),
          r: () => !this.buttons.render.disabled && this.render(false),
          s: () => this.snap(),
          o: () => this.edit({ action: "octaves" }),
          v: () => this.edit({ action: "voice" }),
          u: () => this.edit({ action: "unvoice" }),
          Delete: () => this.edit({ action: "unvoice" }),
          ArrowUp: () => this.move(fine),
          ArrowDown: () => this.move(-fine),
          ArrowLeft: () => this.step(-1, event.shiftKey),
          ArrowRight: () => this.step(1, event.shiftKey),
          PageUp: () => view.scroll(-wide),
          PageDown: () => view.scroll(wide),
          Home: () => this.seek(0) ?? view.follow(0),
          End: () => this.seek(Infinity) ?? view.follow(this.song.f0.length - 1),
          "+": () => view.scale(1.5),
          "=": () => view.scale(1.5),
          "-": () => view.scale(1 / 1.5),
          Escape: () => (view.selection = null),
          ...Object.fromEntries(TOOLS.map((tool, index) => [String(index + 1), () => this.take(tool)])),
        };
    if (!Object.hasOwn(acts, name)) return;
    event.preventDefault();
    acts[name]();
    view.draw();
  }

  /** Select the next note, or add it to the selection. */
  step(by, add) {
    const { view, song } = this, chosen = view.selection ?? [view.head, view.head];
    const notes = song.notes.map((note) => view.frames(note));
    const found = by > 0 ? notes.find(([first]) => first >= chosen[1] - 1) : notes.findLast(([, last]) => last <= chosen[0] + 1);
    if (!found) return;
    view.selection = add && view.selection ? [Math.min(found[0], chosen[0]), Math.max(found[1], chosen[1])] : found;
    this.seek(found[0]);
    view.follow(by > 0 ? found[1] : found[0]);
    const note = song.notes[notes.indexOf(found)];
    this.tell(this.words.note.replace("{pitch}", note[2].toFixed(1)).replace("{start}", note[0].toFixed(2)));
  }
}

window.glowEditor = { open, get current() { return editor; } };
