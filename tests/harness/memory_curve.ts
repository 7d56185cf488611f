// The memory of a server in this process while another process reads a long stream from it.

import { assert } from "@std/assert";
import type { LiveServer } from "./live_server.ts";
import type { ReadProgress } from "./stream_reader.ts";

/** Memory of server and engine at one point of a stream. */
export interface MemoryPoint extends ReadProgress {
  readonly rssBytes: number;
  readonly heapBytes: number;
}

const READER = new URL("./stream_reader.ts", import.meta.url).pathname;

/**
 * Has another process read all rows of a statement, and looks at this one, the server, whenever it says how far it
 * is.
 */
export async function memoryCurve(
  server: LiveServer,
  sql: string,
  rowsPerReport: number,
): Promise<MemoryPoint[]> {
  const permissions = ["--allow-net=127.0.0.1", "--allow-read", "--allow-run=ps"];
  const own = [server.url, `${server.folder}/certs`, sql, `${rowsPerReport}`, `${Deno.pid}`];
  await using child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "--cached-only", ...permissions, READER, ...own],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const points: MemoryPoint[] = [];
  let rest = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const { rss, heapUsed } = Deno.memoryUsage();
      points.push({ ...JSON.parse(line) as ReadProgress, rssBytes: rss, heapBytes: heapUsed });
    }
  }
  assert((await child.status).success, "the reading process failed");
  return points;
}

/** The curve for a person. */
export function curveText(points: readonly MemoryPoint[]): string {
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`.padStart(10);
  return points.map(({ rows, rssBytes, heapBytes, engineBytes }) => {
    const engine = engineBytes === undefined ? "" : `, engine rss ${mib(engineBytes)}`;
    return `${`${rows}`.padStart(8)} rows: server rss ${mib(rssBytes)}, heap ${
      mib(heapBytes)
    }${engine}\n`;
  }).join("");
}
