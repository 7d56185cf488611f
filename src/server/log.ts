// The server's log: one line for each thing worth knowing, as JSON or as text. No secret, no query, no token ever
// enters it.

/** Values of a log line. */
export type LogFields = Readonly<Record<string, string | number | boolean>>;

/** How lines are written. */
export type LogFormat = "json" | "text";

/** Takes what happened. */
export interface Logger {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** A logger that writes lines. `now` is the time of day in milliseconds since the Unix epoch. */
export function createLogger(
  format: LogFormat,
  write: (line: string) => void,
  now: () => number = Date.now,
): Logger {
  const log = (level: string, message: string, fields: LogFields = {}) => {
    const time = new Date(now()).toISOString();
    if (format === "json") return write(JSON.stringify({ time, level, message, ...fields }));
    const details = Object.entries(fields).map(([name, value]) => ` ${name}=${textValue(value)}`);
    write(`${time} ${level.padEnd(5)} ${message}${details.join("")}`);
  };
  return {
    info: (message, fields) => log("info", message, fields),
    warn: (message, fields) => log("warn", message, fields),
    error: (message, fields) => log("error", message, fields),
  };
}

/** Quotes what could be taken for something else: names come from certificates and tokens. */
function textValue(value: string | number | boolean): string {
  return typeof value === "string" && !/^[\w.:=@/+-]+$/.test(value)
    ? JSON.stringify(value)
    : String(value);
}
