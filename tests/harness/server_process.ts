// The project's commands as processes, with the permissions of their tasks.

import { until } from "./live_server.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** How a process ended. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a process is started. */
export interface CommandOptions {
  /** Default: the project's folder. */
  readonly cwd?: string;
  /** Text for its standard input; without it there is none. */
  readonly stdin?: string;
  /** The task that starts a server. Default: `serve`. */
  readonly task?: string;
}

/** The arguments of Deno for one of the project's commands, as its task says them. */
function taskArguments(name: string): string[] {
  const { tasks } = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`));
  const [deno, ...words] = shellWords(
    (tasks[name] as string).replaceAll(`"$(deno eval -p 'Deno.execPath()')"`, Deno.execPath()),
  );
  if (deno !== "deno" || words[0] !== "run") throw new Error(`the task ${name} does not run Deno`);
  return words.map((word) => word.startsWith("src/") ? `${ROOT}${word}` : word);
}

/** The words of a simple command line, quotes taken off. */
export function shellWords(line: string): string[] {
  return [...line.trim().matchAll(/(?:"[^"]*"|'[^']*'|[^\s"']+)+/g)]
    .map(([word]) => word.replace(/"([^"]*)"|'([^']*)'/g, "$1$2"));
}

function spawn(args: readonly string[], { cwd = ROOT, stdin }: CommandOptions): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd,
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
    // NO_COLOR cannot be set without a permission; what is asserted has no colours of its own.
  }).spawn();
}

async function finish(child: Deno.ChildProcess, stdin: string | undefined): Promise<CommandResult> {
  if (stdin !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(stdin));
    await writer.close();
  }
  const { code, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/** Runs a command of the project to its end, as its task does. */
export function runTask(
  name: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return finish(spawn([...taskArguments(name), ...args], options), options.stdin);
}

/** Runs Deno with a command line as a person types it, `deno task ...`, in the project's folder. */
export function runTyped(line: string): Promise<CommandResult> {
  const [deno, ...words] = shellWords(line);
  if (deno !== "deno") throw new Error(`"${line}" does not start Deno`);
  return finish(spawn(words, {}), undefined);
}

/** A server in a process of its own. */
export class ServerProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;
  /** What it has written so far. */
  stdout = "";
  stderr = "";

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#reading = Promise.all([
      this.#read(child.stdout, (text) => this.stdout += text),
      this.#read(child.stderr, (text) => this.stderr += text),
    ]);
  }

  /** Starts a server on a port of the system's choice, as its task does, and waits until it listens. */
  static start(args: readonly string[], options: CommandOptions = {}): Promise<ServerProcess> {
    return ServerProcess.#start([...taskArguments(options.task ?? "serve"), ...args], options);
  }

  /** The same by `deno task serve`: a process that starts another. */
  static startTyped(args: readonly string[]): Promise<ServerProcess> {
    return ServerProcess.#start(["task", "serve", ...args], {});
  }

  static async #start(args: readonly string[], options: CommandOptions): Promise<ServerProcess> {
    const process = new ServerProcess(spawn([...args, "--listen", "127.0.0.1:0"], options));
    try {
      let hasEnded = false;
      process.#child.status.then(() => hasEnded = true);
      await until("the server listens", () => hasEnded || process.question !== "");
      if (hasEnded) throw new Error(`the server has ended: ${process.stderr}`);
    } catch (error) {
      await process[Symbol.asyncDispose]();
      throw error;
    }
    return process;
  }

  async #read(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) take(text);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** The command that it prints, empty before. */
  get question(): string {
    return /^ {2}(deno task query .*)\n/m.exec(this.stdout)?.[1] ?? "";
  }

  get url(): string {
    return /--url (\S+)/.exec(this.question)![1]!;
  }

  /** How it ended, once it has. */
  async ended(): Promise<Deno.CommandStatus> {
    const status = await this.#child.status;
    await this.#reading;
    return status;
  }

  signal(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGTERM");
    } catch {
      // It has ended by itself.
    }
    await this.ended();
  }
}

/** All processes whose command line contains `text`: process ids. Undefined on a machine without `ps`. */
export async function processesWith(text: string): Promise<number[] | undefined> {
  const script = new URL("./process_list.ts", import.meta.url).pathname;
  const child = spawn(["run", "--quiet", "--no-prompt", "--allow-run=ps", script], {});
  const { code, stdout } = await finish(child, undefined);
  if (code !== 0) return undefined;
  return stdout.split("\n").filter((line) => line.includes(text))
    .map((line) => Number(line.trim().split(/\s+/)[0]));
}
