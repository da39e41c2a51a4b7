// Microphone and loudspeaker of a live conversion, on the browser's audio thread.
//
// What the microphone hears is posted in frames; frames that come back wait in a queue until
// enough of them are there to bridge the network's unevenness. As many samples come back as
// were posted, so the difference of both counts is what the way there and back takes.

const QUIET = 0.003; // of full scale
const MOST = 10; // frames that may wait
const SPAN = 3; // s

class LivePort extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super();
    this.length = processorOptions.length; // samples in a frame
    this.frame = new Float32Array(this.length);
    this.filled = 0;
    this.queue = []; // frames to play
    this.place = 0; // in the first of them
    this.waiting = 0; // samples in the queue
    this.enough = 2 * this.length; // samples that must wait before playing (again)
    this.playing = false;
    this.heard = 0; // samples of the microphone
    this.played = 0; // samples of the answers
    this.fewest = Infinity; // samples that waited at the least in the current span
    this.until = 0; // sample of the microphone that the span ends at
    this.spare = 0; // samples that wait without need
    this.port.onmessage = ({ data }) => this.take(new Float32Array(data));
  }

  take(frame) {
    const quiet = frame.every((sample) => Math.abs(sample) < QUIET);
    const flood = this.waiting > this.enough + MOST * this.length; // after a stop of the network
    if (flood || (quiet && this.spare > frame.length)) { // leave it out, where it is not heard if that can wait
      this.spare -= frame.length;
      this.played += frame.length;
      this.enough = Math.max(2 * this.length, this.enough - frame.length);
    } else {
      this.queue.push(frame);
      this.waiting += frame.length;
    }
  }

  /** Look every few seconds how many samples wait without need. */
  measure() {
    this.fewest = Math.min(this.fewest, this.waiting);
    if (this.heard < this.until) return;
    this.spare = this.fewest - this.length;
    this.fewest = Infinity;
    this.until = this.heard + SPAN * sampleRate;
  }

  process([input], [output]) {
    const n = output[0].length;
    this.hear(input, n);
    this.play(output[0], n);
    this.measure();
    for (const channel of output.slice(1)) channel.set(output[0]);
    return true;
  }

  hear(input, n) {
    this.heard += n;
    for (let i = 0; i < n; i++) {
      let sample = 0;
      for (const channel of input) sample += channel[i] / input.length;
      this.frame[this.filled++] = sample;
      if (this.filled === this.length) {
        const gap = this.heard - this.played;
        this.port.postMessage({ frame: this.frame.buffer, gap }, [this.frame.buffer]);
        this.frame = new Float32Array(this.length);
        this.filled = 0;
      }
    }
  }

  play(speaker, n) {
    if (!this.playing && this.waiting < this.enough) return; // silence
    this.playing = true;
    for (let i = 0; i < n; i++) {
      if (this.waiting === 0) { // too late: wait for more from now on
        this.playing = false;
        this.enough = Math.min(this.enough + this.length / 2, MOST * this.length);
        return;
      }
      speaker[i] = this.queue[0][this.place++];
      this.waiting--;
      this.played++;
      if (this.place === this.queue[0].length) {
        this.queue.shift();
        this.place = 0;
      }
    }
  }
}

registerProcessor("live-port", LivePort);
