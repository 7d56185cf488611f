// Reads the handshake traces of RFC 8448.

import { concatBytes, fromHex } from "../../../src/base/bytes.ts";
import { SIMPLE_HANDSHAKE } from "./rfc8448_section3.ts";
import { RESUMED_HANDSHAKE } from "./rfc8448_section4.ts";
import { RETRIED_HANDSHAKE } from "./rfc8448_section5.ts";

/** One step of a trace. */
export interface Step {
  readonly who: "client" | "server";
  /** What is done, in the RFC's words. */
  readonly what: string;
  readonly values: ReadonlyMap<string, Uint8Array>;
}

/** A handshake, step by step. */
export class Trace {
  readonly name: string;
  readonly steps: readonly Step[];

  constructor(name: string, text: string) {
    this.name = name;
    const steps: { who: "client" | "server"; what: string; values: Map<string, Uint8Array> }[] = [];
    let field = "";
    for (const line of text.trim().split("\n")) {
      const heading = /^\{(client|server)\} (.*):$/.exec(line);
      const values = steps.at(-1)?.values ?? new Map<string, Uint8Array>();
      if (heading !== null) {
        steps.push({
          who: heading[1] as "client" | "server",
          what: heading[2]!,
          values: new Map(),
        });
      } else if (line.endsWith(":")) {
        field = line.trim().slice(0, -1);
        values.set(field, new Uint8Array(0));
      } else {
        values.set(field, concatBytes(values.get(field)!, fromHex(line)));
      }
    }
    this.steps = steps;
  }

  /** The value of the first (or `skip`-th other) step that does `what`, by whoever. */
  value(what: string, name: string, skip = 0): Uint8Array {
    const step = this.steps.filter((candidate) => candidate.what === what)[skip];
    const value = step?.values.get(name);
    if (value === undefined) throw new Error(`no ${name} of ${what} in ${this.name}`);
    return value;
  }

  /** Whether a step does `what`. */
  has(what: string): boolean {
    return this.steps.some((step) => step.what === what);
  }

  /** The handshake messages in their order, by name: the ClientHello with binders, where it has them. */
  messages(): { readonly name: string; readonly bytes: Uint8Array }[] {
    const messages: { name: string; bytes: Uint8Array }[] = [];
    for (const step of this.steps) {
      const name = /^construct an? (\w+) handshake message$/.exec(step.what)?.[1];
      if (name !== undefined) messages.push({ name, bytes: step.values.get(name)! });
    }
    // With a PSK the message is constructed without its binders, and the first record has all of it.
    if (this.has("calculate PSK binder")) {
      messages[0]!.bytes = this.value("send handshake record", "payload");
    }
    return messages;
  }
}

/** RFC 8448 section 3. */
export const SIMPLE_TRACE = new Trace("section 3", SIMPLE_HANDSHAKE);
/** RFC 8448 section 4. */
export const RESUMED_TRACE = new Trace("section 4", RESUMED_HANDSHAKE);
/** RFC 8448 section 5. */
export const RETRIED_TRACE = new Trace("section 5", RETRIED_HANDSHAKE);

/** All of them; each uses TLS_AES_128_GCM_SHA256. */
export const TRACES: readonly Trace[] = [SIMPLE_TRACE, RESUMED_TRACE, RETRIED_TRACE];
