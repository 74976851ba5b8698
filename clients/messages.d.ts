// Every text message of magtkd.v1. Generated: python -m magtkd_rt.wire.typescript
// Fields that an older server may leave out are optional; unknown fields are to be ignored.

/** What has been taken; at most once a second for each kind. */
export interface Ack {
  type: "ack";
  /** 1 sound, 2 pictures. */
  kind: 1 | 2;
  /** Seconds on the sender's clock up to which media was taken: the end of the last sound, or the last picture. After a lost connection the sender goes on from there. */
  t: number;
}

/** Which transcriber listens. */
export interface AsrInfo {
  name: string;
}

/** How the sound is sent: samples of all channels interleaved. */
export interface AudioFormat {
  /** Samples a second and channel. */
  sample_rate: number;
  channels?: number;
  /** Both little endian; 32-bit floats are -1 to 1. */
  encoding?: "pcm_s16le" | "pcm_f32le";
  /** Each channel is one speaker; else they are mixed and voices tell speakers apart. */
  channels_are_speakers?: boolean;
}

/** Which weights speak. */
export interface BundleInfo {
  name: string;
  sha256: string;
  licence: string;
}

/** The expression recognised in one utterance. It never claims to be an inner state. */
export interface Emotion {
  /** 1, 2, 3 ... per session, without gaps. */
  seq: number;
  session_id: string;
  /** Seconds of the session's media time at which it is true. */
  t: number;
  /** Wall-clock time of the hand-over to the sockets, UTC; null in a replay without a clock. */
  emitted_at?: string | null;
  type: "emotion";
  utterance_id: string;
  revision: number;
  stage: "provisional" | "final" | "revised";
  label: string;
  confidence: number;
  /** True where the confidence is under the bundle's threshold: better not act on the label. */
  abstained: boolean;
  probabilities: Record<string, number>;
  modalities: Partial<Record<"text" | "audio" | "video", Modality>>;
  /** As in the transcript. */
  speaker: string;
  /** How likely it is that speaker; null where no voice was judged. */
  speaker_confidence?: number | null;
  start: number;
  end: number;
  text: string;
  latency: Latency;
  /** Somebody else was heard to speak at the same time, on another channel. */
  overlapped?: boolean;
  /** Null where no face was seen. */
  face?: Face | null;
}

/** Last message of who sends media: what was said by now gets its results. */
export interface End {
  type: "end";
}

/** Something the client sent cannot be accepted. */
export interface Error {
  type: "error";
  code: "bad_json" | "bad_frame" | "bad_request" | "too_large" | "unsupported" | "too_fast" | "unauthorized" | "unknown_session" | "overload" | "timeout";
  message: string;
}

/** The face that an utterance was judged by: of several the one whose mouth moved with it. */
export interface Face {
  /** Where it was last: x, y, width, height as shares of the picture; may stick out of it. */
  box: [number, number, number, number];
  /** How sure the detector is that it is a face, not whose; 1 where it cannot tell. */
  confidence: number;
  /** Share of the utterance's pictures that show it. */
  seen: number;
  /** Further faces beside it in those pictures, as a rule. */
  others?: number;
}

/** First message of who sends media. */
export interface Hello {
  type: "hello";
  protocol: "magtkd.v1";
  /** Null where no sound will be sent; without sound there are no utterances. */
  audio?: AudioFormat | null;
  /** Null where no pictures will be sent. */
  video?: VideoFormat | null;
  /** Who is heard, where that is one person: utterances then carry that name. */
  speaker?: string | null;
  /** With `resume_token`: the session to go on with after a lost connection. */
  session_id?: string | null;
  resume_token?: string | null;
  /** Whether the session's events are to come over this connection too. */
  subscribe?: boolean;
  /** With `subscribe`: deliver everything after this seq; null takes all from the start. */
  since?: number | null;
}

/** What the server puts up with. */
export interface IngestLimits {
  /** Of one binary message. */
  max_message_bytes: number;
  /** Capture times may run ahead of real time so far; what is faster is refused. */
  ahead_seconds: number;
  /** More are left out. */
  pictures_per_second: number;
  /** How long a session waits for its sender to come back after a lost connection. */
  resume_seconds: number;
}

/** Where the time of an emotion went, in milliseconds. */
export interface Latency {
  /** From the utterance's last sound to the decision that it is over (media time). */
  endpoint_ms: number;
  /** Finishing the transcript after that decision, waiting excluded. */
  asr_ms: number;
  /** Text, audio and video encoders together. */
  encode_ms: number;
  fusion_ms: number;
  /** From the instant the last sound reached this machine to the hand-over to the sockets. */
  total_ms: number;
}

/** Whether a modality took part, why not, and how much it moved the result. */
export interface Modality {
  present: boolean;
  /** Fall of the winning label's probability when this modality is masked; null if absent. */
  contribution?: number | null;
  /** Why it is absent; null if present. `overload`: it was left out for lack of time. */
  reason?: "no_sound" | "no_face" | "no_words" | "low_confidence" | "overload" | "error" | null;
}

/** The answer to `hello`: media may be sent. */
export interface Ready {
  type: "ready";
  session_id: string;
  /** Shows, after a lost connection, that it is the same sender; good for one resumption. */
  resume_token: string;
  limits: IngestLimits;
}

/** The last event of a session. */
export interface SessionEnded {
  /** 1, 2, 3 ... per session, without gaps. */
  seq: number;
  session_id: string;
  /** Seconds of the session's media time at which it is true. */
  t: number;
  /** Wall-clock time of the hand-over to the sockets, UTC; null in a replay without a clock. */
  emitted_at?: string | null;
  type: "session.ended";
  reason: string;
  totals: Record<string, number>;
}

/** The first event of a session. */
export interface SessionStarted {
  /** 1, 2, 3 ... per session, without gaps. */
  seq: number;
  session_id: string;
  /** Seconds of the session's media time at which it is true. */
  t: number;
  /** Wall-clock time of the hand-over to the sockets, UTC; null in a replay without a clock. */
  emitted_at?: string | null;
  type: "session.started";
  protocol: "magtkd.v1";
  labels: string[];
  bundle: BundleInfo;
  asr: AsrInfo;
  engine: string;
  sources: SourceInfo;
  notice: string;
}

/** The state as it is now: first message where `since` is absent or has left the ring. */
export interface Snapshot {
  type: "snapshot";
  /** The stream goes on after this number; 0 before the first event. */
  seq: number;
  /** How the session began; null before its first event. */
  session: SessionStarted | null;
  /** Utterances that have neither a final result nor been dropped, oldest first. */
  open_utterances: SpeechStarted[];
  /** The last result of each recent utterance, oldest utterance first. */
  recent: Emotion[];
}

/** Where sound and picture come from; null where there is none. */
export interface SourceInfo {
  audio: string | null;
  video: string | null;
}

/** Somebody began to speak; exactly one final `emotion` or `utterance.dropped` follows. */
export interface SpeechStarted {
  /** 1, 2, 3 ... per session, without gaps. */
  seq: number;
  session_id: string;
  /** Seconds of the session's media time at which it is true. */
  t: number;
  /** Wall-clock time of the hand-over to the sockets, UTC; null in a replay without a clock. */
  emitted_at?: string | null;
  type: "speech.started";
  utterance_id: string;
}

/** How the system is doing. */
export interface Status {
  /** 1, 2, 3 ... per session, without gaps. */
  seq: number;
  session_id: string;
  /** Seconds of the session's media time at which it is true. */
  t: number;
  /** Wall-clock time of the hand-over to the sockets, UTC; null in a replay without a clock. */
  emitted_at?: string | null;
  type: "status";
  level: "info" | "warning" | "error";
  code: string;
  message: string;
  lag_ms?: number;
  dropped?: Record<string, number>;
}

/** The words so far, or with `final` the words. */
export interface Transcript {
  /** 1, 2, 3 ... per session, without gaps. */
  seq: number;
  session_id: string;
  /** Seconds of the session's media time at which it is true. */
  t: number;
  /** Wall-clock time of the hand-over to the sockets, UTC; null in a replay without a clock. */
  emitted_at?: string | null;
  type: "transcript";
  utterance_id: string;
  revision: number;
  final: boolean;
  text: string;
  /** Left out where the transcriber gives no times. */
  words?: WireWord[] | null;
  language: string;
  confidence: number;
  /** S1, S2, ... by first appearance, or an enrolled name; `S?` where it is not sure, and in words so far where voices tell speakers apart, which they do when the utterance is over. */
  speaker: string;
  /** How likely it is that speaker; null where no voice was judged. */
  speaker_confidence?: number | null;
  start: number;
  end: number;
}

/** An utterance that ends without a result. */
export interface UtteranceDropped {
  /** 1, 2, 3 ... per session, without gaps. */
  seq: number;
  session_id: string;
  /** Seconds of the session's media time at which it is true. */
  t: number;
  /** Wall-clock time of the hand-over to the sockets, UTC; null in a replay without a clock. */
  emitted_at?: string | null;
  type: "utterance.dropped";
  utterance_id: string;
  reason: "no_speech" | "hallucination" | "too_short" | "overload" | "error";
}

/** How pictures are sent: each binary message is one. */
export interface VideoFormat {
  encoding: "jpeg";
}

/** One recognised word. */
export interface WireWord {
  text: string;
  start: number;
  end: number;
  confidence: number;
}

/** Any text message of the protocol, whoever sends it. */
export type AnyMessage =
  | Ack
  | Emotion
  | End
  | Error
  | Hello
  | Ready
  | SessionEnded
  | SessionStarted
  | Snapshot
  | SpeechStarted
  | Status
  | Transcript
  | UtteranceDropped;
