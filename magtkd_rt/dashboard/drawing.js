/** Drawing when the browser draws, and no more often than can be seen; never while hidden. */

export class Drawing {
  /**
   * @param {() => void} draw
   * @param {number} everyMs shortest time between two drawings
   */
  constructor(draw, everyMs) {
    this.draw = draw;
    this.everyMs = everyMs;
    this.last = -Infinity;
    this.asked = false;
  }

  /** Draw soon; asking again before that costs nothing. */
  ask() {
    if (this.asked) return;
    this.asked = true;
    const wait = this.last + this.everyMs - performance.now();
    // The browser gives a hidden page no frames: what was asked for is drawn when it is back.
    const frame = () => requestAnimationFrame(() => this.#now());
    if (wait > 0) setTimeout(frame, wait);
    else frame();
  }

  #now() {
    this.asked = false;
    this.last = performance.now();
    this.draw();
  }
}
