/** The microphone as pieces of 16-bit sound, each with the time at which it was heard. */

/** What speech recognition wants; a browser that cannot resample gives the device's own rate. */
const WANTED_RATE = 16000;
const WINDOW_MS = 5000;

/**
 * When samples were heard, on the page's monotonic clock. They are counted on the sound card's
 * clock; messages about them arrive late, never early, so the least lateness of the last seconds
 * tells how the two clocks lie, and follows them as they drift.
 */
export class Stamps {
  /** @param {number} rate samples a second @param {number} latencyMs from the air to the browser */
  constructor(rate, latencyMs) {
    this.rate = rate;
    this.latencyMs = latencyMs;
    this.least = Infinity;
    this.leastBefore = Infinity;
    this.windowEnds = 0;
    this.last = 0;
  }

  /**
   * @param {number} first number of the piece's first sample
   * @param {number} length samples
   * @param {number} arrivedMs when the piece arrived, on `performance.now()`
   * @returns {number} microseconds, never less than before
   */
  at(first, length, arrivedMs) {
    if (arrivedMs >= this.windowEnds) {
      [this.leastBefore, this.least] = [this.least, Infinity];
      this.windowEnds = arrivedMs + WINDOW_MS;
    }
    this.least = Math.min(this.least, arrivedMs - ((first + length) / this.rate) * 1000);
    const offset = Math.min(this.least, this.leastBefore) - this.latencyMs;
    const heard = Math.round((offset + (first / this.rate) * 1000) * 1000);
    this.last = Math.max(this.last, heard, 0);
    return this.last;
  }
}

export class Microphone {
  /**
   * @param {MediaStream} stream with a sound track
   * @param {(samples: Int16Array, microseconds: number) => void} onSound
   * @param {(peak: number) => void} onLevel 0 to 1, some 25 times a second
   * @returns {Promise<Microphone>}
   */
  static async open(stream, onSound, onLevel) {
    const [track] = stream.getAudioTracks();
    let context = new AudioContext({ sampleRate: WANTED_RATE });
    let source;
    try {
      source = context.createMediaStreamSource(stream);
    } catch {
      await context.close();
      context = new AudioContext();
      source = context.createMediaStreamSource(stream);
    }
    await context.audioWorklet.addModule("/dashboard/pcm-worklet.js");
    const pieces = new AudioWorkletNode(context, "pieces", { numberOfOutputs: 0 });
    const stamps = new Stamps(context.sampleRate, (track.getSettings().latency ?? 0) * 1000);
    pieces.port.onmessage = ({ data: { first, samples, peak } }) => {
      onLevel(peak);
      onSound(samples, stamps.at(first, samples.length, performance.now()));
    };
    source.connect(pieces);
    await context.resume();
    return new Microphone(context, track);
  }

  /** @param {AudioContext} context @param {MediaStreamTrack} track */
  constructor(context, track) {
    this.context = context;
    this.track = track;
    this.rate = context.sampleRate;
  }

  /** @param {boolean} on silence goes out while it is */
  set muted(on) {
    this.track.enabled = !on;
  }

  close() {
    this.context.close();
  }
}
