/** The capture page: consent, then devices, then sending; nothing is opened or sent before. */

import { publish } from "/client.js";

import { Board } from "./board.js";
import { Camera } from "./camera.js";
import { listDevices, openDevices } from "./devices.js";
import { byId, setText } from "./dom.js";
import { Drawing } from "./drawing.js";
import { health } from "./health.js";
import { Microphone } from "./microphone.js";
import { Now } from "./now.js";
import { clock, duration } from "./text.js";
import { themeSwitch } from "./theme.js";
import { keepToken, token } from "./token.js";
import { Transcript } from "./transcript.js";

const STATS_MS = 500;
const MISSING_INGEST = "This server takes no sound and pictures from browsers. Start one that does: magtkd serve";

/** What is open now. */
let stream = null;
let microphone = null;
let camera = null;
let publisher = null;
let level = 0;
let sent = { sound: 0, pictures: 0 };
let board = new Board();

const form = byId("settings").elements;
const transcript = new Transcript(
  byId("scroller"), byId("utterances"),
  { earlier: byId("earlier"), folded: byId("folded"), latest: byId("latest") }, () => {},
);
const now = new Now({ head: byId("now-head"), bars: byId("bars"), parts: byId("parts"), foot: byId("now-foot") });
const drawing = new Drawing(drawEvents, 100);
const meter = new Drawing(drawLevel, 50);

/** @param {"consent"|"open"|"sending"|"ending"} stage */
function show(stage) {
  document.documentElement.dataset.stage = stage;
  const isSending = stage === "sending" || stage === "ending";
  byId("rec").hidden = !isSending;
  byId("device-settings").hidden = stage === "consent";
  byId("monitor").hidden = stage === "consent";
  byId("open").hidden = stage !== "consent";
  byId("begin").hidden = stage !== "open";
  byId("close").hidden = stage !== "open";
  byId("pause").hidden = camera === null;
  setText(byId("rec-what"), camera === null ? "microphone" : "microphone and camera");
  for (const button of byId("rec").querySelectorAll("button")) button.disabled = stage === "ending";
  setText(byId("setup-title"), isSending ? "What is sent" : "Before you begin");
  byId("settings-fields").disabled = isSending;
  document.title = isSending ? "● REC · magtkd" : "magtkd · this microphone and camera";
}

/** @param {string} message empty for none */
function trouble(message) {
  setText(byId("trouble-text"), message);
  byId("trouble").hidden = !message;
}

async function open() {
  close();
  trouble("");
  try {
    const opened = await openDevices({
      microphone: form.microphone.value,
      camera: form.camera.value,
      withCamera: form.withCamera.checked,
      echoCancellation: form.echo.checked,
    });
    stream = opened.stream;
    trouble(opened.missing);
    microphone = await Microphone.open(stream, sendSound, (peak) => {
      level = Math.max(peak, level * 0.9);
      meter.ask();
    });
  } catch (error) {
    close();
    trouble(error.message);
    show("consent");
    return;
  }
  const [picture] = stream.getVideoTracks();
  const preview = /** @type {HTMLVideoElement} */ (byId("preview"));
  preview.srcObject = picture ? stream : null;
  byId("no-picture").hidden = picture !== undefined;
  if (picture) camera = new Camera(stream, preview, sendPicture);
  for (const track of stream.getTracks()) track.addEventListener("ended", () => lost(track));
  await listDevices(form.microphone, "audioinput", stream.getAudioTracks()[0]);
  await listDevices(form.camera, "videoinput", picture);
  show("open");
}

function close() {
  microphone?.close();
  camera?.close();
  for (const track of stream?.getTracks() ?? []) track.stop();
  byId("preview").srcObject = null;
  microphone = camera = stream = null;
}

function lost(track) {
  trouble(`The ${track.kind === "audio" ? "microphone" : "camera"} is gone. What was sent is kept; stop, and open it anew.`);
}

async function begin() {
  trouble("");
  keepToken(form.token.value);
  board = new Board();
  transcript.clear();
  sent = { sound: 0, pictures: 0 };
  byId("begin").disabled = true;
  try {
    publisher = await publish("/v1/ingest", {
      audio: { sample_rate: microphone.rate, channels: 1, encoding: "pcm_s16le" },
      video: camera ? { encoding: "jpeg" } : undefined,
      speaker: form.speaker.value.trim() || undefined,
      token: token() || undefined,
      subscribe: true,
      onEvent: (event) => { board.take(event); drawing.ask(); },
      onStatus: showStatus,
    });
  } catch (error) {
    trouble(await refusal(error));
    return;
  } finally {
    byId("begin").disabled = false;
  }
  if (camera) camera.perSecond = Math.min(10, publisher.limits?.pictures_per_second ?? 10);
  setText(byId("watch"), "See it on the dashboard");
  byId("watch").href = `/?session=${encodeURIComponent(publisher.session ?? "")}`;
  publisher.done.then(() => finish(""), (error) => finish(error.message));
  show("sending");
}

async function refusal(error) {
  if (error.code !== "unreachable") return error.message;
  const { state, takesMedia } = await health();
  if (state === "away") return "No server answers here.";
  if (!takesMedia) return MISSING_INGEST;
  return "This server wants a token that may publish: give it above.";
}

function showStatus(status) {
  const told = {
    connecting: "connecting …", open: "sending", ended: "ended",
    waiting: `connection lost, trying again: ${status.problem}`,
    refused: `the server said: ${status.problem}`,
  };
  setText(byId("status"), told[status.state] ?? status.state);
}

function sendSound(samples, microseconds) {
  if (publisher === null || document.documentElement.dataset.stage !== "sending") return;
  publisher.sendSound(samples, microseconds);
  sent.sound += samples.length / microphone.rate;
}

function sendPicture(jpeg, microseconds) {
  if (publisher === null || document.documentElement.dataset.stage !== "sending") return;
  publisher.sendPicture(jpeg, microseconds).catch((error) => trouble(error.message));
  sent.pictures += 1;
}

async function stop() {
  show("ending");
  setText(byId("status"), "waiting for the last results …");
  await publisher?.end().catch(() => {}); // told by its `done`
}

function finish(message) {
  publisher = null;
  close();
  toggle(byId("mute"), false);
  toggle(byId("pause"), false);
  agree(false); // others may be there next time
  trouble(message);
  setText(byId("status"), message ? "ended by a fault" : "ended; nothing is sent any more");
  show("consent");
}

function drawEvents() {
  const { changed } = board;
  byId("empty").hidden = board.utterances.size > 0;
  if (changed.utterances.size) transcript.draw(board, changed.utterances);
  now.draw(board.latest, board.labels);
  setText(byId("notice"), board.started?.notice ?? "");
  const last = board.notices.findLast(({ level: l }) => l !== "info");
  setText(byId("last-notice"), last ? last.message : "");
  board.drawn();
}

function drawLevel() {
  // Decibels: -60 is an empty bar.
  const share = Math.max(0, 1 + (20 * Math.log10(Math.max(level, 1e-6))) / 60);
  byId("level").style.transform = `scaleX(${Math.min(1, share)})`;
  byId("meter").setAttribute("aria-valuenow", String(Math.round(share * 100)));
  byId("too-loud").hidden = level < 0.98;
}

function drawStats() {
  if (publisher === null) return;
  const { dropped, bufferedAmount } = publisher;
  const seconds = bufferedAmount / (2 * (microphone?.rate ?? 16000));
  const told = [`${clock(sent.sound)} of sound`, `${sent.pictures} pictures`];
  if (seconds > 0.5) told.push(`${duration(seconds * 1000)} not sent yet`);
  if (dropped.sound || dropped.pictures) {
    told.push(`lost for lack of room: ${dropped.sound} pieces of sound, ${dropped.pictures} pictures`);
  }
  setText(byId("stats"), told.join(" · "));
}

/** @param {boolean} on whether those present have agreed */
function agree(on) {
  byId("agree").checked = on;
  byId("open").disabled = !on;
}

function toggle(button, on) {
  button.setAttribute("aria-pressed", String(on));
}

byId("agree").addEventListener("change", ({ target }) => {
  agree(target.checked);
  if (target.checked || publisher !== null) return;
  close();
  show("consent");
});
byId("open").addEventListener("click", open);
byId("begin").addEventListener("click", begin);
byId("stop").addEventListener("click", stop);
byId("close").addEventListener("click", () => { close(); show("consent"); });
byId("settings").addEventListener("submit", (event) => event.preventDefault());
for (const name of ["microphone", "camera", "withCamera", "echo"]) {
  form[name].addEventListener("change", () => { if (stream !== null) open(); });
}
byId("mute").addEventListener("click", ({ currentTarget }) => {
  const on = currentTarget.getAttribute("aria-pressed") !== "true";
  microphone.muted = on;
  toggle(currentTarget, on);
});
byId("pause").addEventListener("click", ({ currentTarget }) => {
  camera.paused = currentTarget.getAttribute("aria-pressed") !== "true";
  toggle(currentTarget, camera.paused);
});
addEventListener("beforeunload", (event) => { if (publisher !== null) event.preventDefault(); });
addEventListener("pagehide", () => publisher?.close());
setInterval(drawStats, STATS_MS);
for (const place of document.querySelectorAll("[data-host]")) setText(place, location.host);
form.token.value = token();
now.draw(null, []);
agree(false); // some browsers keep what was ticked over a reload
themeSwitch(byId("theme"), () => {});
show("consent");
