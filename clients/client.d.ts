// Types of client.js.

import type {
  AudioFormat, Emotion, IngestLimits, SessionEnded, SessionStarted, Snapshot, SpeechStarted, Status,
  Transcript, UtteranceDropped, VideoFormat,
} from "./messages.d.ts";

export type * from "./messages.d.ts";

/** What a reader gets: any event, or a snapshot of the state. */
export type Update =
  | SessionStarted | SpeechStarted | Transcript | Emotion | UtteranceDropped | Status | SessionEnded
  | Snapshot;

/** How the connection is doing. */
export type ConnectionStatus =
  | { state: "connecting" }
  /** Events come, or media may be sent. */
  | { state: "open" }
  /** It was lost, and is taken up again in `delay` seconds. */
  | { state: "waiting"; problem: string; delay: number }
  /** The server did not accept something that was sent; a close may follow. */
  | { state: "refused"; problem: string; code: string }
  /** The session has ended, or the signal was aborted. */
  | { state: "ended" };

/** What all ways to connect take. */
export interface ConnectionOptions {
  /** The server's token, where it wants one. */
  token?: string;
  /** Leave when it is aborted. */
  signal?: AbortSignal;
  /** Told about every change of the connection. */
  onStatus?: (status: ConnectionStatus) => void;
  /** Connections that may fail one after the other before giving up; 10, or Infinity. */
  attempts?: number;
  /** Seconds to wait after so many failures in a row; `retryDelay` if not given. */
  backoff?: (failures: number) => number;
  /** Where there is no global one: node before 22. */
  WebSocket?: typeof WebSocket;
}

export interface SubscribeOptions extends ConnectionOptions {
  /** Which session; the current one if not given. */
  session?: string | null;
  /** Give everything after this seq, 0 for all; if not given, a snapshot and what follows. */
  since?: number | null;
}

export interface FollowOptions extends ConnectionOptions {
  /** As for `subscribe`, of each session; 0 if not given. */
  since?: number | null;
  /** Seconds between two looks for the next session, or for a server that has gone; 2. */
  wait?: number;
}

export interface PublishOptions extends ConnectionOptions {
  /** How sound will be sent; left out where there is none. */
  audio?: AudioFormat;
  /** How pictures will be sent; left out where there are none. */
  video?: VideoFormat;
  /** Who is heard, where that is one person. */
  speaker?: string;
  /** Whether the session's events come over this connection too, to `onEvent`. */
  subscribe?: boolean;
  /** Called with each event, once and in order. */
  onEvent?: (update: Update) => void;
  /** Bytes of media kept until the server has taken them; 8 MiB. */
  maxBuffered?: number;
}

/** Sends sound and pictures of one session. */
export interface Publisher {
  /** The session's id. */
  readonly session: string | null;
  /** What the server puts up with. */
  readonly limits: IngestLimits | null;
  /** Resolves when the session has ended, rejects with a MagtkdError where it failed. */
  readonly done: Promise<void>;
  /** Pieces thrown away unsent for lack of room. */
  readonly dropped: { sound: number; pictures: number };
  /** Bytes that have not left this machine yet. */
  readonly bufferedAmount: number;
  /**
   * Samples of all channels, interleaved, converted to the encoding that was announced; floats
   * are -1 to 1. The time is that of the first sample, in microseconds on a clock that never
   * goes back.
   */
  sendSound(samples: Int16Array | Float32Array, captureMicroseconds: number): void;
  /** One JPEG, and when it was taken on the same clock. */
  sendPicture(jpeg: Blob | ArrayBuffer | Uint8Array, captureMicroseconds: number): Promise<void>;
  /** Send what is left, and wait until the session has ended. */
  end(): Promise<void>;
  /** Leave at once; the server waits a while for a return, then ends the session. */
  close(): void;
}

/** What the server refused, or why it cannot be reached. */
export declare class MagtkdError extends Error {
  constructor(code: string, message: string);
  /**
   * Of the server's `error` message, or `unreachable`, `lost`, `closed`, `protocol`,
   * `bad_address`, `bad_token`, `unsupported` where it is found here.
   */
  readonly code: string;
  /** What is wrong. */
  readonly problem: string;
  /** What to do about it. */
  readonly remedy: string;
}

/** Name of the websocket subprotocol. */
export declare const PROTOCOL: "magtkd.v1";
/** Seconds; the bound of the random delay before the first attempt to come back. */
export declare const FIRST_DELAY: number;
/** Seconds; the bound never grows beyond. */
export declare const LONGEST_DELAY: number;

/** The events of one session in order, each once, until `session.ended`. */
export declare function subscribe(
  url: string | URL, options?: SubscribeOptions): AsyncGenerator<Update, void, void>;

/** The events of the current session, then of the next, and so on. */
export declare function follow(
  url: string | URL, options?: FollowOptions): AsyncGenerator<Update, void, void>;

/** Send sound and pictures to the server; resolves when it is ready for them. */
export declare function publish(url: string | URL, options: PublishOptions): Promise<Publisher>;

/** Seconds to wait after so many failures in a row: random below a bound that doubles. */
export declare function retryDelay(failures: number, random?: () => number): number;

/** The full address of a websocket of the server. */
export declare function addressOf(
  url: string | URL, path: string,
  query?: Record<string, string | number | null | undefined>): string;
