// A server in a process of its own that says how much memory it and its engine take whenever it is asked.
// Its argument is a folder. It prints its address, then its memory as JSON for each line that it reads.

import { createLogger, startServer } from "../../src/server/mod.ts";

/** What it says, in bytes, garbage collected before. */
export interface ServerMemory {
  readonly heapBytes: number;
  /** Buffers outside of the heap. */
  readonly externalBytes: number;
  readonly rssBytes: number;
  /** The resident size of the largest engine process; absent where the system has no `ps`. */
  readonly engineBytes?: number;
}

function memory(): ServerMemory {
  // There with --expose-gc.
  (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, external, rss } = Deno.memoryUsage();
  const engineBytes = largestChildBytes();
  return {
    heapBytes: heapUsed,
    externalBytes: external,
    rssBytes: rss,
    ...(engineBytes !== undefined && { engineBytes }),
  };
}

function largestChildBytes(): number | undefined {
  try {
    const args = ["-A", "-o", "ppid=,rss=,comm="];
    const { stdout } = new Deno.Command("ps", { args }).outputSync();
    const sizes = new TextDecoder().decode(stdout).split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter(([parent, , command]) => parent === String(Deno.pid) && command !== "ps")
      .map(([, kibibytes]) => Number(kibibytes) * 1024);
    return sizes.length > 0 ? Math.max(...sizes) : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function main(folder: string): Promise<void> {
  const { server } = await startServer({
    hostname: "127.0.0.1",
    port: 0,
    database: `${folder}/test.sqlite`,
    certificates: `${folder}/certs`,
    policy: "certificate",
    log: createLogger("text", () => {}),
  });
  const say = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
  say(server.address);
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    for (const _line of text.match(/\n/g) ?? []) say(JSON.stringify(memory()));
  }
  await server.close();
}

if (import.meta.main) await main(Deno.args[0]!);
