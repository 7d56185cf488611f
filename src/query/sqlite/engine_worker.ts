// The working thread of an engine process: reads messages from the process's standard input, answers on its standard
// output. Reads block,
// because nothing is to be done in between, and a blocking read wakes up five times as fast as the event loop.

import { getPriority, setPriority } from "node:os";
import { EngineLoop } from "./engine_loop.ts";
import { MessageSplitter } from "./ipc.ts";
import { SharedOutput } from "./shared_output.ts";
import { writeToServer } from "./standard_output.ts";

const READ_BYTES = 64 * 1024;

/**
 * What readers yield to others, as `nice` counts: a statement that takes its time takes it after the server's thread,
 * which answers everybody.
 */
const READER_NICENESS = 10;
const LOWEST_PRIORITY = 19;

/** The main thread of the process; the type of a Worker's global scope is not among the project's types. */
const main = self as unknown as {
  postMessage(message: unknown): void;
  onmessage: (event: MessageEvent<SharedArrayBuffer>) => void;
};

/** Lowers the priority of this thread, where the system lets it. */
function yieldToOthers(): void {
  try {
    setPriority(Math.min(LOWEST_PRIORITY, getPriority() + READER_NICENESS));
  } catch {
    // Statements are read all the same.
  }
}

function run(output: SharedOutput): void {
  const loop = new EngineLoop(output, () => performance.now());
  const splitter = new MessageSplitter();
  const buffer = new Uint8Array(READ_BYTES);
  let told = false;
  for (;;) {
    const lengthBytes = Deno.stdin.readSync(buffer);
    if (lengthBytes === null) break;
    loop.handle(splitter.push(buffer.slice(0, lengthBytes)));
    if (!told && loop.opened !== undefined) {
      told = true;
      main.postMessage({ removeAtExit: loop.opened.removeAtExit });
      if (loop.opened.role === "reader") yieldToOthers();
    }
  }
  loop.close();
}

main.onmessage = ({ data }) => {
  run(new SharedOutput(writeToServer, data));
  main.postMessage({ done: true });
};
