// Clients that are not let in: each gets its own error or alert, and nothing of theirs is parsed but the
// HandshakeRequest.

import { assertEquals } from "@std/assert";
import { codePointName } from "../../src/base/code_points.ts";
import { AlertDescription } from "../../src/dtls/code_points.ts";
import { DtlsAlertError, DtlsFault } from "../../src/dtls/errors.ts";
import { clientVerifier, serverVerifier } from "../../src/dtls/peer_verifier.ts";
import { TrustStore } from "../../src/dtls/x509/mod.ts";
import { isPrincipalName } from "../../src/session/permissions.ts";
import { WIRE_ERRORS } from "../../src/wire/error_codes.ts";
import {
  CA_CREDENTIAL,
  credential,
  OTHER_CA_CREDENTIAL,
  OTHER_CLIENT_CREDENTIAL,
  SERVER_CREDENTIAL,
} from "../harness/credentials.ts";
import { handshakeRequest, ScriptedPeer } from "../harness/sqp_peer.ts";
import {
  NO_CREDENTIALS,
  type SqpClientOptions,
  SqpPair,
  type SqpPairOptions,
  tokenClient,
} from "../harness/sqp_pair.ts";

/** A list of CA_CREDENTIAL, valid from 2000 to 2099, that revokes CLIENT_CREDENTIAL. */
const REVOKING_CRL = Uint8Array.from(
  atob(
    "MIHTMIGGAgEBMAUGAytlcDASMRAwDgYDVQQDDAdUZXN0IENBFw0wMDAxMDEwMDAwMDBaGA8yMDk5MTIzMTAwMDAwMFowFTATAgIQAxcN" +
      "MjAwMTAxMDAwMDAwWqAvMC0wHwYDVR0jBBgwFoAUnGu3ecHguV3Zz3yhiH1nCvCYP+owCgYDVR0UBAMCAQEwBQYDK2VwA0EAZoZXWEwu" +
      "6NbLkYQERHTHjQVxmeVZhJFSqFfuFauC3QBvHKh33vVsdmMZ3vl+ObbmmCGL1ODe65Bbl5LDyPxtDw==",
  ),
  (character) => character.charCodeAt(0),
);

const YEAR_MS = 365.25 * 86_400_000;

const trust = new TrustStore({ trustAnchors: [CA_CREDENTIAL.certificate] });

/** Runs a client that asks with its handshake, checks that nothing was parsed, and says how it ended. */
function refused(client: SqpClientOptions, server: SqpPairOptions = {}): string {
  const pair = new SqpPair({ ...server, clients: [client] });
  const asked = pair.client.ask("write never");
  pair.runUntilIdle();
  assertEquals(pair.engine.statements, []);
  const told = pair.events.map(({ event }) => event.kind);
  assertEquals(told.filter((kind) => kind !== "authenticate" && kind !== "ended"), []);
  assertEquals(pair.endpoint.counters.get("admitted"), 0);
  assertEquals(asked.outcome, pair.client.ended?.codeName);
  pair.checkReleased();
  return reasonOf(pair.client.ended!);
}

/** An error's name, and the alert or fault behind it. */
function reasonOf({ codeName, cause }: { codeName: string; cause?: unknown }): string {
  if (cause instanceof DtlsAlertError) {
    return `${codeName}: ${codePointName(AlertDescription, cause.description)}`;
  }
  return cause instanceof DtlsFault ? `${codeName}: ${cause.reason}` : codeName;
}

/** A server whose clock is wrong by so many years where it looks at certificates. */
function offBy(years: number): SqpPairOptions {
  const verify = clientVerifier(() => trust);
  return { dtls: { verifyPeer: (chain, now) => verify(chain, now + years * YEAR_MS) } };
}

Deno.test("a client without credential is told no_credential", () => {
  assertEquals(
    refused({ credential: null, dtls: { credentials: NO_CREDENTIALS } }),
    "no_credential",
  );
});

Deno.test("a client that names its certificate and has none is told no_credential", () => {
  assertEquals(refused({ dtls: { credentials: NO_CREDENTIALS } }), "no_credential");
});

Deno.test("a client whose certificate stays unmentioned is told no_credential", () => {
  assertEquals(refused({ credential: null }), "no_credential");
});

Deno.test("a credential of an unknown kind is told credential_kind_refused", () => {
  const kind = { type: "unknown", name: "password" } as const;
  assertEquals(refused({ credential: kind }), "credential_kind_refused");
});

Deno.test("where a certificate is required, a client without one gets certificate_required", () => {
  assertEquals(
    refused({ dtls: { credentials: NO_CREDENTIALS } }, { dtls: { clientCertificate: "required" } }),
    "secure_channel_failed: CERTIFICATE_REQUIRED",
  );
});

Deno.test("a certificate of another CA gets unknown_ca", () => {
  const dtls = { credentials: [credential(OTHER_CLIENT_CREDENTIAL)] };
  assertEquals(refused({ dtls }), "secure_channel_failed: UNKNOWN_CA");
});

Deno.test("an expired certificate, and one that is not yet valid, get certificate_expired", () => {
  assertEquals(refused({}, offBy(80)), "secure_channel_failed: CERTIFICATE_EXPIRED");
  assertEquals(refused({}, offBy(-30)), "secure_channel_failed: CERTIFICATE_EXPIRED");
});

Deno.test("a revoked certificate gets certificate_revoked", () => {
  const store = new TrustStore({
    trustAnchors: [CA_CREDENTIAL.certificate],
    crls: [REVOKING_CRL],
  });
  const server = { dtls: { verifyPeer: clientVerifier(() => store) } };
  assertEquals(refused({}, server), "secure_channel_failed: CERTIFICATE_REVOKED");
});

Deno.test("a certificate without clientAuth gets unsupported_certificate", () => {
  const dtls = { credentials: [credential(SERVER_CREDENTIAL)] };
  assertEquals(refused({ dtls }), "secure_channel_failed: UNSUPPORTED_CERTIFICATE");
});

Deno.test("a server with another name, of another CA or out of its time is not trusted", () => {
  const other = new TrustStore({ trustAnchors: [OTHER_CA_CREDENTIAL.certificate] });
  const local = serverVerifier(() => trust, "localhost");
  const verifiers = {
    "bad-certificate": serverVerifier(() => trust, "example.com"),
    "unknown-ca": serverVerifier(() => other, "localhost"),
    "certificate-expired": (chain: readonly Uint8Array[], now: number) =>
      local(chain, now + 80 * YEAR_MS),
  };
  for (const [reason, verifyPeer] of Object.entries(verifiers)) {
    assertEquals(refused({ dtls: { verifyPeer } }), `server_not_trusted: ${reason}`);
  }
});

const TOKEN_ERRORS = Object.keys(WIRE_ERRORS).filter((name) => name.startsWith("token_"));

for (const name of TOKEN_ERRORS) {
  Deno.test(`a token that is refused with ${name} is told so, with its number and text`, () => {
    assertEquals(refused(tokenClient(`bad:${name}`)), name);
    assertEquals(refused(tokenClient(`bad:${name}`), { tokenCheckMs: 0 }), name);
  });
}

Deno.test("a client whose refusal loses its way twice still learns the reason", () => {
  for (const lostFrom of [0, 1, 2]) {
    let refusals = 0;
    const pair = new SqpPair({ clients: [], tokenCheckMs: 500 });
    const isLost = (passage: { bytes: Uint8Array; at: number }) => {
      // What the server sends after its check: the refusal, each of the first two times.
      const isRefusal = passage.at >= pair.now && pair.now - startedAt >= 500;
      return isRefusal && refusals++ >= lostFrom && refusals <= lostFrom + 2;
    };
    const startedAt = pair.now;
    const client = pair.addClient(tokenClient("bad:token_expired", {
      toClient: [(passage) => isLost(passage) ? [] : [{ ...passage, at: passage.at + 10 }]],
    }));
    pair.runUntilIdle();
    assertEquals(client.ended?.codeName, "token_expired", `lost from ${lostFrom} on`);
  }
});

Deno.test("a client of another version or serialization is told so, and the association ends", () => {
  const cases = [
    [{ versions: [2, 7] }, "no_common_version"],
    [{ serialization: ["json"] }, "no_common_serialization"],
  ] as const;
  for (const [fields, name] of cases) {
    const pair = new SqpPair({ clients: [] });
    const peer = new ScriptedPeer(pair, "10.1.0.1:1");
    peer.exchange(handshakeRequest(fields));
    assertEquals(peer.verdicts, [name, "end: refused"]);
    pair.advance(4_000);
    assertEquals(peer.isEnded, true);
    pair.runUntilIdle();
    pair.checkReleased();
  }
});

Deno.test("a credential that does not fit the HandshakeRequest fails at the client, without a throw", () => {
  assertEquals(refused(tokenClient("x".repeat(9_000))), "message_too_large");
});

Deno.test("a principal whose name cannot be told is refused with internal", () => {
  for (const name of ["x".repeat(1_025), ""]) {
    assertEquals(refused(tokenClient(`good:${name}`)), "internal");
  }
  assertEquals([isPrincipalName("\ud800"), isPrincipalName("é".repeat(512))], [false, true]);
});
