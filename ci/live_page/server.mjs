// The route server as a child process.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** Milliseconds after which a wait is a hang, and a failure. */
export const HANG = 120_000;

export function fail(why) {
  throw new Error(why);
}

export function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${HANG / 1000} s`)), HANG);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const [signal, status] of [["SIGINT", 130], ["SIGTERM", 143]]) {
  process.on(signal, () => process.exit(status));
}

export class Server {
  /** Starts a server, and waits until it listens. */
  static async start(program, listen, ...args) {
    const server = new Server();
    server.child = spawn(program, ["--listen", listen, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(server.child);
    server.ended = new Promise((resolve) => {
      server.child.on("exit", (status, signal) => {
        running.delete(server.child);
        resolve(status ?? signal);
      });
    });
    server.errors = "";
    server.child.stderr.on("data", (text) => {
      server.errors = (server.errors + text).slice(-10_000);
    });
    const lines = createInterface({ input: server.child.stdout });
    const listening = new Promise((resolve) => {
      lines.on("line", (line) => {
        const match = /^listening on (http:\/\/(.*))$/.exec(line);
        if (match) {
          [, server.url, server.listen] = match;
          resolve();
        }
      });
    });
    const gone = server.ended.then((status) =>
      fail(`the server ended (${status}):\n${server.errors}`),
    );
    gone.catch(() => {});
    await within("the server listens", Promise.race([listening, gone]));
    return server;
  }

  /** Tells the server to end, and waits until it has ended with success. */
  async stop() {
    this.child.kill("SIGTERM");
    const status = await within("the server ends", this.ended);
    if (status !== 0) {
      fail(`the server ended with ${status}:\n${this.errors}`);
    }
  }
}

/** Looks up random addresses in one request. */
export async function lookUp(url, many) {
  const part = () => Math.floor(Math.random() * 256);
  const address = () => `${1 + (part() % 223)}.${part()}.${part()}.${part()}`;
  const addresses = Array.from({ length: many }, address);
  const answer = await fetch(`${url}/lookup`, { method: "POST", body: JSON.stringify(addresses) });
  if (answer.status !== 200) {
    fail(`POST /lookup: ${answer.status}: ${await answer.text()}`);
  }
  await answer.arrayBuffer();
}
