// Pairs that speak DTLS 1.2, and sessions of theirs to resume.

import { assert } from "@std/assert";
import { ByteReader } from "../../src/base/byte_reader.ts";
import { codePointName } from "../../src/base/code_points.ts";
import { ContentType, HandshakeType } from "../../src/dtls/code_points.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import { type DtlsSession, SessionCache, TicketKeys } from "../../src/dtls/mod.ts";
import { readHandshakeFragment } from "../../src/dtls/handshake_fragment.ts";
import { readRecord } from "../../src/dtls/record.ts";
import { EPOCH_MS } from "./clock.ts";
import { DtlsPair, type PairOptions } from "./dtls_pair.ts";
import { Random } from "./random.ts";

/** Both ends speak DTLS 1.2 and nothing else. */
export function in12(options: PairOptions): PairOptions {
  return {
    ...options,
    client: { versions: ["1.2"], ...options.client },
    server: { versions: ["1.2"], ...options.server },
  };
}

/** Keys of tickets that a seed gives. */
export function ticketKeys(seed = 50): TicketKeys {
  return new TicketKeys({ provider: nodeProvider, entropy: new Random(seed).entropy() }, EPOCH_MS);
}

/** What a server resumes with. */
export function resumingBy(kind: "ticket" | "ID"): PairOptions["server"] {
  return kind === "ticket" ? { tickets: ticketKeys() } : { sessionCache: new SessionCache() };
}

/** The sessions that a client was given. */
export function sessionsOf(pair: DtlsPair): DtlsSession[] {
  return pair.clientEvents.flatMap((event) => event.kind === "session" ? [event.session] : []);
}

/** The session of a first association with these options. */
export function sessionWith(options: PairOptions): DtlsSession {
  const pair = new DtlsPair(options).handshake();
  pair.simulation.advance(100);
  const [session] = sessionsOf(pair);
  assert(session !== undefined, "a session was given");
  pair.client.close(0);
  pair.server.close(0);
  return session;
}

/** These options with a session of an association that had them. */
export function resumed(options: PairOptions): PairOptions {
  const session = sessionWith(options);
  return { ...options, client: { ...options.client, session } };
}

/**
 * What was sent, without opening it: `C CLIENT_HELLO`, `S SERVER_HELLO CERTIFICATE`. Records of epoch 1 are named by
 * their type alone: `C CHANGE_CIPHER_SPEC 1:HANDSHAKE`.
 */
export function outline(pair: DtlsPair): string[] {
  return pair.sent.map(({ from, bytes }) => {
    const words: string[] = [];
    const idBytes = (from === "client" ? pair.server.association : pair.client)
      ?.receiveConnectionId.length ?? 0;
    for (let at = 0; at < bytes.length;) {
      const record = readRecord(bytes, at, idBytes);
      if (record?.kind !== "plaintext") throw new Error("not a record of DTLS 1.2");
      at = record.end;
      const type = codePointName(ContentType, record.type);
      if (record.epoch > 0) words.push(`${record.epoch}:${type}`);
      else if (record.type !== ContentType.HANDSHAKE) words.push(type);
      else words.push(...messageNames(record.content));
    }
    return [from === "client" ? "C" : "S", ...words].join(" ");
  });
}

function messageNames(content: Uint8Array): string[] {
  const names: string[] = [];
  const reader = new ByteReader(content);
  while (reader.remaining > 0) {
    names.push(codePointName(HandshakeType, readHandshakeFragment(reader).type));
  }
  return names;
}
