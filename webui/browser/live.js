// The tab Live: the browser's microphone and loudspeaker, over a WebSocket to the voice model.
//
// Python prepares the conversion and gives a ticket (webui/live/tab.py); webui/live/socket.py
// says what goes over the connection.

const FRAME = 0.02; // s
const PLAIN = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
const LOWEST = -60; // dB of a meter

let microphone = null; // MediaStream
let running = null; // { audio, socket, panel }

/** Ask for the microphone. Returns "", or why there is none: a key of webui/texts/live.py. */
async function askMicrophone() {
  release();
  if (!navigator.mediaDevices) return "insecure"; // browsers give it to no page over plain http
  try {
    microphone = await navigator.mediaDevices.getUserMedia({ audio: PLAIN });
    return "";
  } catch (error) {
    return { NotAllowedError: "denied", NotFoundError: "none" }[error.name] ?? "busy";
  }
}

/** Begin with a ticket from Python, as JSON; without one, let the microphone go. */
async function run(given) {
  if (!given || !microphone) return release();
  const { ticket, words } = JSON.parse(given);
  const audio = new AudioContext({ latencyHint: "interactive" });
  const socket = new WebSocket(new URL("live", document.baseURI).href.replace(/^http/, "ws"));
  socket.binaryType = "arraybuffer";
  const panel = new Panel(words);
  running = { audio, socket, panel };
  await audio.audioWorklet.addModule(new URL("live_worklet.js", import.meta.url));
  const length = Math.round(FRAME * audio.sampleRate);
  const port = new AudioWorkletNode(audio, "live-port", { outputChannelCount: [2], processorOptions: { length } });
  let gap = 0; // samples

  port.port.onmessage = ({ data }) => {
    gap = data.gap;
    if (socket.readyState === WebSocket.OPEN) socket.send(data.frame);
  };
  socket.onmessage = ({ data }) => {
    if (typeof data !== "string") return port.port.postMessage(data, [data]);
    const status = JSON.parse(data);
    if (status.error) panel.fail(status.error);
    else panel.show(status, status.lag + gap / audio.sampleRate + audio.baseLatency + (audio.outputLatency || 0));
  };
  socket.onclose = () => {
    if (running?.socket === socket) release();
  };
  const begin = () => {
    socket.send(JSON.stringify({ ticket, rate: audio.sampleRate }));
    audio.createMediaStreamSource(microphone).connect(port).connect(audio.destination);
  };
  if (socket.readyState === WebSocket.OPEN) begin();
  else socket.onopen = begin;
}

/** End: close the connection, and let the microphone go. */
function release() {
  running?.socket.close();
  running?.audio.close();
  running?.panel.end();
  microphone?.getTracks().forEach((track) => track.stop());
  running = microphone = null;
}

/** Level meters and numbers, in the element #live-panel. */
class Panel {
  constructor(words) {
    this.words = words;
    this.place = document.getElementById("live-panel");
    this.meters = ["input", "output"].map((name) => this.meter(name));
    this.facts = Object.assign(document.createElement("p"), { textContent: words.connecting });
    this.place.replaceChildren(...this.meters.map((meter) => meter.parentElement), this.facts);
  }

  meter(name) {
    const label = document.createElement("label");
    label.append(Object.assign(document.createElement("span"), { textContent: this.words[name] }));
    const meter = Object.assign(document.createElement("meter"), { min: LOWEST, max: 0, high: -3, value: LOWEST });
    label.append(meter);
    return meter;
  }

  show(status, latency) {
    this.meters[0].value = status.input;
    this.meters[1].value = status.output;
    const numbers = {
      seconds: status.seconds.toFixed(0),
      latency: (1000 * latency).toFixed(0),
      algorithmic: (1000 * status.algorithmic).toFixed(0),
      load: (100 * status.load).toFixed(0),
      underruns: status.underruns,
      skipped: status.skipped,
      block: status.suggestion,
    };
    const fill = (text) => text.replace(/\{(\w+)\}/g, (_, name) => numbers[name]);
    this.facts.textContent = fill(this.words.status) + (status.suggestion ? " " + fill(this.words.slow) : "");
  }

  fail(sentence) {
    this.failed = true;
    this.facts.textContent = sentence;
    this.facts.setAttribute("role", "alert");
  }

  end() {
    this.meters.forEach((meter) => (meter.value = LOWEST));
    if (!this.failed) this.facts.textContent = this.words.ended;
  }
}

window.glowLive = { askMicrophone, run, release };
