/** Opening microphone and camera, and saying in words why that did not work. */

/**
 * @typedef {object} Wanted
 * @property {string} microphone its device id, empty for any
 * @property {string} camera its device id, empty for any
 * @property {boolean} withCamera
 * @property {boolean} echoCancellation
 */

/**
 * @param {Wanted} wanted
 * @returns {Promise<{stream: MediaStream, missing: string}>} `missing` says what is not there
 * @throws {Error} with a message for people
 */
export async function openDevices(wanted) {
  if (!globalThis.isSecureContext || !navigator.mediaDevices) {
    throw new Error(
      "Browsers open microphones and cameras only for pages of this machine (localhost) or over " +
      "https. Open this page as http://localhost, or start the server with --tls-cert and --tls-key.",
    );
  }
  const exact = (id) => (id ? { deviceId: { exact: id } } : {});
  const audio = {
    ...exact(wanted.microphone),
    echoCancellation: wanted.echoCancellation,
    noiseSuppression: false,
    autoGainControl: false,
  };
  const video = { ...exact(wanted.camera), width: { ideal: 640 }, frameRate: { ideal: 15 } };
  const ask = (constraints) => navigator.mediaDevices.getUserMedia(constraints);
  if (!wanted.withCamera) return { stream: await ask({ audio }).catch(tell), missing: "" };
  try {
    return { stream: await ask({ audio, video }), missing: "" };
  } catch (error) {
    if (error.name !== "NotFoundError") return tell(error);
    // It does not say which of the two is not there.
    return { stream: await ask({ audio }).catch(tell), missing: "No camera was found: sound alone is sent." };
  }
}

/** @param {DOMException} error @returns {never} */
function tell(error) {
  const said = {
    NotAllowedError: "The browser was not allowed to open microphone and camera. Allow them for this page (the sign beside the address), then try again.",
    NotFoundError: "No microphone was found. Connect one, then try again.",
    NotReadableError: "The microphone or camera cannot be read: another program may have it. Close that, then try again.",
    OverconstrainedError: "The chosen device is not there any more. Choose another.",
  }[error.name];
  throw new Error(said ?? `Microphone and camera could not be opened (${error.name}: ${error.message}).`);
}

/**
 * List devices to choose from; their names are known only once one has been opened.
 *
 * @param {HTMLSelectElement} select
 * @param {"audioinput"|"videoinput"} kind
 * @param {MediaStreamTrack|undefined} open the one that is open
 */
export async function listDevices(select, kind, open) {
  const devices = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === kind);
  const current = open?.getSettings().deviceId ?? "";
  select.replaceChildren(...devices.map((device, n) => {
    const option = document.createElement("option");
    option.value = device.deviceId;
    option.textContent = device.label || `Device ${n + 1}`;
    option.selected = device.deviceId === current;
    return option;
  }));
  select.disabled = devices.length < 2;
}
