// The output that two threads share: all of it is written, once and in order, and nothing waits for a busy thread.

import { assert, assertEquals } from "@std/assert";
import { SharedOutput } from "../../src/query/sqlite/shared_output.ts";
import { CANNOT_RUN_PROCESSES } from "./query_harness.ts";

const LINES = 20_000;

/** After this time without anything to say the main thread sleeps. */
const SLEEPS_MS = 400;

Deno.test("what was posted is written by the main thread, also after it slept", async () => {
  let text = "";
  const output = new SharedOutput((bytes) => text += new TextDecoder().decode(bytes));
  const failed = output.relay();
  const encode = (part: string) => new TextEncoder().encode(part);
  const seen = async (wanted: string) => {
    while (text !== wanted) await Promise.race([failed, pause(1)]);
  };
  output.post(encode("a"));
  output.post(encode("b"));
  assertEquals(text, "");
  await seen("ab");
  await pause(SLEEPS_MS);
  output.post(encode("c"));
  await seen("abc");
  output.post(encode("d"));
  output.write(encode("e"));
  assertEquals(text, "abcde");
  await pause(SLEEPS_MS);
});

Deno.test("more than there is room for is written in order", () => {
  const written: number[] = [];
  const output = new SharedOutput((bytes) => written.push(...bytes));
  for (let n = 0; n < 100; n++) output.post(new Uint8Array(3_000).fill(n));
  output.post(new Uint8Array(100_000).fill(100));
  output.write(new Uint8Array([101]));
  const wanted = Array.from({ length: 100 }, (_, n) => new Array(3_000).fill(n)).flat();
  assertEquals(written, [...wanted, ...new Array(100_000).fill(100), 101]);
});

Deno.test({
  name: "two threads write each line once and in order, and none into another",
  ignore: CANNOT_RUN_PROCESSES,
  async fn() {
    const path = await Deno.makeTempFile({ prefix: "sqp-test-" });
    using file = Deno.openSync(path, { append: true });
    let relayed = 0;
    const output = new SharedOutput((bytes) => {
      relayed++;
      file.writeSync(bytes);
    });
    const url = new URL("./shared_output_worker.ts", import.meta.url);
    const worker = new Worker(url, { type: "module" });
    const done = new Promise((resolve, reject) => {
      worker.onmessage = resolve;
      worker.onerror = reject;
    });
    worker.postMessage({ memory: output.memory, path, count: LINES });
    await Promise.race([done, output.relay()]);
    output.write(new Uint8Array());
    worker.terminate();
    const lines = Deno.readTextFileSync(path).slice(0, -1).split("\n");
    assertEquals(lines.length, LINES);
    lines.forEach((line, n) => assert(/^\d+ \.*$/.test(line) && parseInt(line) === n, `line ${n}`));
    assert(relayed > 10, `the main thread wrote ${relayed} times`);
    await Deno.remove(path);
    // The relay sleeps before the test ends.
    await pause(SLEEPS_MS);
  },
});

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
