// The shapes that a handshake of DTLS 1.2 can have: versions, suites, certificates, connection IDs, cookies.

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { EMPTY_BYTES, toHex, utf8Bytes } from "../../src/base/bytes.ts";
import {
  CipherSuite,
  type Credential,
  DtlsAlertError,
  DtlsFault,
  type DtlsVersion,
  NamedGroup,
  SignatureScheme,
  TrustStore,
} from "../../src/dtls/mod.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import { serverVerifier } from "../../src/dtls/peer_verifier.ts";
import {
  CLIENT_CREDENTIAL,
  credential,
  OTHER_CLIENT_CREDENTIAL,
  P256_CLIENT_CREDENTIAL,
  P256_SERVER_CREDENTIAL,
  SERVER_CREDENTIAL,
} from "../harness/credentials.ts";
import { DtlsPair, type PairOptions } from "../harness/dtls_pair.ts";
import { in12, outline } from "../harness/sessions_12.ts";
import {
  altNames,
  certificate,
  extendedKeyUsage,
  type KeyKind,
  keyUsage,
  rootAuthority,
  testKey,
} from "./x509/certificate_builder.ts";

const ROOT = rootAuthority({ key: testKey("p256", "root of 1.2") });
const STORE = new TrustStore({ trustAnchors: [ROOT.der] });
const verifyPeer = serverVerifier(() => STORE, "localhost");

/** A server's credential with a key of a kind. */
function serverCredential(kind: KeyKind): Credential {
  const key = testKey(kind, "server of 1.2");
  const { der } = certificate({
    subject: "CN=server",
    key,
    issuer: ROOT,
    extensions: [
      keyUsage("digitalSignature"),
      extendedKeyUsage("serverAuth"),
      altNames("dns:localhost"),
    ],
  });
  const pkcs8 = new Uint8Array(key.privateKey.export({ format: "der", type: "pkcs8" }));
  return { chain: [der], key: nodeProvider.signingKey(pkcs8) };
}

/** Runs a handshake that is to succeed, sends data both ways, and checks what must hold in every shape. */
function connect(options: PairOptions): DtlsPair {
  const pair = new DtlsPair(options).handshake();
  const server = pair.server.association!;
  const kinds = [pair.clientEvents, pair.serverEvents].map((events) => events[0]);
  assertEquals(kinds, [{ kind: "connected" }, { kind: "connected" }]);
  assertEquals([pair.client.version, server.version], ["1.2", "1.2"]);
  const largest = pair.client.applicationBytesMax(1_200);
  pair.send("client", new Uint8Array(largest).fill(7));
  pair.send("server", utf8Bytes("pong"));
  pair.send("client", EMPTY_BYTES);
  pair.settle();
  assertEquals(pair.received("server").map(({ length }) => length), [largest, 0]);
  assertEquals(pair.received("client"), [utf8Bytes("pong")]);
  const exported = (end: typeof server, context?: Uint8Array) =>
    toHex(end.exportKeyingMaterial("label", context, 40));
  assertEquals(exported(pair.client), exported(server));
  assertEquals(exported(pair.client, EMPTY_BYTES), exported(server, EMPTY_BYTES));
  assertNotEquals(exported(pair.client), exported(pair.client, EMPTY_BYTES));
  assertEquals(pair.clientKeyLog, pair.serverKeyLog);
  assertEquals(pair.clientKeyLog.length, 1);
  assert(/^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}$/.test(pair.clientKeyLog[0]!));
  assertEquals([pair.client.drops.total(), server.drops.total()], [0, 0]);
  return pair;
}

/** Runs a handshake that is to fail, and returns why at both ends. */
function fail(options: PairOptions): { client: unknown; server: unknown } {
  const pair = new DtlsPair(options);
  pair.settle();
  const reason = (event: typeof pair.clientEvents[number] | undefined) =>
    event?.kind !== "failed"
      ? event?.kind
      : event.error instanceof DtlsAlertError
      ? event.error.description
      : event.error.reason;
  return { client: reason(pair.clientEvents.at(-1)), server: reason(pair.serverEvents.at(-1)) };
}

Deno.test("the flights of RFC 6347 section 4.2.4, with a cookie before them", () => {
  const pair = connect(in12({ client: { connectionId: null } }));
  assertEquals(outline(pair).slice(0, 6), [
    "C CLIENT_HELLO",
    "S HELLO_VERIFY_REQUEST",
    "C CLIENT_HELLO",
    "S SERVER_HELLO CERTIFICATE SERVER_KEY_EXCHANGE SERVER_HELLO_DONE",
    "C CLIENT_KEY_EXCHANGE CHANGE_CIPHER_SPEC 1:HANDSHAKE",
    "S CHANGE_CIPHER_SPEC 1:HANDSHAKE",
  ]);
});

Deno.test("the flights with certificates both ways", () => {
  const pair = connect(in12({
    client: { credentials: [credential(CLIENT_CREDENTIAL)], connectionId: null },
    server: { clientCertificate: "required" },
  }));
  assertEquals(outline(pair).slice(3, 6), [
    "S SERVER_HELLO CERTIFICATE SERVER_KEY_EXCHANGE CERTIFICATE_REQUEST SERVER_HELLO_DONE",
    "C CERTIFICATE CLIENT_KEY_EXCHANGE CERTIFICATE_VERIFY CHANGE_CIPHER_SPEC 1:HANDSHAKE",
    "S CHANGE_CIPHER_SPEC 1:HANDSHAKE",
  ]);
  assertEquals(pair.server.association!.peerChain, [CLIENT_CREDENTIAL.certificate]);
  assertEquals(pair.client.peerChain, [SERVER_CREDENTIAL.certificate]);
});

for (const [name, suite] of Object.entries(CipherSuite)) {
  if (!name.includes("ECDHE")) continue;
  const kinds: readonly KeyKind[] = name.includes("RSA") ? ["rsa"] : ["p256", "p384", "ed25519"];
  for (const kind of kinds) {
    Deno.test(`${name} with a certificate of ${kind}`, () => {
      const pair = connect(in12({
        client: { verifyPeer, cipherSuites: [suite] },
        server: { credentials: [serverCredential(kind)] },
      }));
      assertEquals(pair.client.cipherSuite, suite);
    });
  }
}

for (const [name, group] of Object.entries(NamedGroup)) {
  // Of DTLS 1.3 alone.
  if (group === NamedGroup.X25519_MLKEM768) continue;
  Deno.test(`key exchange in ${name}`, () => {
    const pair = connect(in12({ server: { groups: [group] } }));
    assertEquals([pair.client.group, pair.server.association!.group], [group, group]);
  });
}

for (const [name, scheme] of Object.entries(SignatureScheme)) {
  if (!name.startsWith("RSA")) continue;
  Deno.test(`${name} signs, where the client verifies nothing else`, () => {
    connect(in12({
      client: { verifyPeer, signatureSchemes: [scheme] },
      server: { credentials: [serverCredential("rsa")] },
    }));
  });
}

Deno.test("the first credential that suits the client is presented, by suite, scheme and curve", () => {
  const credentials = [serverCredential("p384"), serverCredential("rsa"), serverCredential("p256")];
  const chosen = (client: PairOptions["client"]) => {
    const pair = connect(in12({ client: { verifyPeer, ...client }, server: { credentials } }));
    return credentials.findIndex(({ chain }) =>
      toHex(chain[0]!) === toHex(pair.client.peerChain[0]!)
    );
  };
  assertEquals(chosen({}), 0);
  assertEquals(
    chosen({ cipherSuites: [CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384] }),
    1,
  );
  // RFC 8422 section 5.1: a curve that the client does not offer is not for its certificates either.
  assertEquals(chosen({ groups: [NamedGroup.X25519] }), 1);
  assertEquals(
    chosen({
      groups: [NamedGroup.SECP256R1],
      cipherSuites: [CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256],
    }),
    2,
  );
  // Of ECDSA the hash says nothing about the curve.
  assertEquals(chosen({ signatureSchemes: [SignatureScheme.ECDSA_SECP256R1_SHA256] }), 0);
});

Deno.test("nothing in common is a handshake_failure", () => {
  const failure = { client: 40, server: undefined };
  const server = { credentials: [serverCredential("p256")] };
  const { TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: rsa } = CipherSuite;
  assertEquals(
    fail(in12({
      server: { cipherSuites: [rsa] },
      client: { cipherSuites: [CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384] },
    })),
    failure,
  );
  // What depends on credentials is found out once the address is validated.
  const late = { client: 40, server: "no-common-parameters" };
  assertEquals(fail(in12({ server, client: { cipherSuites: [rsa] } })), late);
  assertEquals(fail(in12({ server, client: { groups: [NamedGroup.X25519] } })), late);
  assertEquals(
    fail(in12({ server, client: { signatureSchemes: [SignatureScheme.ED25519] } })),
    late,
  );
});

const BOTH: readonly DtlsVersion[] = ["1.3", "1.2"];

Deno.test("the version is the latest that both speak", () => {
  const versions = (client: readonly DtlsVersion[], server: readonly DtlsVersion[]) => {
    const pair = new DtlsPair({ client: { versions: client }, server: { versions: server } });
    pair.handshake();
    assertEquals(pair.client.version, pair.server.association?.version);
    return pair.client.state === "connected" ? pair.client.version : undefined;
  };
  assertEquals(versions(BOTH, BOTH), "1.3");
  assertEquals(versions(["1.2", "1.3"], ["1.2", "1.3"]), "1.3");
  assertEquals(versions(BOTH, ["1.2"]), "1.2");
  assertEquals(versions(["1.2"], BOTH), "1.2");
  assertEquals(versions(["1.3"], BOTH), "1.3");
  assertEquals(versions(BOTH, ["1.3"]), "1.3");
  const protocolVersion = { client: 70, server: undefined };
  for (const [client, server] of [["1.3", "1.2"], ["1.2", "1.3"]] as const) {
    const outcome = fail({ client: { versions: [client] }, server: { versions: [server] } });
    assertEquals(outcome, protocolVersion);
  }
});

Deno.test("connection IDs both ways, one way, and none", () => {
  const long = new Uint8Array(20).fill(9);
  const pair = connect(in12({ client: { connectionId: long } }));
  // An endpoint's own IDs have 8 bytes.
  assertEquals(pair.client.receiveConnectionId, long);
  assertEquals(pair.server.association!.receiveConnectionId.length, 8);
  const protectedOnes = outline(pair).join(" ").split(" ").filter((word) => word.startsWith("1:"));
  assertEquals(new Set(protectedOnes), new Set(["1:TLS12_CID"]));

  const oneWay = connect(in12({}));
  assertEquals(oneWay.client.receiveConnectionId, EMPTY_BYTES);
  assertEquals(oneWay.server.association!.receiveConnectionId.length, 8);

  const none = connect(in12({ client: { connectionId: null } }));
  assert(!outline(none).join(" ").includes("CID"));
});

Deno.test("a moved client is found by its connection ID", () => {
  const pair = connect(in12({}));
  const bytes = pair.client.sealApplicationData(utf8Bytes("from elsewhere"));
  const { endpoint } = pair.server;
  const found = endpoint.handleDatagram(bytes, "elsewhere", pair.simulation.now);
  assertEquals(found?.association, pair.server.association);
  assertEquals(found!.association.pollEvent()?.kind, "application-data");
  const unknown = bytes.slice();
  unknown[11]! ^= 1;
  assertEquals(endpoint.handleDatagram(unknown, "client", pair.simulation.now), undefined);
  assertEquals(endpoint.drops.get("unknown-connection-id"), 1);
});

Deno.test("ALPN and the server name", () => {
  const pair = connect(in12({
    client: { alpn: ["b", "a"], serverName: "localhost" },
    server: { alpn: ["a", "b"] },
  }));
  const server = pair.server.association!;
  assertEquals([pair.client.alpn, server.alpn, server.serverName], ["a", "a", "localhost"]);
  const none = fail(in12({ client: { alpn: ["c"] }, server: { alpn: ["a"] } }));
  assertEquals(none, { client: 120, server: undefined });
});

Deno.test("a client without a certificate: let in where it may, else a handshake_failure", () => {
  const optional = connect(in12({ server: { clientCertificate: "optional" } }));
  assertEquals(optional.server.association!.peerChain, []);
  // RFC 5246 section 7.4.6; certificate_required is an alert of 1.3.
  const required = fail(in12({ server: { clientCertificate: "required" } }));
  assertEquals(required, { client: 40, server: "certificate-required" });
});

Deno.test("a client's certificate that the server does not trust", () => {
  const outcome = fail(in12({
    client: { credentials: [credential(OTHER_CLIENT_CREDENTIAL)] },
    server: { clientCertificate: "optional" },
  }));
  assertEquals(outcome, { client: 48, server: "unknown-ca" });
});

Deno.test("a client chooses its certificate by the schemes and kinds that the server asks for", () => {
  const credentials = [credential(CLIENT_CREDENTIAL), credential(P256_CLIENT_CREDENTIAL)];
  const presented = (signatureSchemes: SignatureScheme[]) => {
    const pair = connect(in12({
      client: { credentials },
      server: { clientCertificate: "optional", signatureSchemes },
    }));
    return pair.server.association!.peerChain;
  };
  const { ED25519, ECDSA_SECP256R1_SHA256, RSA_PSS_RSAE_SHA256 } = SignatureScheme;
  assertEquals(presented([ED25519, ECDSA_SECP256R1_SHA256]), [CLIENT_CREDENTIAL.certificate]);
  assertEquals(presented([ECDSA_SECP256R1_SHA256]), [P256_CLIENT_CREDENTIAL.certificate]);
  assertEquals(presented([RSA_PSS_RSAE_SHA256]), []);
});

Deno.test("a server that the client does not trust", () => {
  const outcome = fail(in12({ client: { verifyPeer } }));
  assertEquals(outcome, { client: "unknown-ca", server: 48 });
});

Deno.test("a server of a kind that its verifier does not know by name is refused as such", () => {
  const refuse = () => {
    throw new DtlsFault("certificate-revoked", "it was revoked");
  };
  const outcome = fail(in12({ client: { verifyPeer: refuse } }));
  assertEquals(outcome, { client: "certificate-revoked", server: 44 });
});

Deno.test("a server of both versions serves a client of each from one endpoint", () => {
  const server = {
    credentials: [credential(SERVER_CREDENTIAL), credential(P256_SERVER_CREDENTIAL)],
  };
  for (const version of BOTH) {
    const pair = new DtlsPair({ client: { versions: [version] }, server }).handshake();
    assertEquals(pair.client.version, version);
  }
});

Deno.test("close_notify in both directions", () => {
  for (const closing of ["client", "server"] as const) {
    const pair = connect(in12({}));
    const ends = { client: pair.client, server: pair.server.association! };
    ends[closing].close(pair.simulation.now);
    pair.settle();
    assertEquals([ends.client.state, ends.server.state], ["closed", "closed"]);
    const other = closing === "client" ? pair.serverEvents : pair.clientEvents;
    assertEquals(other.at(-1), { kind: "closed" });
  }
});
