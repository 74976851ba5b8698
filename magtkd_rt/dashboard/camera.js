/** The camera as JPEGs, a few a second, each with the time at which it was taken. */

const WIDEST = 640;
const QUALITY = 0.8;

export class Camera {
  /**
   * @param {MediaStream} stream with a picture track
   * @param {HTMLVideoElement} video that plays it
   * @param {(jpeg: Blob, microseconds: number) => void} onPicture
   */
  constructor(stream, video, onPicture) {
    [this.track] = stream.getVideoTracks();
    this.video = video;
    this.onPicture = onPicture;
    this.perSecond = 10;
    this.paused = false;
    this.busy = false;
    this.open = true;
    this.next = 0;
    this.canvas = new OffscreenCanvas(1, 1);
    this.context = this.canvas.getContext("2d", { alpha: false });
    // Pictures of a video element stop where the page is hidden, those of the track do not.
    if ("MediaStreamTrackProcessor" in globalThis) this.#readTrack();
    else this.#watchVideo();
  }

  close() {
    this.open = false;
    clearInterval(this.timer);
    this.reader?.cancel().catch(() => {});
  }

  async #readTrack() {
    this.reader = new MediaStreamTrackProcessor({ track: this.track }).readable.getReader();
    while (this.open) {
      const { value: frame, done } = await this.reader.read();
      if (done) return;
      if (this.#wanted()) this.#take(frame, frame.displayWidth, frame.displayHeight);
      frame.close();
    }
  }

  #watchVideo() {
    this.timer = setInterval(() => {
      const { videoWidth, videoHeight } = this.video;
      if (videoWidth && this.#wanted()) this.#take(this.video, videoWidth, videoHeight);
    }, 20);
  }

  #wanted() {
    const now = performance.now();
    if (!this.open || this.paused || this.busy || now < this.next - 5) return false;
    this.next = Math.max(this.next, now - 50) + 1000 / this.perSecond;
    return true;
  }

  async #take(picture, width, height) {
    const takenAt = Math.round(performance.now() * 1000);
    const scale = Math.min(1, WIDEST / width);
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.context.drawImage(picture, 0, 0, this.canvas.width, this.canvas.height);
    this.busy = true;
    try {
      const jpeg = await this.canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
      if (this.open && !this.paused) this.onPicture(jpeg, takenAt);
    } finally {
      this.busy = false;
    }
  }
}
