// A server in a process of its own, and its memory at the points of a long stream.

import { type Client, connect } from "../../src/client/mod.ts";
import { TemporaryFolder } from "./live_server.ts";
import type { ServerMemory } from "./measured_server.ts";

const SCRIPT = new URL("./measured_server.ts", import.meta.url).pathname;

/** A server whose memory can be asked for. */
export class MeasuredServer implements AsyncDisposable {
  readonly #folder: TemporaryFolder;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: AsyncGenerator<string>;
  #address = "";

  private constructor(folder: TemporaryFolder) {
    this.#folder = folder;
    const permissions = [
      "--allow-read",
      `--allow-write=${folder.path}`,
      "--allow-net=127.0.0.1",
      "--allow-env=HOME,DENO_DIR,XDG_CACHE_HOME",
      `--allow-run=ps,${Deno.execPath()}`,
    ];
    const flags = ["--quiet", "--no-prompt", "--cached-only", "--v8-flags=--expose-gc"];
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", ...flags, ...permissions, SCRIPT, folder.path],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#lines = linesOf(this.#child.stdout);
  }

  /** Starts one with an empty database. */
  static async start(): Promise<MeasuredServer> {
    const server = new MeasuredServer(new TemporaryFolder());
    server.#address = await server.#nextLine();
    return server;
  }

  /** Its folder, with `test.sqlite` in it. */
  get folder(): string {
    return this.#folder.path;
  }

  connect(): Promise<Client> {
    const read = (name: string) => Deno.readTextFileSync(`${this.folder}/certs/${name}`);
    const credential = { cert: read("client.pem"), key: read("client.key") };
    return connect(`sqp://${this.#address}`, { ca: read("ca.pem"), ...credential });
  }

  /** What it takes now. */
  async memory(): Promise<ServerMemory> {
    await this.#input.write(new TextEncoder().encode("\n"));
    return JSON.parse(await this.#nextLine());
  }

  async #nextLine(): Promise<string> {
    const { done, value } = await this.#lines.next();
    if (done) throw new Error("the measured server has ended");
    return value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#lines.return(undefined);
    await this.#child.status;
    await this.#folder[Symbol.asyncDispose]();
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

/** Memory at one point of a stream. */
export interface MemoryPoint extends ServerMemory {
  readonly rows: number;
}

/** The curve for a person. */
export function curveText(points: readonly MemoryPoint[]): string {
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`.padStart(10);
  return points.map(({ rows, heapBytes, externalBytes, rssBytes, engineBytes }) =>
    [
      `${rows} rows:`.padStart(14),
      `heap ${mib(heapBytes)}`,
      `external ${mib(externalBytes)}`,
      `rss ${mib(rssBytes)}`,
      ...(engineBytes === undefined ? [] : [`engine rss ${mib(engineBytes)}`]),
    ].join("  ") + "\n"
  ).join("");
}
