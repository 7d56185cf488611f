// A server as a process of its own, with a folder for its certificates and database that goes with it.

import { type Client, connect } from "../../src/client/mod.ts";
import { OPENSSL_LIBRARY_PATHS } from "../../src/dtls_runtime/openssl_paths.ts";

const START_MS_MAX = 20_000;

/** How a server is started: its program, the permissions of the program, and its arguments for a folder. */
interface Program {
  readonly entry: URL;
  readonly permissions: readonly string[];
  readonly args: (directory: string) => readonly string[];
}

/** `serve`, as its task runs it. */
export const SQLITE_SERVER: Program = {
  entry: new URL("../../src/cli/serve.ts", import.meta.url),
  permissions: ["--allow-env=HOME,DENO_DIR,XDG_CACHE_HOME", `--allow-run=${Deno.execPath()}`],
  args: (directory) => [
    ...["--listen", "127.0.0.1:0", "--log", "json", "--certs", directory],
    ...["--database", `${directory}/bench.sqlite`],
  ],
};

/** The same with cryptography from one provider. */
export function sqliteServer(provider: "noble" | "node" | "openssl"): Program {
  const paths = OPENSSL_LIBRARY_PATHS.join(",");
  return {
    ...SQLITE_SERVER,
    permissions: [...SQLITE_SERVER.permissions, `--allow-ffi=${paths}`],
    args: (directory) => [...SQLITE_SERVER.args(directory), "--crypto", provider],
  };
}

/** `serve` in front of a PostgreSQL database. */
export function postgresServer(url: string): Program {
  return {
    ...SQLITE_SERVER,
    permissions: ["--allow-env=HOME,DENO_DIR,XDG_CACHE_HOME,PGAPPNAME,PGTARGETSESSIONATTRS"],
    args: (directory) => [
      ...["--listen", "127.0.0.1:0", "--log", "json", "--certs", directory],
      ...["--database", url],
    ],
  };
}

/** The same server with an engine that answers at once. */
export const INSTANT_SERVER: Program = {
  entry: new URL("./instant_server.ts", import.meta.url),
  permissions: [],
  args: (directory) => [directory],
};

/** A running server process and its folder; both end with it. */
export class ServerProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #output: ReadableStreamDefaultReader<string>;
  readonly #directory: string;
  #address = "";

  private constructor(child: Deno.ChildProcess, directory: string) {
    this.#child = child;
    this.#directory = directory;
    this.#output = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Starts a server and waits until it listens. */
  static async start({ entry, permissions, args }: Program): Promise<ServerProcess> {
    const directory = await Deno.makeTempDir({ prefix: "sqp_bench_" });
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--no-prompt", "--allow-read", "--allow-write", "--allow-net=127.0.0.1"],
        ...permissions,
        entry.href,
        ...args(directory),
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const server = new ServerProcess(child, directory);
    const killer = setTimeout(() => child.kill("SIGKILL"), START_MS_MAX);
    try {
      await server.#findAddress();
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    } finally {
      clearTimeout(killer);
    }
    return server;
  }

  async #findAddress(): Promise<void> {
    let text = "";
    for (;;) {
      const { done, value } = await this.#output.read();
      if (done) throw new Error(`the server has not started: ${text}`);
      text += value;
      const match = /"message":"listening","address":"([^"]+)"/.exec(text);
      if (match === null) continue;
      this.#address = match[1]!;
      return;
    }
  }

  /** A client with the certificate that the server made. */
  async connect(): Promise<Client> {
    const file = (name: string) => Deno.readTextFile(`${this.#directory}/${name}`);
    const [ca, cert, key] = await Promise.all(["ca.pem", "client.pem", "client.key"].map(file));
    return await connect(`sqp://${this.#address}`, { ca: ca!, cert: cert!, key: key! });
  }

  /** Starts a program that is a client, with the server's address, the folder of its certificate, and more. */
  startClient(entry: URL, ...args: readonly unknown[]): Deno.ChildProcess {
    const permissions = ["--allow-read", "--allow-net=127.0.0.1", "--allow-sys=setPriority"];
    return new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        ...permissions,
        entry.href,
        this.#address,
        this.#directory,
        ...args.map(String),
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    while (!(await this.#output.read()).done);
    await this.#child.status;
    await Deno.remove(this.#directory, { recursive: true });
  }
}
