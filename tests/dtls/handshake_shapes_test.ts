// The shapes that a handshake can have: credentials, groups, suites, connection IDs, sizes, protocols.

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  CipherSuite,
  DtlsAlertError,
  type DtlsEvent,
  DtlsFault,
  NamedGroup,
} from "../../src/dtls/mod.ts";
import { suiteParameters } from "../../src/dtls/cipher_suites.ts";
import {
  CLIENT_CREDENTIAL,
  credential,
  OTHER_CLIENT_CREDENTIAL,
  P256_CLIENT_CREDENTIAL,
  P256_SERVER_CREDENTIAL,
  SERVER_CREDENTIAL,
} from "../harness/credentials.ts";
import { DtlsPair, type PairOptions } from "../harness/dtls_pair.ts";

/** Runs a handshake that is to succeed, sends data both ways, and checks what must hold in every shape. */
function connect(options: PairOptions = {}): DtlsPair {
  const pair = new DtlsPair(options).handshake();
  const server = pair.server.association!;
  assertEquals([pair.clientEvents, pair.serverEvents], [[{ kind: "connected" }], [{
    kind: "connected",
  }]]);
  assertEquals([pair.client.state, server.state], ["connected", "connected"]);
  const largest = options.client?.limits?.datagramBytesMax ?? 1_200;
  pair.send("client", new Uint8Array(pair.client.applicationBytesMax(largest)).fill(7));
  pair.send("server", new Uint8Array([8]));
  pair.settle();
  assertEquals(pair.received("server")[0]?.length, pair.client.applicationBytesMax(largest));
  assertEquals(pair.received("client"), [new Uint8Array([8])]);
  for (const { bytes } of pair.sent) assert(bytes.length <= largest, `${bytes.length} bytes`);
  assertEquals(pair.clientKeyLog.length, 5);
  assertEquals(pair.clientKeyLog, pair.serverKeyLog);
  const exported = [pair.client, server].map((end) =>
    end.exportKeyingMaterial("EXPORTER-test", new Uint8Array([1]), 40)
  );
  assertEquals(exported[0], exported[1]);
  assertEquals([pair.client.cipherSuite, pair.client.group, pair.client.alpn], [
    server.cipherSuite,
    server.group,
    server.alpn,
  ]);
  assertEquals(server.serverName, "localhost");
  assert(pair.server.unvalidatedSentBytes <= 3 * pair.server.unvalidatedReceivedBytes);
  return pair;
}

/** What an end failed with: its own fault's reason, or the alert that it received. */
function failure(events: readonly DtlsEvent[]): string | undefined {
  const last = events.at(-1);
  if (last?.kind !== "failed") return undefined;
  const { error } = last;
  return error instanceof DtlsAlertError ? `alert ${error.description}` : error.reason;
}

/** Runs a handshake that is to fail; what each end says of it. */
function fail(options: PairOptions): { client: string | undefined; server: string | undefined } {
  const pair = new DtlsPair(options);
  pair.settle();
  assertEquals(pair.client.state, "closed");
  assertEquals(pair.server.endpoint.associationCount, 0);
  return { client: failure(pair.clientEvents), server: failure(pair.serverEvents) };
}

Deno.test("a full handshake takes five flights and an ACK, in six datagrams and 2.5 round trips", () => {
  const pair = new DtlsPair().handshake();
  pair.simulation.advance(20);
  assertEquals(pair.transcript(), [
    "C | 0:0 CLIENT_HELLO#0",
    "S | 0:0 SERVER_HELLO#0",
    "C | 0:1 CLIENT_HELLO#1",
    "S | 0:1 SERVER_HELLO#1 | 2:0 ENCRYPTED_EXTENSIONS#2 CERTIFICATE#3 CERTIFICATE_VERIFY#4 FINISHED#5",
    "C | 2:0 FINISHED#2",
    "S | 3:0 ACK 2:0",
  ]);
  assertEquals(pair.elapsedMs, 70);
});

for (const [suiteName, suite] of Object.entries(CipherSuite)) {
  if (suiteParameters(suite)?.version !== "1.3") continue;
  for (const [groupName, group] of Object.entries(NamedGroup)) {
    Deno.test(`${suiteName} with ${groupName}`, () => {
      const pair = connect({
        client: { cipherSuites: [suite], groups: [group] },
        server: { groups: [group] },
      });
      assertEquals([pair.client.cipherSuite, pair.client.group], [suite, group]);
    });
  }
}

Deno.test("the server chooses suite and group by its own preference", () => {
  const pair = connect({
    server: {
      cipherSuites: [CipherSuite.TLS_AES_256_GCM_SHA384, CipherSuite.TLS_AES_128_GCM_SHA256],
      groups: [NamedGroup.SECP256R1, NamedGroup.X25519],
    },
    client: { keyShareGroups: [NamedGroup.X25519, NamedGroup.SECP256R1] },
  });
  assertEquals(pair.client.cipherSuite, CipherSuite.TLS_AES_256_GCM_SHA384);
  assertEquals(pair.client.group, NamedGroup.SECP256R1);
});

for (const group of [NamedGroup.SECP256R1, NamedGroup.SECP384R1]) {
  Deno.test(`a HelloRetryRequest asks for the group ${group} along with the cookie`, () => {
    const pair = connect({ server: { groups: [group] } });
    assertEquals(pair.client.group, group);
    assertEquals(pair.transcript().filter((line) => line.includes("CLIENT_HELLO")).length, 2);
  });
}

Deno.test("a client may offer no key share at all in its first ClientHello", () => {
  connect({ client: { keyShareGroups: [] } });
});

for (const policy of ["none", "optional", "required"] as const) {
  Deno.test(`client certificate ${policy}, and present`, () => {
    const pair = connect({
      client: { credentials: [credential(CLIENT_CREDENTIAL)] },
      server: { clientCertificate: policy },
    });
    assertEquals(
      pair.server.association!.peerChain,
      policy === "none" ? [] : [CLIENT_CREDENTIAL.certificate],
    );
    assertEquals(pair.client.peerChain, [SERVER_CREDENTIAL.certificate]);
  });
}

for (const policy of ["none", "optional"] as const) {
  Deno.test(`client certificate ${policy}, and absent`, () => {
    const pair = connect({ server: { clientCertificate: policy } });
    assertEquals(pair.server.association!.peerChain, []);
  });
}

Deno.test("a client certificate that is required and absent ends in certificate_required", () => {
  assertEquals(fail({ server: { clientCertificate: "required" } }), {
    client: "alert 116",
    server: "certificate-required",
  });
});

Deno.test("a client certificate of another CA ends in unknown_ca", () => {
  const client = { credentials: [credential(OTHER_CLIENT_CREDENTIAL)] };
  for (const clientCertificate of ["optional", "required"] as const) {
    assertEquals(fail({ client, server: { clientCertificate } }), {
      client: "alert 48",
      server: "unknown-ca",
    });
  }
});

Deno.test("a server certificate that the client refuses ends in the verifier's alert", () => {
  const verifyPeer = () => {
    throw new DtlsFault("certificate-expired", "expired");
  };
  assertEquals(fail({ client: { verifyPeer } }), {
    client: "certificate-expired",
    server: "alert 45",
  });
});

Deno.test("ECDSA certificates both ways", () => {
  connect({
    client: { credentials: [credential(P256_CLIENT_CREDENTIAL)] },
    server: {
      credentials: [credential(P256_SERVER_CREDENTIAL)],
      clientCertificate: "required",
    },
  });
});

Deno.test("of several credentials the first whose scheme the client verifies is used", () => {
  const credentials = [credential(SERVER_CREDENTIAL), credential(P256_SERVER_CREDENTIAL)];
  for (
    const [order, expected] of [
      [credentials, SERVER_CREDENTIAL],
      [[...credentials].reverse(), P256_SERVER_CREDENTIAL],
    ] as const
  ) {
    const pair = connect({ server: { credentials: order } });
    assertEquals(pair.client.peerChain, [expected.certificate]);
  }
});

const IDS: readonly (readonly [string, Uint8Array | null | undefined])[] = [
  ["no connection ID is offered", null],
  ["a connection ID towards the server alone", undefined],
  ["connection IDs both ways", new Uint8Array([1, 2, 3, 4, 5])],
  ["a connection ID of one byte towards the client", new Uint8Array([0])],
  ["a connection ID of 255 bytes towards the client", new Uint8Array(255).fill(9)],
];
for (const [name, connectionId] of IDS) {
  Deno.test(name, () => {
    const pair = connect({ client: { connectionId: connectionId ?? null } });
    const both = connectionId === undefined ? connect() : pair;
    assertEquals(both.client.receiveConnectionId, connectionId ?? new Uint8Array(0));
    assertEquals(
      both.server.association!.receiveConnectionId.length,
      connectionId === null ? 0 : 8,
    );
  });
}

Deno.test("a chain of many KB arrives in fragments, at most ten records in one transmission", () => {
  const more = Array.from({ length: 30 }, () => new Uint8Array(900).fill(0x30));
  const limits = { certificateChainMax: 40 };
  const pair = connect({
    client: { limits },
    server: { credentials: [credential(SERVER_CREDENTIAL, more)] },
  });
  assertEquals(pair.client.peerChain.length, 31);
  // The ACK of a quarter of the timeout lets the flight go on; no timeout is needed.
  const certificates = pair.transcript().filter((line) => line.includes("CERTIFICATE#3"));
  assertEquals(certificates.length, 24);
  const flightAt = new Map<number, number>();
  for (const { from, at, bytes } of pair.sent) {
    if (from !== "server") continue;
    flightAt.set(at, (flightAt.get(at) ?? 0) + pair.see(from, bytes).length);
  }
  assert(Math.max(...flightAt.values()) <= 10);
});

Deno.test("datagrams of 300 bytes are enough for a handshake with certificates both ways", () => {
  const limits = { datagramBytesMax: 300 };
  connect({
    client: { limits, credentials: [credential(CLIENT_CREDENTIAL)] },
    server: { limits, clientCertificate: "required" },
  });
});

Deno.test("ClientHellos of several datagrams are put together, both of them", () => {
  const alpn = Array.from({ length: 20 }, (_, i) => `${"protocol".repeat(10)}-${i}`);
  const limits = { datagramBytesMax: 600 };
  const pair = connect({ client: { alpn, limits }, server: { alpn: alpn.slice(3), limits } });
  assertEquals(pair.client.alpn, alpn[3]);
  const hellos = pair.transcript().filter((line) => line.includes("CLIENT_HELLO"));
  assertMatch(hellos[0]!, /CLIENT_HELLO#0\[0\.\.\d+\/\d+\]/);
  assert(hellos.length >= 6);
});

Deno.test("a HelloRetryRequest is held against all bytes of a ClientHello, not those of its last datagram", () => {
  // The last piece alone has a few bytes, three times of which would not hold the answer.
  for (let bytes = 0; bytes < 40; bytes++) {
    const alpn = ["x".repeat(100 + bytes)];
    const limits = { datagramBytesMax: 280 };
    connect({ client: { alpn, limits }, server: { alpn, limits } });
  }
});

Deno.test("ALPN: the server's preference among what the client offers", () => {
  const pair = connect({ client: { alpn: ["a", "b"] }, server: { alpn: ["c", "b", "a"] } });
  assertEquals(pair.client.alpn, "b");
});

Deno.test("ALPN: no answer where only one side knows it", () => {
  assertEquals(connect({ client: { alpn: ["a"] } }).client.alpn, undefined);
  assertEquals(connect({ server: { alpn: ["a"] } }).client.alpn, undefined);
});

Deno.test("ALPN: nothing in common ends in no_application_protocol, without state", () => {
  assertEquals(fail({ client: { alpn: ["a"] }, server: { alpn: ["b"] } }), {
    client: "alert 120",
    server: undefined,
  });
});

Deno.test("ALPN: a side that requires a protocol ends a handshake without one", () => {
  const required = { alpn: ["a"], isAlpnRequired: true };
  assertEquals(fail({ server: required }), { client: "alert 120", server: undefined });
  assertEquals(fail({ client: required }), {
    client: "no-application-protocol",
    server: "alert 120",
  });
  assertEquals(connect({ client: required, server: required }).client.alpn, "a");
});

Deno.test("no suite, no group, no version in common ends in an alert, without state", () => {
  const suites = fail({
    client: { cipherSuites: [CipherSuite.TLS_AES_128_GCM_SHA256] },
    server: { cipherSuites: [CipherSuite.TLS_CHACHA20_POLY1305_SHA256] },
  });
  const groups = fail({
    client: { groups: [NamedGroup.X25519] },
    server: { groups: [NamedGroup.SECP384R1] },
  });
  assertEquals([suites, groups], [
    { client: "alert 40", server: undefined },
    { client: "alert 40", server: undefined },
  ]);
});

Deno.test("the same seed makes the same datagrams", () => {
  const datagrams = (seed: number) => connect({ seed }).sent.map(({ bytes }) => bytes);
  assertEquals(datagrams(5), datagrams(5));
  assert(datagrams(5).toString() !== datagrams(6).toString());
});
