// A server with its engine on a socket of this machine, in this process, in a folder of its own; and clients of it.

import { type Client, connect, type ConnectOptions } from "../../src/client/mod.ts";
import type { Server } from "../../src/server/server.ts";
import { type ServerSettings, startServer } from "../../src/server/start.ts";
import { granted, testWith } from "./permissions.ts";

/** What a test with sockets, files and engine processes needs. */
export const LIVE_PERMISSIONS: readonly Deno.PermissionDescriptor[] = [
  { name: "net", host: "127.0.0.1" },
  { name: "read", path: "/tmp" },
  { name: "write", path: "/tmp" },
  ...ownExecutable(),
];

/** Plain `deno test` may not even know where Deno is; then there is nothing that could be granted. */
function ownExecutable(): Deno.PermissionDescriptor[] {
  try {
    return [{ name: "run", command: Deno.execPath() }];
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return [{ name: "run" }];
    throw error;
  }
}

/** Registers a test over sockets; it is ignored, by name, where it may not run. */
export function liveTest(
  name: string,
  fn: (context: Deno.TestContext) => void | Promise<void>,
): void {
  testWith({ permissions: LIVE_PERMISSIONS }, name, fn);
}

/** Whether tests over sockets may run. */
export const CAN_RUN_LIVE: boolean = granted(...LIVE_PERMISSIONS);

/** A folder that is gone, with everything in it, at the end of its scope. */
export class TemporaryFolder implements AsyncDisposable {
  readonly path: string;

  constructor() {
    this.path = Deno.makeTempDirSync({ prefix: "sqp-test-" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** Whether nothing is forbidden to this user, so that a refusal of the system cannot be tested. */
export function isSuperuser(): boolean {
  const path = Deno.makeTempFileSync({ prefix: "sqp-test-" });
  try {
    Deno.chmodSync(path, 0o000);
    Deno.readTextFileSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) return false;
    throw error;
  } finally {
    Deno.removeSync(path);
  }
}

/** A line of a server's log. */
export interface LogLine {
  readonly level: "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Readonly<Record<string, string | number | boolean>>;
}

/** A server that runs in this process. */
export class LiveServer implements AsyncDisposable {
  readonly server: Server;
  readonly log: readonly LogLine[];
  readonly #folder: TemporaryFolder;

  private constructor(server: Server, log: readonly LogLine[], folder: TemporaryFolder) {
    this.server = server;
    this.log = log;
    this.#folder = folder;
  }

  /** Starts one on a port of the system's choice. */
  static async start(settings: Partial<ServerSettings> = {}): Promise<LiveServer> {
    const folder = new TemporaryFolder();
    const log: LogLine[] = [];
    const write = (level: LogLine["level"]) => (message: string, fields: LogLine["fields"] = {}) =>
      log.push({ level, message, fields });
    try {
      const { server } = await startServer({
        hostname: "127.0.0.1",
        port: 0,
        database: `${folder.path}/test.sqlite`,
        certificates: `${folder.path}/certs`,
        policy: "certificate",
        log: { info: write("info"), warn: write("warn"), error: write("error") },
        drainMs: 2_000,
        ...settings,
      });
      return new LiveServer(server, log, folder);
    } catch (error) {
      await folder[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return `sqp://${this.server.address}`;
  }

  get port(): number {
    return Number(this.server.address.split(":")[1]);
  }

  /** Its folder: `certs` and `test.sqlite` in it. */
  get folder(): string {
    return this.#folder.path;
  }

  /** What a client with the certificate that the server made connects with. */
  get options(): ConnectOptions {
    const read = (name: string) => Deno.readTextFileSync(`${this.folder}/certs/${name}`);
    return { ca: read("ca.pem"), cert: read("client.pem"), key: read("client.key") };
  }

  connect(options: Partial<ConnectOptions> = {}): Promise<Client> {
    return connect(this.url, { ...this.options, ...options });
  }

  /** Connects by way of another address, a relay's. */
  connectTo(url: string): Promise<Client> {
    return connect(url, this.options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    await this.#folder[Symbol.asyncDispose]();
  }
}

/** Waits, in small steps, until something is so; a failure says what it waited for. */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  delayMsMax = 10_000,
): Promise<void> {
  for (let i = 0; i < delayMsMax / 10; i++) {
    if (await isSo()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`waited in vain until ${what}`);
}

/** The milliseconds that a test waits where nothing tells it that it need not. */
export function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
