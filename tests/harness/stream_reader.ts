// A client in a process of its own that reads one stream and says how far it is, so that its server can be measured
// alone.
// Arguments: URL, folder of certificates, SQL, rows between two reports, the server's process id.

import { connect } from "../../src/client/mod.ts";

/** What it says on standard output, as lines of JSON. */
export interface ReadProgress {
  readonly rows: number;
  /** The sum of the first column, and of the lengths of all texts. */
  readonly sum: number;
  readonly characters: number;
  /** Resident bytes of the largest engine process, where the system tells. */
  readonly engineBytes: number | undefined;
  readonly isEnd: boolean;
}

/** The largest resident size among the engine processes, which are children of the server as this one is. */
function largestEngineBytes(server: string): number | undefined {
  try {
    const args = ["-A", "-o", "pid=,ppid=,rss="];
    const { stdout } = new Deno.Command("ps", { args }).outputSync();
    const sizes = new TextDecoder().decode(stdout).split("\n").map((line) =>
      line.trim().split(/\s+/)
    )
      .filter(([pid, parent]) => parent === server && pid !== String(Deno.pid))
      .map(([, , kibibytes]) => Number(kibibytes) * 1024);
    return sizes.length > 0 ? Math.max(...sizes) : undefined;
  } catch (error) {
    // A machine without ps.
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function main(): Promise<void> {
  const [url, certs, sql, every, server] = Deno.args as [string, string, string, string, string];
  const read = (name: string) => Deno.readTextFileSync(`${certs}/${name}`);
  await using client = await connect(url, {
    ca: read("ca.pem"),
    cert: read("client.pem"),
    key: read("client.key"),
  });
  let rows = 0;
  let sum = 0;
  let characters = 0;
  const report = (isEnd: boolean) => {
    const progress: ReadProgress = {
      rows,
      sum,
      characters,
      engineBytes: largestEngineBytes(server),
      isEnd,
    };
    const line = new TextEncoder().encode(`${JSON.stringify(progress)}\n`);
    Deno.stdout.writeSync(line);
  };
  for await (const row of client.stream(sql)) {
    rows++;
    sum += row[0] as number;
    for (const value of row) if (typeof value === "string") characters += value.length;
    if (rows % Number(every) === 0) report(false);
  }
  report(true);
}

if (import.meta.main) await main();
