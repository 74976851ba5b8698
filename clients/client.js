/**
 * Client of a magtkd-rt server, for browsers and node: `subscribe` and `follow` read events,
 * `publish` sends sound and pictures. No dependencies; docs/protocol.md says what goes over the wire.
 *
 *     import { subscribe } from "http://127.0.0.1:8765/client.js";
 *     for await (const event of subscribe("127.0.0.1:8765", { since: 0 })) console.log(event);
 *
 * @module
 */

/** @typedef {import("./client.d.ts").Update} Update */
/** @typedef {import("./client.d.ts").ConnectionStatus} ConnectionStatus */

/** Name of the websocket subprotocol. */
export const PROTOCOL = "magtkd.v1";
/** Seconds; the bound of the random delay before the first attempt to come back. */
export const FIRST_DELAY = 0.25;
/** Seconds; the bound never grows beyond. */
export const LONGEST_DELAY = 10;

const EVENTS = "/v1/events";
const INGEST = "/v1/ingest";
const EVENT_TYPES = new Set([
  "session.started", "speech.started", "transcript", "emotion", "utterance.dropped", "status",
  "session.ended",
]);
const SOUND = 1;
const PICTURE = 2;
const HEADER_BYTES = 9;
/** Messages that may wait for a slow reader; then the connection is given up and resumed later. */
const MAX_WAITING = 10_000;
/** Bytes that the browser may hold for the network before more wait here, where they can be dropped. */
const HIGH_WATER = 256 * 1024;
/** Closes after which coming back with the same request cannot help. */
const FINAL_CLOSES = new Set([1002, 1003, 1007, 1008, 1009]);

// ---------------------------------------------------------------------------- errors, delays, addresses

/** What the server refused, or why it cannot be reached; `remedy` says what to do. */
export class MagtkdError extends Error {
  /**
   * @param {string} code of the server's `error` message, or `unreachable`, `lost`, `closed`,
   *   `protocol`, `bad_address`, `bad_token`, `unsupported` where it is found here.
   * @param {string} message one line; what follows the last semicolon is the remedy.
   */
  constructor(code, message) {
    super(message);
    this.name = "MagtkdError";
    this.code = code;
    const cut = message.lastIndexOf("; ");
    this.problem = cut < 0 ? message : message.slice(0, cut);
    this.remedy = cut < 0 ? "" : message.slice(cut + 2);
  }
}

/**
 * Seconds to wait after so many failures in a row: random below a bound that doubles (full jitter).
 * @param {number} failures 1 or more
 * @param {() => number} [random] gives 0 to 1
 */
export function retryDelay(failures, random = Math.random) {
  return random() * Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** Math.min(failures - 1, 30));
}

/**
 * The full address of a websocket of the server.
 * @param {string | URL} url `ws://host:port`, `http://host:port`, `host:port`, or in a page a path
 * @param {string} path used where `url` has none, or that of the other websocket
 * @param {Record<string, string | number | null | undefined>} [query] null and undefined are left out
 * @returns {string}
 */
export function addressOf(url, path, query = {}) {
  const given = String(url);
  const wrong = new MagtkdError(
    "bad_address", `'${given}' is no address of a server; give one like ws://127.0.0.1:8765`);
  let address;
  try {
    const local = given === "" || given.startsWith("/");
    address = local ? new URL(given, globalThis.location.href)
      : new URL(given.includes("://") ? given : `ws://${given}`);
  } catch {
    throw wrong;
  }
  address.protocol = { "http:": "ws:", "https:": "wss:" }[address.protocol] ?? address.protocol;
  if (!["ws:", "wss:"].includes(address.protocol) || !address.hostname) throw wrong;
  const own = address.pathname.replace(/\/v1\/(events|ingest)$/, path);
  address.pathname = own === "/" ? path : own;
  address.hash = "";
  for (const [name, value] of Object.entries(query)) {
    if (value != null) address.searchParams.set(name, String(value));
  }
  return address.href;
}

/**
 * Wait, or return at once when the signal is aborted.
 * @param {number} seconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
function sleep(seconds, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}

// ---------------------------------------------------------------------------- one connection

/** A websocket whose messages are waited for one by one. */
class Connection {
  /** @type {string[]} */ #waiting = [];
  /** @type {(() => void) | null} */ #wake = null;
  #opened = false;
  /** @type {{code: number, reason: string} | null} set once it is over */
  closed = null;

  /**
   * @param {string} address
   * @param {{token?: string, signal?: AbortSignal, WebSocket?: typeof WebSocket}} options
   */
  constructor(address, { token, signal, WebSocket: Socket = globalThis.WebSocket }) {
    if (!Socket) {
      throw new MagtkdError("unsupported", "there is no WebSocket here; use node 22 or newer, " +
        "node --experimental-websocket, or give one as the option WebSocket");
    }
    try {
      this.socket = new Socket(address, token ? [PROTOCOL, token] : [PROTOCOL]);
    } catch (error) {
      throw new MagtkdError("bad_token", `cannot connect to ${address} (${error}); ` +
        "check the address, and that the token is the one that the server was given");
    }
    const socket = this.socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#opened = true;
      this.#wake?.();
    };
    socket.onmessage = ({ data }) => {
      if (this.closed) return;
      this.#waiting.push(data);
      if (this.#waiting.length > MAX_WAITING) this.#end(1006, "read too slowly here");
      this.#wake?.();
    };
    socket.onclose = ({ code, reason }) => this.#end(code, reason);
    // node 20 tells a failed handshake by this alone, without a close.
    socket.onerror = () => this.#opened || this.#end(1006, "no connection");
    this.signal = signal;
    signal?.addEventListener("abort", this.close);
    if (signal?.aborted) this.close();
  }

  /** Close it; what has arrived can still be read. */
  close = () => this.#end(1000, "closed here");

  /** Whether it came to be open, told as soon as that is known. */
  async opened() {
    while (!this.#opened && !this.closed) await this.#change();
    return this.#opened;
  }

  /**
   * The next message, or null when it is closed and everything has been read.
   * @returns {Promise<any>}
   */
  async next() {
    while (!this.#waiting.length && !this.closed) await this.#change();
    const text = this.#waiting.shift();
    if (text === undefined) return null;
    if (this.socket.protocol !== PROTOCOL) {
      throw new MagtkdError("protocol", `what answers there does not speak ${PROTOCOL}; check the address`);
    }
    let message = null;
    try {
      message = JSON.parse(text);
    } catch { /* told below */ }
    if (typeof message?.type === "string") return message;
    throw new MagtkdError("protocol",
      `the server sent what is not ${PROTOCOL}; run server and client of the same version`);
  }

  /** @returns {Promise<void>} */
  #change() {
    return new Promise((resolve) => { this.#wake = resolve; });
  }

  /** @param {number} code @param {string} reason */
  #end(code, reason) {
    if (this.closed) return;
    this.closed = { code, reason };
    this.signal?.removeEventListener("abort", this.close);
    this.socket.close();
    this.#wake?.();
  }
}

/** Where in which session a reader is. */
class Place {
  /** @param {string | null} [session] @param {number | null} [since] */
  constructor(session = null, since = null) {
    this.session = session;
    this.since = since;
  }

  /**
   * Move on to after a message; false where it is none that is read, or has been had already.
   * @param {any} message
   */
  take(message) {
    if (message.type === "snapshot") {
      this.session = message.session?.session_id ?? this.session;
    } else if (!EVENT_TYPES.has(message.type) || (this.since !== null && message.seq <= this.since)) {
      return false;
    } else {
      this.session = message.session_id;
    }
    this.since = message.seq;
    return true;
  }
}

// ---------------------------------------------------------------------------- reading events

/**
 * The events of one session in order, each once, until `session.ended`.
 *
 * A lost connection is taken up again after the last event; where the server no longer has all
 * that was missed, a `snapshot` comes first. An aborted `signal` ends the iteration quietly.
 *
 * @param {string | URL} url the server
 * @param {import("./client.d.ts").SubscribeOptions} [options]
 * @returns {AsyncGenerator<Update, void, void>}
 * @throws {MagtkdError} the server cannot be reached at first, refuses the request, or stays away
 */
export async function* subscribe(url, options = {}) {
  const { session, since, signal, onStatus, attempts = 10, backoff = retryDelay } = options;
  const place = new Place(session, since);
  let reached = false;
  let failures = 0;
  while (!signal?.aborted) {
    onStatus?.({ state: "connecting" });
    const query = { session: place.session, since: place.since };
    const connection = new Connection(addressOf(url, EVENTS, query), options);
    let refusal = null;
    try {
      if (await connection.opened()) {
        reached = true;
        onStatus?.({ state: "open" });
      }
      for (let message; !signal?.aborted && (message = await connection.next());) {
        if (message.type === "error") {
          refusal = new MagtkdError(message.code, message.message);
          // There it helps to come back: no session has begun yet, or the server has too much to do.
          const later = (message.code === "unknown_session" && place.session === null)
            || message.code === "overload";
          if (later) break;
          throw refusal;
        }
        failures = 0;
        if (place.take(message)) yield message;
        if (message.type === "session.ended") {
          onStatus?.({ state: "ended" });
          return;
        }
      }
    } finally {
      connection.close();
    }
    if (signal?.aborted) break;
    if (!reached) throw unreachable(url);
    failures += 1;
    const problem = refusal?.problem ?? lost(connection);
    if (failures > attempts) {
      throw refusal ?? new MagtkdError("lost", `${problem}; subscribe again with since=${place.since ?? 0}`);
    }
    const delay = backoff(failures);
    onStatus?.({ state: "waiting", problem, delay });
    await sleep(delay, signal);
  }
  onStatus?.({ state: "ended" });
}

/**
 * The events of the current session, then of the next, and so on until the signal is aborted.
 *
 * @param {string | URL} url the server
 * @param {import("./client.d.ts").FollowOptions} [options]
 * @returns {AsyncGenerator<Update, void, void>}
 * @throws {MagtkdError} the server cannot be reached at first, or refuses the request
 */
export async function* follow(url, { wait = 2, ...options } = {}) {
  let ended = null;
  let met = false;
  while (!options.signal?.aborted) {
    try {
      for await (const update of subscribe(url, { since: 0, ...options, session: undefined })) {
        const session = update.type === "snapshot" ? update.session?.session_id : update.session_id;
        if (ended !== null && session === ended) break;
        met = true;
        yield update;
        if (update.type === "session.ended") ended = update.session_id;
      }
    } catch (error) {
      const away = error instanceof MagtkdError
        && ["unreachable", "lost", "unknown_session", "overload"].includes(error.code);
      if (!met || !away) throw error;
      options.onStatus?.({ state: "waiting", problem: error.problem, delay: wait });
    }
    await sleep(wait, options.signal);
  }
}

/** @param {Connection} connection */
function lost({ closed }) {
  return `the connection was lost (${closed?.code}${closed?.reason ? ` ${closed.reason}` : ""})`;
}

/** @param {string | URL} url */
function unreachable(url) {
  return new MagtkdError("unreachable",
    `no server answers at ${url}, or it refuses this client; check address, token and allowed origins`);
}

// ---------------------------------------------------------------------------- sending media

/** Binary messages until the server has taken them; bounded, pictures give way first. @internal */
export class Outbox {
  /** @type {{kind: number, until: number, bytes: Uint8Array<ArrayBuffer>}[]} */ #frames = [];
  #next = 0;
  #size = 0;
  #unsent = 0;
  dropped = { sound: 0, pictures: 0 };

  /** @param {number} limit bytes */
  constructor(limit) {
    this.limit = limit;
  }

  /** Bytes that have not been sent yet. */
  get unsent() {
    return this.#unsent;
  }

  /** @param {number} kind @param {number} until microseconds @param {Uint8Array<ArrayBuffer>} bytes */
  add(kind, until, bytes) {
    this.#frames.push({ kind, until, bytes });
    this.#size += bytes.length;
    this.#unsent += bytes.length;
    while (this.#size > this.limit) this.#drop();
  }

  /** The next one to send, or undefined. */
  next() {
    const frame = this.#frames[this.#next];
    if (!frame) return undefined;
    this.#next += 1;
    this.#unsent -= frame.bytes.length;
    return frame.bytes;
  }

  /** A new connection: everything that is left is sent again. */
  rewind() {
    this.#next = 0;
    this.#unsent = this.#size;
  }

  /** What was taken is not needed any more. @param {number} kind @param {number} seconds */
  ack(kind, seconds) {
    const limit = seconds * 1e6 + 100; // less than a sample lasts; both sides round their clocks
    const sent = this.#frames.splice(0, this.#next);
    const kept = sent.filter((frame) => frame.kind !== kind || frame.until > limit);
    this.#frames.unshift(...kept);
    this.#next = kept.length;
    this.#size = this.#frames.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  #drop() {
    const index = Math.max(0, this.#frames.findIndex(({ kind }) => kind === PICTURE));
    const [{ kind, bytes }] = this.#frames.splice(index, 1);
    this.#size -= bytes.length;
    if (index < this.#next) {
      this.#next -= 1;
    } else {
      this.#unsent -= bytes.length;
      this.dropped[kind === PICTURE ? "pictures" : "sound"] += 1;
    }
  }
}

/** Sends sound and pictures of one session; made by `publish`. */
class Publisher {
  /** @type {Connection | null} */ #connection = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #url;
  #options;
  #outbox;
  #audio;
  #place = new Place();
  /** @type {string | null} */ #token = null;
  #ready = false;
  #ending = false;
  #endSent = false;
  /** @type {MagtkdError | null} */ #over = null;
  #pictures = Promise.resolve();
  #acked = false;

  /** @type {string | null} the session's id */
  session = null;
  /** @type {import("./client.d.ts").IngestLimits | null} what the server puts up with */
  limits = null;

  /** @param {string | URL} url @param {import("./client.d.ts").PublishOptions} options */
  constructor(url, options) {
    this.#url = url;
    this.#options = options;
    this.#audio = options.audio && { channels: 1, encoding: "pcm_s16le", ...options.audio };
    this.#outbox = new Outbox(options.maxBuffered ?? 8 << 20);
    /** @type {Promise<void>} resolves when media may be sent */
    this.ready = new Promise((resolve, reject) => {
      /** Resolves when the session has ended, rejects where it failed. @type {Promise<void>} */
      this.done = this.#run(resolve).catch((error) => {
        this.#over ??= error;
        reject(error);
        throw error;
      });
    });
    for (const promise of [this.ready, this.done]) promise.catch(() => {}); // told to who awaits it
  }

  /** How many pieces of sound and pictures were thrown away unsent for lack of room. */
  get dropped() {
    return { ...this.#outbox.dropped };
  }

  /** Bytes that have not left this machine yet. */
  get bufferedAmount() {
    return this.#outbox.unsent + (this.#connection?.socket.bufferedAmount ?? 0);
  }

  /**
   * Send samples of all channels, interleaved; floats are -1 to 1.
   * @param {Int16Array | Float32Array} samples in the encoding that was announced, or converted to it
   * @param {number} captureMicroseconds when the first was recorded, on a clock that never goes back
   */
  sendSound(samples, captureMicroseconds) {
    this.#mustGoOn();
    if (!this.#audio) {
      throw new MagtkdError("unsupported", "no sound was announced; publish with the option audio");
    }
    const { channels, encoding, sample_rate: rate } = this.#audio;
    const pcm = encoding === "pcm_s16le" ? toInt16(samples) : toFloat32(samples);
    const room = (this.limits?.max_message_bytes ?? 1 << 16) - HEADER_BYTES;
    // No server takes many seconds at once.
    const step = Math.max(1, Math.min(rate, Math.floor(room / pcm.BYTES_PER_ELEMENT / channels))) * channels;
    for (let first = 0; first < pcm.length; first += step) {
      const part = pcm.subarray(first, first + step);
      const begin = captureMicroseconds + Math.round((first / channels / rate) * 1e6);
      const until = captureMicroseconds + ((first + part.length) / channels / rate) * 1e6;
      this.#outbox.add(SOUND, until, framed(SOUND, begin, part));
    }
    this.#pump();
  }

  /**
   * Send one JPEG.
   * @param {Blob | ArrayBuffer | Uint8Array} jpeg
   * @param {number} captureMicroseconds when it was taken, on the clock of the sound
   * @returns {Promise<void>} when it lies in the queue
   */
  sendPicture(jpeg, captureMicroseconds) {
    const added = this.#pictures.then(async () => {
      const data = new Uint8Array("arrayBuffer" in jpeg ? await jpeg.arrayBuffer() : jpeg);
      this.#mustGoOn();
      const limit = this.limits?.max_message_bytes ?? Infinity;
      if (data.length + HEADER_BYTES > limit) {
        throw new MagtkdError("too_large",
          `a picture has ${data.length} bytes, the server takes ${limit}; make it smaller`);
      }
      this.#outbox.add(PICTURE, captureMicroseconds, framed(PICTURE, captureMicroseconds, data));
      this.#pump();
    });
    this.#pictures = added.catch(() => {});
    return added;
  }

  /**
   * Send what is left, and wait until the session has ended.
   * @returns {Promise<void>}
   * @throws {MagtkdError} the session failed, or the connection was lost for good
   */
  async end() {
    await this.#pictures;
    this.#ending = true;
    this.#pump();
    return this.done;
  }

  /** Leave at once: nothing more is sent or told. The server waits a while for a return, then ends. */
  close() {
    this.#over ??= new MagtkdError("closed", "it was closed here; publish anew");
    this.#connection?.close();
  }

  #mustGoOn() {
    if (this.#over) throw this.#over;
    if (this.#ending) throw new MagtkdError("closed", "it has been ended; publish anew");
  }

  /** @param {() => void} resolve called when the server is ready for the first time */
  async #run(resolve) {
    const { signal, onStatus, attempts = 10, backoff = retryDelay } = this.#options;
    signal?.addEventListener("abort", () => this.close(), { once: true });
    if (signal?.aborted) this.close();
    for (let failures = 0; !this.#over;) {
      onStatus?.({ state: "connecting" });
      const connection = new Connection(addressOf(this.#url, INGEST), this.#options);
      this.#connection = connection;
      let refusal = null;
      try {
        refusal = await this.#serve(connection, resolve);
      } finally {
        this.#ready = false;
        clearTimeout(this.#timer);
        connection.close();
      }
      if (this.#over) break;
      if (this.#acked) failures = 0;
      const code = connection.closed?.code ?? 1006;
      if (code === 1000) {
        this.#over = new MagtkdError("closed", "the session has ended; publish anew");
        onStatus?.({ state: "ended" });
        return;
      }
      if (!this.session) throw refusal ?? unreachable(this.#url);
      failures += 1;
      const problem = refusal?.problem ?? lost(connection);
      if (FINAL_CLOSES.has(code) || failures > attempts) {
        throw refusal ?? new MagtkdError("lost", `${problem}; publish anew`);
      }
      const delay = backoff(failures);
      onStatus?.({ state: "waiting", problem, delay });
      await sleep(delay, signal);
    }
    if (this.#over) throw this.#over;
  }

  /**
   * One connection from its hello to its close; returns the last refusal.
   * @param {Connection} connection @param {() => void} resolve
   */
  async #serve(connection, resolve) {
    const { video, speaker, subscribe: wanted, onEvent, onStatus } = this.#options;
    let refusal = null;
    this.#acked = this.#endSent = false;
    if (!await connection.opened()) return null;
    connection.socket.send(JSON.stringify({
      type: "hello", protocol: PROTOCOL, audio: this.#audio, video, speaker, subscribe: wanted,
      ...(this.session && { session_id: this.session, resume_token: this.#token }),
      ...(wanted && this.#place.since !== null && { since: this.#place.since }),
    }));
    for (let message; !this.#over && (message = await connection.next());) {
      if (message.type === "ready") {
        [this.session, this.#token, this.limits] = [message.session_id, message.resume_token, message.limits];
        this.#outbox.rewind();
        this.#ready = true;
        onStatus?.({ state: "open" });
        resolve();
      } else if (message.type === "ack") {
        this.#acked = true;
        this.#outbox.ack(message.kind, message.t);
      } else if (message.type === "error") {
        refusal = new MagtkdError(message.code, message.message);
        onStatus?.({ state: "refused", problem: refusal.problem, code: refusal.code });
      } else if (this.#place.take(message)) {
        onEvent?.(message);
      }
      this.#pump();
    }
    return refusal;
  }

  /** Give the connection what it has room for. */
  #pump() {
    const socket = this.#connection?.socket;
    if (!this.#ready || !socket || this.#connection?.closed) return;
    clearTimeout(this.#timer);
    while (socket.bufferedAmount < HIGH_WATER) {
      const bytes = this.#outbox.next();
      if (!bytes) break;
      socket.send(bytes);
    }
    if (this.#outbox.unsent) {
      this.#timer = setTimeout(() => this.#pump(), 20); // a websocket does not tell that it has room
    } else if (this.#ending && !this.#endSent) {
      this.#endSent = true;
      socket.send('{"type":"end"}');
    }
  }
}

/**
 * Send sound and pictures to the server, as a session of their own.
 *
 * A lost connection is taken up again, and what was not acknowledged is sent again, as far as
 * `maxBuffered` bytes hold it; beyond, pictures give way first. `dropped` counts them.
 *
 * @param {string | URL} url the server
 * @param {import("./client.d.ts").PublishOptions} options
 * @returns {Promise<import("./client.d.ts").Publisher>} when the server is ready for media
 * @throws {MagtkdError} the server cannot be reached, or refuses
 */
export async function publish(url, options) {
  const publisher = new Publisher(url, options);
  await publisher.ready;
  return publisher;
}

/** @param {number} kind @param {number} microseconds @param {ArrayBufferView} payload */
function framed(kind, microseconds, payload) {
  const bytes = new Uint8Array(HEADER_BYTES + payload.byteLength);
  bytes[0] = kind;
  new DataView(bytes.buffer).setBigUint64(1, BigInt(Math.round(microseconds)), true);
  bytes.set(new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength), HEADER_BYTES);
  return bytes;
}

/** @param {Int16Array | Float32Array} samples */
function toInt16(samples) {
  return samples instanceof Int16Array ? samples
    : Int16Array.from(samples, (x) => Math.max(-32768, Math.min(32767, Math.round(x * 32768))));
}

/** @param {Int16Array | Float32Array} samples */
function toFloat32(samples) {
  return samples instanceof Float32Array ? samples : Float32Array.from(samples, (x) => x / 32768);
}
