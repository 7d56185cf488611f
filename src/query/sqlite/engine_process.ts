// Entry of an engine process. Its main thread watches whether the server is still there, and ends the process when it
// is not, even in the middle of a statement that never yields; and it writes what the statements' thread has to say
// while that one cannot. The statements run in a Worker.

import { SharedOutput } from "./shared_output.ts";
import { writeToServer } from "./standard_output.ts";

/** How often the server is looked for. */
const WATCH_MS = 500;

const server = Deno.ppid;
let removeAtExit: string | undefined;

function exit(code: number): never {
  if (removeAtExit !== undefined) {
    try {
      Deno.removeSync(removeAtExit, { recursive: true });
    } catch {
      // The server has removed it, or will.
    }
  }
  Deno.exit(code);
}

const output = new SharedOutput(writeToServer);
const worker = new Worker(new URL("./engine_worker.ts", import.meta.url), { type: "module" });
worker.onmessage = ({ data }: MessageEvent<{ removeAtExit?: string; done?: true }>) => {
  if (data.done) exit(0);
  removeAtExit = data.removeAtExit;
};
// A broken pipe: the server is gone.
worker.onerror = () => exit(1);
worker.postMessage(output.memory);

setInterval(() => {
  if (Deno.ppid !== server) exit(1);
}, WATCH_MS);

output.relay().catch(() => exit(1));
