// A program of another stack, for a bounded time.

/** How long a program may take for what it is asked. */
const PATIENCE_MS = 20_000;

/** How long building one may take. */
export const BUILD_MS = 900_000;

/** A process whose output is read as it comes. */
export class ForeignProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reading: Promise<unknown>;
  #hasEnded = false;
  #onOutput = () => {};
  /** What it has written so far, both streams as they came. */
  output = "";

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#stdin = child.stdin.getWriter();
    this.#reading = Promise.all([this.#read(child.stdout), this.#read(child.stderr)]).then(() => {
      this.#hasEnded = true;
      this.#onOutput();
    });
  }

  /** Starts a program. */
  static start(command: string, args: readonly string[], cwd?: string): ForeignProcess {
    const child = new Deno.Command(command, {
      args: [...args],
      ...(cwd !== undefined && { cwd }),
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    return new ForeignProcess(child);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      this.output += text;
      this.#onOutput();
    }
  }

  /** Waits until its output has what is looked for. Throws where it ends, or takes too long, without. */
  async finds(pattern: RegExp): Promise<RegExpExecArray> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      return await new Promise((resolve, reject) => {
        const give = (why: string) => reject(new Error(`${why} ${pattern}:\n${this.output}`));
        this.#onOutput = () => {
          const found = pattern.exec(this.output);
          if (found !== null) resolve(found);
          else if (this.#hasEnded) give("it ended without");
        };
        timer = setTimeout(() => give("in vain waited for"), PATIENCE_MS);
        this.#onOutput();
      });
    } finally {
      clearTimeout(timer);
      this.#onOutput = () => {};
    }
  }

  /** Writes to its standard input. */
  async write(text: string): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(text));
  }

  /** Ends its standard input. */
  async endInput(): Promise<void> {
    await this.#stdin.close();
  }

  /** Its exit code, once it has ended; it is ended where that takes too long. */
  async ended(patienceMs: number = PATIENCE_MS): Promise<number> {
    const timer = setTimeout(() => this.#kill(), patienceMs);
    const { code } = await this.#child.status;
    clearTimeout(timer);
    await this.#reading;
    return code;
  }

  #kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      // It has ended by itself.
      if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#kill();
    await this.ended();
    // What was not read by it is lost with it.
    await this.#stdin.close().catch(() => {});
  }
}

/** Whether a program is there and may be run. */
export function canRun(command: string, ...args: readonly string[]): boolean {
  if (Deno.permissions.querySync({ name: "run", command }).state !== "granted") return false;
  try {
    const { success } = new Deno.Command(command, { args: [...args], stdin: "null" }).outputSync();
    return success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
