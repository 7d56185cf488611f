// The working thread of shared_output_test.ts: says numbers in lines, at once and soon, in bursts and with pauses.

import { SharedOutput } from "../../src/query/sqlite/shared_output.ts";
import { Random } from "../harness/random.ts";

interface Task {
  readonly memory: SharedArrayBuffer;
  readonly path: string;
  readonly count: number;
}

const main = self as unknown as {
  postMessage(message: unknown): void;
  onmessage: (event: MessageEvent<Task>) => void;
};

main.onmessage = ({ data: { memory, path, count } }) => {
  const file = Deno.openSync(path, { append: true });
  const output = new SharedOutput((bytes) => {
    // In two parts: the other thread must not come in between.
    const half = bytes.length >> 1;
    file.writeSync(bytes.subarray(0, half));
    file.writeSync(bytes.subarray(half));
  }, memory);
  const random = new Random(5);
  for (let n = 0; n < count; n++) {
    const padding = random.float() < 0.02 ? random.integer(0, 40_000) : 0;
    const line = new TextEncoder().encode(`${n} ${".".repeat(padding)}\n`);
    if (random.float() < 0.1) output.write(line);
    else output.post(line);
    if (random.float() < 0.01) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, random.integer(0, 8));
    }
  }
  file.close();
  main.postMessage("done");
};
