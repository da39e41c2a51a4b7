// Playing a song from any place: parts come from the server as they are needed.

const PART = 2 ** 19; // samples
const AHEAD = 5; // s that are scheduled before their time
const pause = (seconds) => new Promise((go) => setTimeout(go, 1000 * seconds));

export class Sound {
  /** `load(of, start, end)` promises samples; `ended()` is called at the end of the song. */
  constructor(samples, rate, load, ended) {
    Object.assign(this, { samples, rate, load, ended, parts: new Map(), run: null, peak: 0.95 });
  }

  /** Forget ranges of samples of the result, which were rendered again. */
  forget(ranges) {
    for (const [start, end] of ranges)
      for (let part = Math.floor(start / PART); part * PART < end; part++) this.parts.delete(`result ${part}`);
  }

  part(of, number) {
    const key = `${of} ${number}`;
    if (!this.parts.has(key)) {
      const end = Math.min(this.samples, (number + 1) * PART);
      const loading = this.load(of, number * PART, end).then((samples) => {
        const buffer = new AudioBuffer({ length: Math.max(1, samples.length), sampleRate: this.rate });
        buffer.copyToChannel(samples, 0);
        for (const sample of samples) this.peak = Math.max(this.peak, Math.abs(sample));
        return buffer;
      });
      loading.catch(() => this.parts.delete(key));
      this.parts.set(key, loading);
    }
    return this.parts.get(key);
  }

  /** Play from sample `at` on, until the end or `stop`. */
  async play(of, at) {
    this.stop();
    this.audio ??= new AudioContext({ sampleRate: this.rate });
    const gain = this.audio.createGain();
    gain.connect(this.audio.destination);
    const run = (this.run = { nodes: [], gain, origin: null });
    await this.audio.resume();
    let when = 0;
    for (let number = Math.floor(at / PART); number * PART < this.samples; number++) {
      const buffer = await this.part(of, number).catch((error) => {
        if (this.run === run) this.stop();
        throw error;
      });
      if (this.run !== run) return;
      const soonest = this.audio.currentTime + 0.03;
      if (run.origin === null || when < soonest) { // the first, or one that came too late
        when = soonest;
        run.origin = when - at / this.rate;
      }
      gain.gain.value = 0.95 / this.peak;
      const node = new AudioBufferSourceNode(this.audio, { buffer }), skip = at - number * PART;
      node.connect(gain);
      node.start(when, skip / this.rate);
      run.nodes.push(node);
      when += (buffer.length - skip) / this.rate;
      at = (number + 1) * PART;
      while (this.run === run && when - this.audio.currentTime > AHEAD) await pause(0.2);
    }
    while (this.run === run && this.audio.currentTime < when) await pause(0.05);
    if (this.run !== run) return;
    this.stop();
    this.ended();
  }

  /** Sample that is heard now; null if none is. */
  get position() {
    if (!this.run || this.run.origin === null) return null;
    return Math.max(0, (this.audio.currentTime - this.run.origin) * this.rate);
  }

  stop() {
    this.run?.nodes.forEach((node) => node.stop());
    this.run?.gain.disconnect();
    this.run = null;
  }

  close() {
    this.stop();
    this.audio?.close();
    this.audio = null;
  }
}
