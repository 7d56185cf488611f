// What the machine that tests run on can do.

import { i32, ModuleBuilder, pair } from "../../../../src/dtls/crypto/x25519/wasm.ts";

/** Whether this machine multiplies and adds in one step, which X25519 in WebAssembly needs. */
export const MULTIPLIES_AND_ADDS: boolean = probe();

function probe(): boolean {
  if (typeof WebAssembly === "undefined") return false;
  const module = new ModuleBuilder(1_024);
  const address = i32.constant(module.reserve(16));
  module.define(0, (body) => {
    const factor = body.constant(1 + 2 ** -52);
    body.do(pair.store(address, pair.multiplyAdd(factor, factor, body.constant(-1 - 2 ** -51))));
  }, "compute");
  const encoded = module.encode();
  if (!WebAssembly.validate(encoded)) return false;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(encoded));
  (exports["compute"] as () => void)();
  const { buffer } = exports["memory"] as WebAssembly.Memory;
  // What rounding the product would lose.
  return new Float64Array(buffer, 1_024)[0] === 2 ** -104;
}
