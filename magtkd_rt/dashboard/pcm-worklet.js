/** Runs beside the page, in the browser's sound thread: mixes channels and gives 16-bit pieces. */

const PIECE_SECONDS = 0.04;

class Pieces extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = Math.round(sampleRate * PIECE_SECONDS);
    this.#begin();
  }

  #begin() {
    this.samples = new Int16Array(this.size);
    this.filled = 0;
    this.peak = 0;
  }

  process([channels]) {
    const length = channels[0]?.length ?? 0;
    for (let n = 0; n < length; n += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[n];
      const sample = Math.max(-1, Math.min(1, sum / channels.length));
      this.peak = Math.max(this.peak, Math.abs(sample));
      this.samples[this.filled] = Math.round(sample * 32767);
      this.filled += 1;
      if (this.filled === this.size) this.#give(currentFrame + n + 1 - this.size);
    }
    return true;
  }

  /** @param {number} first the number of the piece's first sample since the context began */
  #give(first) {
    const { samples, peak } = this;
    this.port.postMessage({ first, samples, peak }, [samples.buffer]);
    this.#begin();
  }
}

registerProcessor("pieces", Pieces);
