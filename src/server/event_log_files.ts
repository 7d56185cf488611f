// Event logs as files: one for each session, lines of JSON, as tools for qlog read them.

import type { EventLog, LogEvent } from "../transport/event_log.ts";
import type { Logger } from "./log.ts";

/** Characters of lines that wait to be written together. */
const WAITING_CHARACTERS_MAX = 65_536;

/** Bytes of one file, after which nothing more is written to it. */
const FILE_BYTES_MAX = 1_073_741_824;

/** Which end of a session tells. */
type VantagePoint = "client" | "server";

/**
 * Makes the logs of sessions in a folder, `FOLDER/sqp-END-TIME-PROCESS-COUNT.qlog`. They tell packet sizes, times and
 * identifiers, nothing of what is asked or answered. Throws what the system says where the folder cannot be made.
 */
export function eventLogFiles(
  folder: string,
  end: VantagePoint,
  log: Pick<Logger, "error">,
): () => EventLog {
  Deno.mkdirSync(folder, { recursive: true });
  const started = new Date().toISOString().replaceAll(/[-:]|\..*/g, "");
  const name = `${folder}/sqp-${end}-${started}-${Deno.pid}`;
  let count = 0;
  return () => new EventLogFile(`${name}-${++count}.qlog`, end, log);
}

class EventLogFile implements EventLog {
  readonly #path: string;
  readonly #log: Pick<Logger, "error">;
  #lines: string;
  #waitingCharacters = 0;
  #writtenBytes = 0;
  #isOver = false;

  constructor(path: string, end: VantagePoint, log: Pick<Logger, "error">) {
    this.#path = path;
    this.#log = log;
    this.#lines = JSON.stringify({
      qlog_version: "0.3",
      qlog_format: "NDJSON",
      title: "SQP",
      trace: {
        vantage_point: { type: end },
        common_fields: { time_format: "absolute", protocol_type: ["SQP"] },
      },
    }) + "\n";
  }

  add(event: LogEvent): void {
    if (this.#isOver) return;
    const line = `${JSON.stringify(event)}\n`;
    this.#lines += line;
    this.#waitingCharacters += line.length;
    if (this.#waitingCharacters >= WAITING_CHARACTERS_MAX) this.#write();
  }

  #write(): void {
    const bytes = new TextEncoder().encode(this.#lines);
    this.#lines = "";
    this.#waitingCharacters = 0;
    try {
      Deno.writeFileSync(this.#path, bytes, { append: true, create: true, mode: 0o600 });
      this.#writtenBytes += bytes.length;
      this.#isOver = this.#writtenBytes >= FILE_BYTES_MAX;
    } catch (error) {
      this.#isOver = true;
      this.#log.error("events not written", { file: this.#path, error: String(error) });
    }
  }

  close(): void {
    if (!this.#isOver) this.#write();
    this.#isOver = true;
  }
}
