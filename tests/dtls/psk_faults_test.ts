// What a peer may do wrong with PSKs, at either end, and the alert that the RFC names for it.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { ByteReader } from "../../src/base/byte_reader.ts";
import { ByteWriter } from "../../src/base/byte_writer.ts";
import { AlertDescription, ExtensionType, HandshakeType } from "../../src/dtls/code_points.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import { DtlsFault } from "../../src/dtls/errors.ts";
import { readHandshakeFragment } from "../../src/dtls/handshake_fragment.ts";
import {
  decodeClientHello,
  decodeServerHello,
  encodeClientHello,
  encodeServerHello,
} from "../../src/dtls/hello_messages.ts";
import { DtlsAlertError, type DtlsEvent } from "../../src/dtls/mod.ts";
import { checkBinder, readOfferedPsks } from "../../src/dtls/pre_shared_key.ts";
import { DtlsPair } from "../harness/dtls_pair.ts";
import { editedHello } from "../harness/dtls_scripted.ts";
import { delay, type LinkNode } from "../harness/link.ts";
import { firstAssociation, ticketKeys } from "../harness/resumption.ts";

const { ILLEGAL_PARAMETER, MISSING_EXTENSION, DECRYPT_ERROR, DECODE_ERROR } = AlertDescription;

type Edit = (extensions: Map<number, Uint8Array>) => Map<number, Uint8Array> | void;

/** Changes the extensions of both ClientHellos on their way. */
function editedClient(edit: Edit): LinkNode[] {
  return ([0, 1] as const).map((messageSeq) =>
    editedHello(HandshakeType.CLIENT_HELLO, messageSeq, (body) => {
      const { random, legacyCookie, cipherSuites, extensions } = decodeClientHello(body);
      const copy = new Map(extensions);
      return encodeClientHello({
        random,
        legacyCookie,
        cipherSuites,
        extensions: edit(copy) ?? copy,
      });
    })
  );
}

/** Changes the ServerHello on its way, which comes after a HelloRetryRequest. */
function editedServer(edit: Edit): LinkNode {
  return editedHello(HandshakeType.SERVER_HELLO, 1, (body) => {
    const { random, extensions, cipherSuite } = decodeServerHello(body);
    const copy = new Map(extensions);
    const changed = edit(copy) ?? copy;
    return encodeServerHello(random, new Uint8Array(0), cipherSuite, changed);
  });
}

/** A resumption whose hellos are changed on their way. */
function resumed(links: { toServer?: LinkNode[]; toClient?: LinkNode[] }): DtlsPair {
  const server = { tickets: ticketKeys() };
  const { first, session } = firstAssociation({ server });
  const pair = new DtlsPair({
    seed: 2,
    beginMs: first.simulation.now,
    client: { session },
    server,
    ...links.toServer && { toServer: [...links.toServer, delay(10)] },
    ...links.toClient && { toClient: [...links.toClient, delay(10)] },
  });
  pair.simulation.advance(500);
  return pair;
}

/** The alert that one end was sent. */
function alertOf(events: readonly DtlsEvent[]): number | undefined {
  const failure = events.find(({ kind }) => kind === "failed");
  return failure?.kind === "failed" && failure.error instanceof DtlsAlertError
    ? failure.error.description
    : undefined;
}

/** The offer of a ClientHello's extensions, changed in its binders. */
function withBinders(
  extensions: ReadonlyMap<number, Uint8Array>,
  change: (binders: readonly Uint8Array[]) => readonly Uint8Array[],
): Uint8Array {
  const data = extensions.get(ExtensionType.PRE_SHARED_KEY)!;
  const { binders, bindersBytes } = readOfferedPsks(new ByteReader(data));
  return new ByteWriter().bytes(data.subarray(0, data.length - bindersBytes))
    .vector(2, (writer) => {
      for (const binder of change(binders)) writer.opaque(1, binder);
    }).finish();
}

const CLIENT_FAULTS: Readonly<Record<string, readonly [Edit, number]>> = {
  "pre_shared_key is not the last extension": [
    (extensions) => new Map([...extensions].toReversed()),
    ILLEGAL_PARAMETER,
  ],
  "no psk_key_exchange_modes": [
    (extensions) => void extensions.delete(ExtensionType.PSK_KEY_EXCHANGE_MODES),
    MISSING_EXTENSION,
  ],
  "a binder that is wrong": [
    (extensions) =>
      void extensions.set(
        ExtensionType.PRE_SHARED_KEY,
        withBinders(extensions, ([binder]) => [binder!.map((byte) => byte ^ 1)]),
      ),
    DECRYPT_ERROR,
  ],
  "a binder that is short": [
    (extensions) =>
      void extensions.set(
        ExtensionType.PRE_SHARED_KEY,
        withBinders(extensions, ([binder]) => [binder!.subarray(1)]),
      ),
    DECRYPT_ERROR,
  ],
  "a binder too many": [
    (extensions) =>
      void extensions.set(
        ExtensionType.PRE_SHARED_KEY,
        withBinders(extensions, ([binder]) => [binder!, binder!]),
      ),
    ILLEGAL_PARAMETER,
  ],
  "no binder": [
    (extensions) =>
      void extensions.set(ExtensionType.PRE_SHARED_KEY, withBinders(extensions, () => [])),
    DECODE_ERROR,
  ],
};
for (const [name, [edit, alert]] of Object.entries(CLIENT_FAULTS)) {
  Deno.test(`a client's fault: ${name}`, () => {
    const pair = resumed({ toServer: editedClient(edit) });
    assertEquals(alertOf(pair.clientEvents), alert);
  });
}

Deno.test("(EC)DHE dropped from a PSK handshake: a client that wants no (EC)DHE gets a full handshake", () => {
  const noExchange = Uint8Array.of(1, 0);
  const pair = resumed({
    toServer: editedClient((extensions) => {
      extensions.set(ExtensionType.PSK_KEY_EXCHANGE_MODES, noExchange);
    }),
  });
  // The transcripts differ, since the hello was changed on its way; the ServerHello tells.
  const bytes = pair.sentBy("server")[1]!;
  const record = bytes.subarray(13, 13 + (bytes[11]! << 8 | bytes[12]!));
  const { extensions } = decodeServerHello(readHandshakeFragment(new ByteReader(record)).body);
  assert(!extensions.has(ExtensionType.PRE_SHARED_KEY));
  assert(extensions.has(ExtensionType.KEY_SHARE));
});

const SERVER_FAULTS: Readonly<Record<string, readonly [LinkNode, number]>> = {
  "a PSK that was not offered": [
    editedServer((extensions) =>
      void extensions.set(ExtensionType.PRE_SHARED_KEY, Uint8Array.of(0, 1))
    ),
    ILLEGAL_PARAMETER,
  ],
  "(EC)DHE dropped from a PSK handshake (CVE-2025-11935)": [
    editedServer((extensions) => void extensions.delete(ExtensionType.KEY_SHARE)),
    MISSING_EXTENSION,
  ],
  "a malformed choice": [
    editedServer((extensions) =>
      void extensions.set(ExtensionType.PRE_SHARED_KEY, Uint8Array.of(0))
    ),
    DECODE_ERROR,
  ],
};
for (const [name, [node, alert]] of Object.entries(SERVER_FAULTS)) {
  Deno.test(`a server's fault: ${name}`, () => {
    assertEquals(alertOf(resumed({ toClient: [node] }).serverEvents), alert);
  });
}

Deno.test("PSK binder compared in variable time (CVE-2025-11932)", () => {
  let reads = 0;
  const binder = new Proxy(new Uint8Array(32), {
    get(target, name) {
      if (name === "length") return target.length;
      reads++;
      return target[Number(name)];
    },
  });
  const parameters = {
    provider: nodeProvider,
    hash: "sha256",
    kind: "resumption",
    psk: new Uint8Array(32),
  } as const;
  const offered = { identities: [], binders: [binder], bindersBytes: 35 };
  const check = () =>
    checkBinder(parameters, nodeProvider.hash("sha256"), new Uint8Array(100), offered, 0);
  assertThrows(check, DtlsFault, "binder");
  assertEquals(reads, 32, "every byte is looked at, the first differences notwithstanding");
});

Deno.test("resumption not bound to server name and ALPN (CVE-2026-11703)", () => {
  const server = { tickets: ticketKeys(), alpn: ["one", "two"] };
  const { first, session } = firstAssociation({ client: { alpn: ["one"] }, server });
  for (
    const change of [
      { serverName: "other", alpn: ["one"], session: { ...session, serverName: "other" } },
      { alpn: ["two"], session: { ...session, alpn: "two" } },
      { alpn: [], session: { ...session, alpn: undefined } },
    ]
  ) {
    const pair = new DtlsPair({ seed: 3, beginMs: first.simulation.now, client: change, server });
    pair.handshake();
    assertEquals(pair.client.state, "connected");
    assertEquals([pair.client.isResumed, pair.server.association!.isResumed], [false, false]);
  }
});
