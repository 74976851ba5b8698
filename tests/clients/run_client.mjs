// Does one job with client.js, given as JSON: {client, job, url, ...}; prints what came as JSON lines.
const work = JSON.parse(process.argv[2]);
const { subscribe, follow, publish, retryDelay, addressOf, Outbox, MagtkdError } = await import(work.client);
const print = (kind, value) => console.log(JSON.stringify({ [kind]: value }));
const backoff = (failures) => retryDelay(failures) / 25;

const jobs = {
  async read({ url, options }) {
    for await (const update of subscribe(url, { ...options, backoff })) print("update", update);
  },

  async doze({ url, options, dozes }) {
    const [seqs, states] = [[], []];
    const onStatus = ({ state, problem }) => states.push(problem ?? state);
    for await (const { seq } of subscribe(url, { ...options, backoff, onStatus })) {
      if (seqs.push(seq) === 1) await new Promise((resolve) => setTimeout(resolve, 1000 * dozes));
    }
    print("seqs", seqs);
    print("states", states);
  },

  async readers({ url, options, count }) {
    const delay = (failures) => retryDelay(failures) / 100;
    await Promise.all(Array.from({ length: count }, async () => {
      const updates = [];
      for await (const update of subscribe(url, { ...options, backoff: delay })) updates.push(update);
      print("updates", updates);
    }));
  },

  async follow({ url, count }) {
    const leaving = new AbortController();
    let seen = 0;
    for await (const update of follow(url, { wait: 0.01, backoff, signal: leaving.signal })) {
      print("update", update);
      if (++seen === count) leaving.abort();
    }
  },

  async send({ url, options, actions }) {
    const onEvent = (update) => print("update", update);
    const publisher = await publish(url, { ...options, backoff, onEvent });
    try {
      for (const { sound, picture, at } of actions) {
        if (sound?.int16) publisher.sendSound(Int16Array.from(sound.int16), at);
        if (sound?.float32) publisher.sendSound(Float32Array.from(sound.float32), at);
        if (picture) await publisher.sendPicture(new Blob([Buffer.from(picture, "hex")]), at);
      }
      await publisher.end();
    } finally {
      publisher.close();
    }
    print("dropped", publisher.dropped);
  },

  async stream({ url, options, chunks, jpeg }) {
    const delay = (failures) => retryDelay(failures) / 100;
    const onEvent = (update) => print("update", update);
    const [audio, video] = [{ sample_rate: 16000 }, { encoding: "jpeg" }];
    const publisher = await publish(url, { audio, video, ...options, onEvent, backoff: delay });
    for (let number = 0; number < chunks; number++) {
      const at = 1_700_000_000_000_000 + number * 20_000;
      const samples = Int16Array.from({ length: 320 }, (_, i) => (number * 320 + i) * 7919 % 65536 - 32768);
      publisher.sendSound(samples, at);
      if (number % 5 === 0) await publisher.sendPicture(Buffer.from(jpeg, "hex"), at);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await publisher.end();
    print("dropped", publisher.dropped);
  },

  addresses({ given }) {
    for (const url of given) {
      try {
        print("address", addressOf(url, "/v1/events"));
      } catch (error) {
        print("address", error.code === "bad_address" ? null : String(error));
      }
    }
  },

  delays({ given }) {
    for (const { failures, random } of given) print("delay", retryDelay(failures, () => random));
  },

  outbox({ limit, ops }) {
    const outbox = new Outbox(limit);
    const added = [];
    for (const [name, ...rest] of ops) {
      if (name === "add") {
        const [kind, until, size] = rest;
        added.push(new Uint8Array(size));
        outbox.add(kind, until, added.at(-1));
      } else if (name === "next") {
        const bytes = outbox.next();
        print("next", bytes ? added.indexOf(bytes) : null);
      } else {
        outbox[name](...rest);
      }
    }
    print("left", { unsent: outbox.unsent, dropped: outbox.dropped });
  },
};

try {
  await jobs[work.job](work);
} catch (error) {
  if (!(error instanceof MagtkdError)) throw error;
  print("error", { code: error.code, problem: error.problem, remedy: error.remedy });
}
