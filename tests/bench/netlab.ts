// SQP over real sockets and an emulated link between two network namespaces, where this machine can make them.

import { figure, type Measured, type Table } from "./measure.ts";

const NETLAB = "../shared/tools/netlab/netlab.c";
const EMULATOR = "/tmp/sqp_netlab_emulator";
const SERVER_ADDRESS = "10.77.0.2:4433";
const LINK = ["--delay", "20", "--loss", "2", "--seed", "1"];
const TITLE = "netlab: 40 ms round trip, 2 % loss each way, 64 point queries in flight";
const COLUMNS = ["", "a second", "median ms", "99 % ms", "connect + first answer ms"];
const READY_MS_MAX = 20_000;

/** Reads a process's output until it says `word`. Throws where it ends before. */
async function awaitWord(output: ReadableStream<Uint8Array>, word: string): Promise<void> {
  const reader = output.pipeThrough(new TextDecoderStream()).getReader();
  const timer = setTimeout(() => void reader.cancel(), READY_MS_MAX);
  let text = "";
  while (!text.includes(word)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`no "${word}" in: ${text}`);
    text += value;
  }
  clearTimeout(timer);
  // What comes later is read and dropped, so that nobody is kept waiting.
  void (async () => {
    while (!(await reader.read()).done);
  })();
}

/** A command of Deno's inside a namespace. */
function inside(namespace: string, ...args: string[]): Deno.Command {
  return new Deno.Command("ip", {
    args: ["netns", "exec", namespace, Deno.execPath(), "run", "-A", "--no-prompt", ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

async function measureSqp(folder: string): Promise<Measured & { connectMs: number }> {
  const args = [
    "--listen",
    SERVER_ADDRESS,
    "--certs",
    folder,
    "--database",
    `${folder}/lab.sqlite`,
  ];
  const server = inside("lab-b", "src/cli/serve.ts", ...args).spawn();
  try {
    void server.stdout.cancel();
    await awaitWord(server.stderr, "listening");
    const client = inside("lab-a", "tests/bench/netlab_client.ts", SERVER_ADDRESS, folder);
    const { success, stdout, stderr } = await client.output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return JSON.parse(new TextDecoder().decode(stdout));
  } finally {
    server.kill("SIGTERM");
    await server.status;
  }
}

/** Builds and starts the emulator. Throws why there is no emulated link here. */
async function startLink(): Promise<Deno.ChildProcess> {
  if (Deno.uid() !== 0) throw new Error("only root makes network namespaces");
  const args = ["-O2", "-o", EMULATOR, NETLAB];
  const { success, stderr } = await new Deno.Command("cc", { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const streams = { stdin: "piped", stdout: "piped", stderr: "null" } as const;
  const link = new Deno.Command(EMULATOR, { args: LINK, ...streams }).spawn();
  await awaitWord(link.stdout, "ready");
  return link;
}

/** Measures over the emulated link; says why, where there is none. */
export async function benchNetlab(): Promise<Table> {
  let link: Deno.ChildProcess;
  try {
    link = await startLink();
  } catch (error) {
    const [reason] = String(error).split("\n");
    return { title: TITLE, columns: COLUMNS, rows: [[`left out: ${reason}`, "", "", "", ""]] };
  }
  const folder = await Deno.makeTempDir({ prefix: "sqp_netlab_" });
  try {
    const { perSecond, medianMs, p99Ms, connectMs } = await measureSqp(folder);
    const cells = [perSecond, medianMs, p99Ms, connectMs].map(figure);
    return { title: TITLE, columns: COLUMNS, rows: [["SQP, SQLite", ...cells]] };
  } finally {
    const writer = link.stdin.getWriter();
    await writer.write(new TextEncoder().encode("quit\n"));
    await writer.close();
    await link.status;
    await Deno.remove(folder, { recursive: true });
  }
}
