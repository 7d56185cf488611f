// The emulated link between two network namespaces, and programs inside them.

const NETLAB = "../shared/tools/netlab/netlab.c";
const EMULATOR = "/tmp/sqp_netlab_emulator";
const START_MS_MAX = 20_000;

/** The address in the server's namespace. */
export const SERVER_HOST = "10.77.0.2";

const NAMESPACES = { client: "lab-a", server: "lab-b" } as const;

/** A command in the namespace of one end. */
function inside(end: keyof typeof NAMESPACES, command: readonly string[]): Deno.Command {
  return new Deno.Command("ip", {
    args: ["netns", "exec", NAMESPACES[end], ...command],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs a program in the namespace of one end. Returns what it wrote; throws what it complains of. */
export async function runInside(
  end: keyof typeof NAMESPACES,
  ...command: readonly string[]
): Promise<string> {
  const { success, stdout, stderr } = await inside(end, command).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** The command line of a program for Deno. */
export function denoProgram(entry: string, ...args: readonly string[]): string[] {
  return [Deno.execPath(), "run", "-A", "--no-prompt", entry, ...args];
}

/** A server in its namespace, until it is disposed of. */
export class LabServer implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
  }

  /** Starts a server, and waits until one of its streams says `word`. */
  static async start(
    command: readonly string[],
    stream: "stdout" | "stderr",
    word: string,
  ): Promise<LabServer> {
    const child = inside("server", command).spawn();
    const server = new LabServer(child);
    try {
      void (stream === "stdout" ? child.stderr : child.stdout).cancel();
      await awaitWord(child[stream], word);
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGINT");
    } catch {
      // It has ended by itself.
    }
    await this.#child.status;
  }
}

/** The link and its namespaces, until it is disposed of. */
export class EmulatedLink implements AsyncDisposable {
  readonly #emulator: Deno.ChildProcess;

  private constructor(emulator: Deno.ChildProcess) {
    this.#emulator = emulator;
  }

  /** Builds and starts the emulator. Throws why there is no emulated link here. */
  static async start(...options: readonly string[]): Promise<EmulatedLink> {
    if (Deno.uid() !== 0) throw new Error("only root makes network namespaces");
    const args = ["-O2", "-o", EMULATOR, NETLAB];
    const { success, stderr } = await new Deno.Command("cc", { args }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    const emulator = new Deno.Command(EMULATOR, {
      args: [...options],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    await awaitWord(emulator.stdout, "ready");
    return new EmulatedLink(emulator);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const writer = this.#emulator.stdin.getWriter();
    await writer.write(new TextEncoder().encode("quit\n"));
    await writer.close();
    await this.#emulator.status;
  }
}

/** Reads a process's output until it says `word`, and drops what comes later. Throws where it ends before. */
async function awaitWord(output: ReadableStream<Uint8Array>, word: string): Promise<void> {
  const reader = output.pipeThrough(new TextDecoderStream()).getReader();
  const timer = setTimeout(() => void reader.cancel(), START_MS_MAX);
  let text = "";
  while (!text.includes(word)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`no "${word}" in: ${text}`);
    text += value;
  }
  clearTimeout(timer);
  void (async () => {
    while (!(await reader.read()).done);
  })();
}
