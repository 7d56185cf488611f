// What can become of one datagram of a handshake, and what must hold whatever does.

import { assert, assertEquals } from "@std/assert";
import {
  AlertDescription,
  alertFor,
  type AssociationError,
  DtlsAlertError,
  DtlsError,
  DtlsFault,
} from "../../src/dtls/mod.ts";
import { DtlsPair, type PairOptions } from "./dtls_pair.ts";
import { delay, type LinkNode } from "./link.ts";

/** What becomes of one chosen datagram; the handshake completes all the same. */
export const MISHAPS: Readonly<Record<string, LinkNode>> = {
  lost: () => [],
  doubled: (passage) => [passage, { ...passage, at: passage.at + 1 }],
  "doubled much later": (passage) => [passage, { ...passage, at: passage.at + 700 }],
  overtaken: ({ bytes, at }) => [{ bytes, at: at + 15 }],
  "late by seconds": ({ bytes, at }) => [{ bytes, at: at + 2_500 }],
};

/** Does something to the datagrams of these indices alone. */
export function only(indices: readonly number[], node: LinkNode): LinkNode {
  let index = 0;
  return (passage, context) => indices.includes(index++) ? node(passage, context) : [passage];
}

/** Ends the pair and checks that both ends agree about what happened, and that nothing is left of either. */
export function checkEnd(pair: DtlsPair): "connected" | "failed" {
  const server = pair.server.association;
  assert(pair.server.unvalidatedSentBytes <= 3 * pair.server.unvalidatedReceivedBytes);
  pair.settle();
  const isConnected = pair.client.state === "connected";
  assertEquals(server?.state ?? "closed", isConnected ? "connected" : "closed");
  if (!isConnected) {
    checkFailure(pair);
    checkAlert(pair);
    assertEquals(pair.server.endpoint.associationCount, 0);
    return "failed";
  }
  const kinds = [pair.clientEvents, pair.serverEvents].map((events) =>
    events.map((e) => e.kind).filter((kind) => kind !== "session")
  );
  assertEquals(kinds, [["connected"], ["connected"]]);
  assertEquals(pair.clientKeyLog, pair.serverKeyLog);
  pair.send("client", new Uint8Array([1]));
  pair.send("server", new Uint8Array([2]));
  pair.settle();
  assertEquals([pair.received("server").length, pair.received("client").length], [1, 1]);
  assertEquals([pair.client.pollTimeout(), server!.pollTimeout()], [Infinity, Infinity]);
  return "connected";
}

/** What each end has failed with. */
function errorsOf(pair: DtlsPair): readonly (AssociationError | undefined)[] {
  return [pair.clientEvents, pair.serverEvents].map((events) => {
    const last = events.findLast(({ kind }) => kind === "failed");
    return last?.kind === "failed" ? last.error : undefined;
  });
}

/** A handshake that failed did so by a fault of what an end received or by a time-out: never by a defect. */
export function checkFailure(pair: DtlsPair): void {
  const [client, server] = errorsOf(pair);
  assert(client !== undefined, "the client has failed");
  for (const error of [client, server]) {
    if (error instanceof DtlsError) assertEquals(error.reason, "handshake-timeout", error.message);
  }
}

/** An end's alert has told the other what it failed with, where the network has left the alert as it was. */
function checkAlert(pair: DtlsPair): void {
  const [client, server] = errorsOf(pair);
  for (const [own, other] of [[client, server], [server, client]]) {
    if (!(own instanceof DtlsAlertError)) continue;
    // The endpoint answers for a handshake that it has no association for.
    if (other === undefined) assert(STATELESS_ALERTS.includes(own.description), own.message);
    else if (other instanceof DtlsFault) assertEquals(own.description, alertFor(other));
  }
}

/** What can be wrong with a ClientHello. */
const STATELESS_ALERTS: readonly number[] = [
  AlertDescription.HANDSHAKE_FAILURE,
  AlertDescription.ILLEGAL_PARAMETER,
  AlertDescription.DECODE_ERROR,
  AlertDescription.PROTOCOL_VERSION,
  AlertDescription.MISSING_EXTENSION,
  AlertDescription.UNRECOGNIZED_NAME,
];

/** How many datagrams each end sends where nothing happens to any. */
export function countDatagrams(
  options: PairOptions,
): { readonly toServer: number; readonly toClient: number } {
  const clean = new DtlsPair(options).handshake();
  clean.simulation.advance(100);
  const counts = {
    toServer: clean.sentBy("client").length,
    toClient: clean.sentBy("server").length,
  };
  clean.client.close(0);
  clean.server.close(0);
  return counts;
}

/** Registers tests of a shape of handshake, each datagram of which has each mishap, one at a time, and each two. */
export function testEachDatagram(shape: string, options: PairOptions): void {
  const counts = countDatagrams(options);

  for (const [mishap, node] of Object.entries(MISHAPS)) {
    Deno.test(`${shape}: each datagram ${mishap}`, () => {
      for (const way of ["toServer", "toClient"] as const) {
        for (let at = 0; at < counts[way]; at++) {
          const nodes = [only([at], node), delay(10)];
          const pair = new DtlsPair({ ...options, [way]: nodes }).handshake();
          assert(pair.elapsedMs < 4_000, `${way} ${at}: ${pair.elapsedMs} ms`);
          assertEquals(checkEnd(pair), "connected", `${way} ${at}`);
        }
      }
    });
  }

  Deno.test(`${shape}: each two datagrams lost`, () => {
    for (let a = 0; a < counts.toServer; a++) {
      for (let b = 0; b < counts.toClient; b++) {
        const pair = new DtlsPair({
          ...options,
          toServer: [only([a], MISHAPS.lost!), delay(10)],
          toClient: [only([b], MISHAPS.lost!), delay(10)],
        }).handshake();
        assert(pair.elapsedMs < 8_000, `${a} ${b}: ${pair.elapsedMs} ms`);
        assertEquals(checkEnd(pair), "connected", `${a} ${b}`);
      }
    }
  });

  Deno.test(`${shape}: each datagram damaged`, () => {
    for (const way of ["toServer", "toClient"] as const) {
      for (let at = 0; at < counts[way]; at++) {
        for (const part of [0, 0.03, 0.09, 0.2, 0.5, 0.999]) {
          const flip: LinkNode = (passage) => {
            const bytes = passage.bytes.slice();
            bytes[Math.floor(part * bytes.length)]! ^= 0x10;
            return [{ ...passage, bytes }];
          };
          const pair = new DtlsPair({ ...options, [way]: [only([at], flip), delay(10)] })
            .handshake();
          checkEnd(pair);
        }
      }
    }
  });
}
